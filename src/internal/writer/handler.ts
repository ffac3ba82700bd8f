import type { IsAny, RoutedRequest } from '../http/framework.ts';
import type { HttpRequest, HttpResponse, Next } from '../http/message.ts';

/**
 * What `sse`, `ndjson` and `jsonSeq` return: a handler for a route, a middleware, or the listener of a server. It takes
 * any request. `Req` is the request that its handler gets: that of the place where it is mounted, if it can be told.
 */
export interface StreamMiddleware<Req extends HttpRequest = RoutedRequest> {
  (req: HttpRequest, res: HttpResponse, next?: Next): void;
  // The last signature is the one that `Req` is inferred from, in `app.get(path, sse((stream, req) => …))`.
  (req: Req, res: HttpResponse, next?: Next): void;
}

/**
 * The request of a handler, from the one that its place asks for. A place of Express's may know less of `params` than
 * `RoutedRequest`, or may allow a handler of errors there, whose first parameter is `any`.
 */
export type HandlerRequest<Req> =
  IsAny<Req> extends true ? RoutedRequest : [RoutedRequest, Req] extends [Req, RoutedRequest] ? RoutedRequest : Req;

/**
 * What a handler may return besides a source of items: anything. A generator or another async source does not fit, so
 * that one of the wrong items is an error.
 */
export type NoSource =
  { toString(): string; [Symbol.asyncIterator]?: never; getReader?: never; next?: never } | null | undefined | void;
