/**
 * The last event id of a request, as the client was given it. Browsers send it as UTF-8 (WHATWG HTML 9.2.3), which
 * Node reads as Latin-1; bytes that are not UTF-8 are left as Node read them.
 */
export function decodeLastEventId(field: string | undefined): string {
  if (field === undefined) return '';
  // eslint-disable-next-line no-control-regex
  if (/^[\x00-\x7f]*$/.test(field)) return field;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(field, (char) => char.charCodeAt(0)));
  } catch {
    return field;
  }
}
