import { type IncomingMessage, OutgoingMessage, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { InvalidOptionError } from '../../errors.ts';

/** A request as `node:http` or the compatibility API of `node:http2` makes it; Express' and Connect's are these. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;

/** A response as `node:http` or the compatibility API of `node:http2` makes it; Express' and Connect's are these. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** What Express and Connect pass as third argument. */
export type Next = (error?: unknown) => void;

/** Throws `InvalidOptionError` for arguments in a wrong order, and for missing ones. @param owner - the function */
export function requireExchange(owner: string, req: unknown, res: unknown): void {
  requireRequest(`${owner}.req`, req);
  const isResponse = typeof res === 'object' && res !== null && 'setHeader' in res;
  if (!isResponse) throw new InvalidOptionError(`${owner}.res`, 'a response', res);
}

/** Throws `InvalidOptionError` for what is no request, such as a response in its place. */
export function requireRequest(option: string, req: unknown): void {
  const isRequest = typeof req === 'object' && req !== null && 'headers' in req;
  if (!isRequest) throw new InvalidOptionError(option, 'a request', req);
}

/** Whether the response is a stream of an HTTP/2 connection. */
export function isHttp2(res: HttpResponse): res is Http2ServerResponse {
  // Any code may add a property `stream`. And looking up one that is missing, on a response of Express, takes ten times
  // as long.
  return !(res instanceof OutgoingMessage) && 'stream' in res;
}

/**
 * Whether nothing written can arrive any more, because the connection is gone.
 * A pipelined response has no socket of its own yet: its request's tells.
 */
export function isGone(res: HttpResponse): boolean {
  if (isHttp2(res)) return res.stream.destroyed || res.stream.closed;
  // `req` is typed as always there; a response made by hand for a test has none.
  const socket = res.socket ?? (res.writableEnded ? null : (res.req as IncomingMessage | undefined)?.socket);
  return res.destroyed || socket?.destroyed === true;
}

/** `writableNeedDrain`, which `Http2ServerResponse` lacks before Node 24. */
export function needsDrain(res: HttpResponse): boolean {
  return isHttp2(res)
    ? ((res as { writableNeedDrain?: boolean }).writableNeedDrain ?? res.stream.writableNeedDrain)
    : res.writableNeedDrain;
}

/**
 * One field of the request as text, or `undefined`. A field that came more than once is joined, as Node does for most.
 */
export function requestField(req: HttpRequest, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** A request in a line of text: `GET /api/events`, without the query, which may hold secrets. */
export function requestLabel(req: HttpRequest): string {
  return `${req.method ?? ''} ${requestPath(req)}`;
}

/** The path as the client asked for it, without its query: `''` for a request that has none. */
export function requestPath(req: HttpRequest): string {
  // Routers take what they matched off `url`.
  const { originalUrl } = req as { originalUrl?: unknown };
  const url = typeof originalUrl === 'string' ? originalUrl : (req.url ?? '');
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}
