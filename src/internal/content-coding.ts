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
