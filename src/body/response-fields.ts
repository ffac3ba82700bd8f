import { hopByHopFields } from '../internal/http/hop-by-hop.ts';

/**
 * The headers of a response that are meant for its final recipient; each `Set-Cookie` is one. `Content-Encoding` and
 * `Content-Length` are left out if fetch `decoded` every coding.
 */
export function endToEndFields(headers: Headers, decoded: ReadonlySet<string>): [string, string][] {
  const dropped = new Set(hopByHopFields([headers.get('connection') ?? '']));
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
