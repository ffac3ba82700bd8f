// RFC 9110 7.6.1, and the proxy fields that intermediaries drop by practice.
const hopByHop = new Set([
  'connection',
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
 * The headers of a response that are meant for its final recipient; each `Set-Cookie` is one. `Content-Encoding` and
 * `Content-Length` are left out if fetch `decoded` every coding.
 */
export function endToEndFields(headers: Headers, decoded: ReadonlySet<string>): [string, string][] {
  const dropped = new Set([...hopByHop, ...tokensOf(headers.get('connection'))]);
  if (isDecoded(headers.get('content-encoding'), decoded)) {
    dropped.add('content-encoding').add('content-length');
  }
  return [...headers].filter(([name]) => !dropped.has(name.toLowerCase()));
}

// Every element counts, also an empty one and `identity`: fetch of Node 20 to 26 decodes nothing if it does not know
// one of them.
function isDecoded(contentEncoding: string | null, decoded: ReadonlySet<string>): boolean {
  if (contentEncoding === null) return false;
  return contentEncoding.split(',').every((coding) => decoded.has(coding.trim().toLowerCase()));
}

function tokensOf(field: string | null): string[] {
  return (field ?? '')
    .split(',')
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== '');
}
