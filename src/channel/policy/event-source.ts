import { namesMediaType } from '../../internal/http/accept.ts';

/**
 * Whether a request is that of an `EventSource`. WHATWG HTML 9.2.2: it accepts `text/event-stream` by name, and "set
 * request's cache mode to no-store", which Fetch 4.5 sends as `Cache-Control: no-cache`. Clients made of `fetch` leave
 * that out, as a rule.
 */
export function isEventSource(
  method: string | undefined,
  headers: { readonly accept?: string | undefined; readonly 'cache-control'?: string | undefined },
): boolean {
  const { accept, 'cache-control': cacheControl } = headers;
  return (
    method === 'GET' &&
    accept !== undefined &&
    namesMediaType(accept, 'text/event-stream') &&
    cacheControl !== undefined &&
    /(?:^|[\s,])no-cache(?:$|[\s,])/i.test(cacheControl)
  );
}
