/**
 * Characters of the longest cursor. A longer one is bogus. Servers and proxies take a header line of 8 kB: one that is
 * longer would keep its client away for good.
 */
export const longestCursor = 7_000;

// What an id may take, and the marks around it.
const idLength = 48;

// An id of any backplane. It is sent again as it came, so it must not break a line.
const idPattern = /^[!-+\--9;-~]{1,128}$/;

/** Whether the ids of these keys fit into a cursor. @param encoded - the keys, percent-encoded */
export function fitsCursor(encoded: Iterable<string>): boolean {
  let length = 0;
  for (const key of encoded) length += key.length + idLength;
  return length <= longestCursor;
}

/** Whether a cursor may be the id of one channel, as a client on one has it. */
export function isPlainId(cursor: string): boolean {
  return idPattern.test(cursor);
}

/**
 * The ids of a composite cursor, `key:id,key:id`, by percent-encoded key: those of wanted keys alone, and of each the
 * first. What is no part of a cursor is skipped.
 */
export function parseComposite(cursor: string, wanted: ReadonlySet<string>): ReadonlyMap<string, string> {
  const ids = new Map<string, string>();
  if (cursor.length > longestCursor) return ids;
  for (const part of cursor.split(',')) {
    const colon = part.indexOf(':');
    const key = part.slice(0, Math.max(colon, 0));
    const id = part.slice(colon + 1);
    if (wanted.has(key) && !ids.has(key) && idPattern.test(id)) ids.set(key, id);
  }
  return ids;
}

/** A part of a composite cursor. */
export interface CursorPart {
  /** Percent-encoded. */
  readonly encoded: string;
  /** `undefined`: not known yet. */
  readonly id: string | undefined;
}

/** The cursor of these parts. */
export function formatComposite(parts: readonly CursorPart[]): string {
  let text = '';
  for (const { encoded, id } of parts) if (id !== undefined) text += `${text === '' ? '' : ','}${encoded}:${id}`;
  return text;
}

/** What stands before and behind the id of one part in a cursor. */
export function frameId(parts: readonly CursorPart[], index: number): { before: string; after: string } {
  const before = formatComposite(parts.slice(0, index));
  const after = formatComposite(parts.slice(index + 1));
  const encoded = parts[index]?.encoded ?? '';
  return { before: `${before === '' ? '' : `${before},`}${encoded}:`, after: after === '' ? '' : `,${after}` };
}
