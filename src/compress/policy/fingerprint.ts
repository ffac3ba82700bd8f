import { longestField, readAcceptEncoding, rememberByField } from './accept-encoding.ts';

/**
 * Which clients send an `Accept-Encoding` of this shape. A guess: others may send the same.
 *
 * | family | field | sent by |
 * |---|---|---|
 * | `none` | absent | curl, `undici.request`, health checks |
 * | `any` | `*` | |
 * | `identity` | `identity`, or empty | wget, Python's urllib |
 * | `browser` | `gzip, deflate, br, zstd` | Chromium and Firefox, over https or from localhost |
 * | `browser-no-zstd` | `gzip, deflate, br` | older browsers; `got`, `node-fetch` 3 |
 * | `insecure-browser` | `gzip, deflate` | browsers over plain http; so do `fetch` of Node and Python's requests |
 * | `curl` | `deflate, gzip`, then `br`, `zstd` as built | `curl --compressed` |
 * | `undici` | `br, gzip, deflate`, then `zstd` from Node 26 | `fetch` of Node over https |
 * | `axios` | `gzip, compress, deflate`, then `br` | axios on Node |
 * | `ruby` | `gzip;q=1.0, deflate;q=0.6, identity;q=0.3` | Ruby's `Net::HTTP` |
 * | `go` | `gzip` | Go's `net/http`, OkHttp, Fastly |
 * | `cdn` | `br, gzip` or `gzip, br` | CloudFront, Cloudflare |
 * | `other` | anything else | |
 */
export type ClientFamily =
  | 'none'
  | 'any'
  | 'identity'
  | 'browser'
  | 'browser-no-zstd'
  | 'insecure-browser'
  | 'curl'
  | 'undici'
  | 'axios'
  | 'ruby'
  | 'go'
  | 'cdn'
  | 'other';

/** What an `Accept-Encoding` field tells of the client. */
export interface Fingerprint {
  /** One of a few names, fit to be a label of a metric. */
  readonly family: ClientFamily;
  /**
   * The field in lower case, with one space after each comma and none elsewhere; `''` if absent, or longer than 1,024
   * characters. The client's own text: no label for a metric.
   */
  readonly signature: string;
  /** What the client accepts, in its order: the codings named with a weight over 0, and `*`. */
  readonly codings: readonly string[];
}

const families: ReadonlyMap<string, ClientFamily> = new Map<string, ClientFamily>([
  ['', 'identity'],
  ['identity', 'identity'],
  ['*', 'any'],
  ['gzip, deflate, br, zstd', 'browser'],
  ['gzip, deflate, br', 'browser-no-zstd'],
  ['gzip, deflate', 'insecure-browser'],
  ['deflate, gzip', 'curl'],
  ['deflate, gzip, br', 'curl'],
  ['deflate, gzip, br, zstd', 'curl'],
  ['deflate, gzip, zstd', 'curl'],
  ['br, gzip, deflate', 'undici'],
  ['br, gzip, deflate, zstd', 'undici'],
  ['gzip, compress, deflate', 'axios'],
  ['gzip, compress, deflate, br', 'axios'],
  ['gzip;q=1.0, deflate;q=0.6, identity;q=0.3', 'ruby'],
  ['gzip', 'go'],
  ['br, gzip', 'cdn'],
  ['gzip, br', 'cdn'],
]);

const absent: Fingerprint = Object.freeze({ family: 'none', signature: '', codings: Object.freeze([]) });
const tooLong: Fingerprint = Object.freeze({ ...absent, family: 'other' });

const fingerprintOf = rememberByField((field: string): Fingerprint => {
  const signature = signatureOf(field);
  const codings = [...readAcceptEncoding(field)].filter(([, q]) => q > 0).map(([coding]) => coding);
  return Object.freeze({ family: families.get(signature) ?? 'other', signature, codings: Object.freeze(codings) });
});

/** Names the client family of a request by the shape of its `Accept-Encoding`, which few applications change. */
export function fingerprint(req: {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}): Fingerprint {
  const value = req.headers['accept-encoding'];
  if (value === undefined) return absent;
  const field = typeof value === 'string' ? value : value.join(', ');
  return field.length > longestField ? tooLong : fingerprintOf(field);
}

function signatureOf(field: string): string {
  const elements = field.toLowerCase().replace(/\s+/g, '').split(',');
  return elements.filter((element) => element !== '').join(', ');
}
