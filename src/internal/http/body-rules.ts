/**
 * Whether the message ends with its head, whatever is written after it: Node drops that (RFC 9112 6.3). The fields may
 * still describe a body: that of the GET, or of the 200.
 */
export function endsWithHead(method: string | undefined, status: number): boolean {
  return method === 'HEAD' || status < 200 || status === 204 || status === 304;
}

/** Whether there may be content. Not in a 205 (RFC 9110 15.3.6), for which Node sends over HTTP/1 what it is given. */
export function mayHaveContent(method: string | undefined, status: number): boolean {
  return !endsWithHead(method, status) && status !== 205;
}

/**
 * Whether its fields describe content: its own, or that of the 200 that a 304 stands for. A 1xx or a 204 has no
 * `Content-Length` (RFC 9110 8.6), and that of a 205 is 0.
 */
export function describesContent(status: number): boolean {
  return mayHaveContent('GET', status) || status === 304;
}

/**
 * What a `Content-Encoding` field says about the bytes of a body.
 *
 * - `plain`: no coding was applied: the field is absent, or names only `identity` (RFC 9110 8.4.1)
 * - `kept-plain`: no coding was applied, and none shall be: the field names `none`. That is no registered coding;
 *   GraphQL servers and services that stream tokens set it so that proxies and middlewares do not compress
 * - `encoded`: at least one coding was applied
 */
export type BodyCoding = 'plain' | 'kept-plain' | 'encoded';

/** The one reading of a `Content-Encoding` field. Case and empty elements do not matter (RFC 9110 5.6.1.2, 8.4.1). */
export function readBodyCoding(contentEncoding: string | undefined): BodyCoding {
  if (contentEncoding === undefined) return 'plain';
  let found: BodyCoding = 'plain';
  for (const element of contentEncoding.toLowerCase().split(',')) {
    const coding = element.trim();
    if (coding === 'none') found = 'kept-plain';
    else if (coding !== '' && coding !== 'identity') return 'encoded';
  }
  return found;
}
