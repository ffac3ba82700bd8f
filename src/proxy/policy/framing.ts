import type { HeaderList } from '../../internal/http/header-list.ts';
import { tokensOf } from '../../internal/http/hop-by-hop.ts';

/** How the body of a request is framed. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  /** Of unknown length: chunked, or the DATA frames of HTTP/2. */
  | { readonly kind: 'chunked' }
  /** Two hops could read the message in two ways (RFC 9112 11.2). It is not passed on. */
  | { readonly kind: 'refused'; readonly why: string };

const http1 = { isHttp2: false, endsWithHead: false };
const none: Framing = { kind: 'none' };
const chunked: Framing = { kind: 'chunked' };

/**
 * Decides how long the body of a request is, from its headers alone. The method does not matter: a DELETE may have a
 * chunked body.
 * @param isHttp2 - frames end the body, and `Transfer-Encoding` is malformed (RFC 9113 8.2.2)
 * @param endsWithHead - over HTTP/2, the stream has ended with its headers
 */
export function decideFraming(
  headers: HeaderList,
  { isHttp2, endsWithHead }: { readonly isHttp2: boolean; readonly endsWithHead: boolean } = http1,
): Framing {
  if (!headers.has('content-length') && !headers.has('transfer-encoding')) {
    return isHttp2 && !endsWithHead ? chunked : none;
  }
  const lengths = headers.getAll('content-length').flatMap((value) => value.split(',').map((each) => each.trim()));
  const codings = headers.getAll('transfer-encoding').flatMap(tokensOf);
  if (headers.has('transfer-encoding')) {
    if (isHttp2) return refuse('Transfer-Encoding over HTTP/2');
    if (lengths.length > 0) return refuse('both Content-Length and Transfer-Encoding');
    if (codings.length !== 1 || codings[0] !== 'chunked') return refuse('a Transfer-Encoding other than chunked');
    return chunked;
  }
  const [first = ''] = lengths;
  if (lengths.some((each) => each !== first)) return refuse('different values of Content-Length');
  if (!/^\d{1,15}$/.test(first)) return refuse('a Content-Length that is not a number');
  const length = Number(first);
  return length === 0 ? none : { kind: 'length', length };
}

function refuse(why: string): Framing {
  return { kind: 'refused', why };
}

/** Why an answer cannot be passed on; `undefined`: it can. @param isHttp2 - to the client */
export function faultOfAnswer(status: number, headers: HeaderList, isHttp2: boolean): string | undefined {
  if (isHttp2 && status > 599) return `It answered with a status that HTTP/2 does not have: ${status}`;
  if (!headers.has('transfer-encoding')) return undefined;
  // Only chunks come off at this hop (RFC 9112 7). `identity` is of RFC 2616, and none.
  const [coding = 'identity', ...others] = headers.getAll('transfer-encoding').flatMap(tokensOf);
  const isKnown = others.length === 0 && (coding === 'chunked' || coding === 'identity');
  return isKnown ? undefined : 'It used a transfer coding that was not asked for';
}
