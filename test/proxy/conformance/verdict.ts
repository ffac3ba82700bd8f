/** What a check has found. */
export interface Verdict {
  /** `none`: the proxy has no such feature. */
  readonly kind: 'right' | 'wrong' | 'none';
  /** For the table: a few words. */
  readonly text: string;
}

export const ok: Verdict = { kind: 'right', text: 'ok' };

export function right(text: string): Verdict {
  return { kind: 'right', text };
}

export function wrong(text: string): Verdict {
  return { kind: 'wrong', text };
}

/** `wrong` with what was found, or `ok` if nothing was. */
export function unlessFound(what: string, found: readonly string[]): Verdict {
  const [first, ...others] = new Set(found);
  if (first === undefined) return ok;
  const text = [what, first].filter((each) => each !== '').join(' ');
  return wrong(others.length === 0 ? text : `${text} and ${others.length} more`);
}
