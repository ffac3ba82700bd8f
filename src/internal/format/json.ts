/**
 * The JSON text of a value. `fail` makes the error for a value that has none: a cycle, a BigInt, a `toJSON` that throws
 * (with that as `cause`), or `undefined`, a function, a symbol.
 */
export function toJson(value: unknown, fail: (message: string, options?: { cause?: unknown }) => Error): string {
  let text: string | undefined;
  try {
    text = stringify(value);
  } catch (cause) {
    throw fail('cannot be written as JSON', { cause });
  }
  if (text === undefined) throw fail(`cannot be written as JSON: its type is ${typeof value}`);
  return text;
}

// TypeScript's own type for it leaves out that a value may have no text.
function stringify(value: unknown): string | undefined {
  return JSON.stringify(value);
}
