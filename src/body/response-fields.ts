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
 * The fields of a response that are meant for its final recipient, `Set-Cookie` one by one. Where every coding in
 * `Content-Encoding` was `decoded` on the way here, that field and the length that went with it are gone.
 */
export function endToEndFields(headers: Headers, decoded: ReadonlySet<string>): [string, string][] {
  const dropped = new Set([...hopByHop, ...tokensOf(headers.get('connection'))]);
  if (isDecoded(headers.get('content-encoding'), decoded)) {
    dropped.add('content-encoding').add('content-length');
  }
  return [...headers].filter(([name]) => !dropped.has(name.toLowerCase()));
}

// Element by element, empty ones and `identity` included: fetch of Node 20 to 26 decodes nothing of a body with one
// that it does not know.
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
