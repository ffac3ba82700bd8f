/**
 * The fields that an intermediary does not pass on, whether the message names them in `Connection` or not: RFC 9110
 * 7.6.1, and the proxy fields that intermediaries drop by practice.
 */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The names of the fields that end at this hop, in lower case. Every `Connection` line counts: one that is empty does
 * not hide the next.
 * @param connection - the values of all `Connection` lines
 */
export function hopByHopFields(connection: readonly string[]): ReadonlySet<string> {
  if (connection.length === 0 || (connection.length === 1 && connection[0] === 'keep-alive')) return hopByHop;
  const nominated = connection.flatMap(tokensOf).filter((each) => !hopByHop.has(each));
  return nominated.length === 0 ? hopByHop : new Set([...hopByHop, ...nominated]);
}

/** The elements of a comma-separated field, in lower case. Empty elements do not count (RFC 9110 5.6.1.2). */
export function tokensOf(field: string): string[] {
  return field
    .split(',')
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== '');
}
