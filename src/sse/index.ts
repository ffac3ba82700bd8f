import type { RoutedRequest } from '../internal/http/framework.ts';
import {
  type HttpRequest,
  type HttpResponse,
  type Next,
  requestField,
  requireExchange,
} from '../internal/http/message.ts';
import { refuseRequest, requireFunction } from '../internal/option.ts';
import type { HandlerRequest, NoSource, StreamMiddleware } from '../internal/writer/handler.ts';
import { type NotInferred, openStream, serveStream, type StreamKind } from '../internal/writer/serve.ts';
import type { AnyEvents, Sendable } from './event-map.ts';
import { decodeLastEventId, type EventStream, formatPrelude, OutEventStream } from './stream.ts';
import { stopId } from '../internal/format/event-stream.ts';
import { resolveSseOptions, type SseOptions } from './options.ts';

export { type CloseReason, InvalidEventError, StreamClosedError } from '../errors.ts';
export type { RoutedRequest } from '../internal/http/framework.ts';
export type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
export type { StreamMiddleware } from '../internal/writer/handler.ts';
export type { PipeOptions } from '../internal/writer/pump.ts';
export type { EventInput } from '../internal/format/event-stream.ts';
export type { AnyEvents, EventOf, Sendable, TextOf } from './event-map.ts';
export type { SseOptions } from './options.ts';
export type { EventStream } from './stream.ts';

/**
 * Handles one client. The events of a generator, or of any async source, are sent one by one, and the stream ends with
 * it. When the handler returns a promise, the stream ends when that resolves. When it returns anything else, the stream
 * stays open, and the application keeps it: `sse((stream) => clients.add(stream))`.
 */
export type SseHandler<M extends object = AnyEvents, Req = RoutedRequest> = (
  stream: EventStream<M>,
  req: Req,
) => EventItems<NotInferred<M>> | NoSource;

// The map comes from the call or from the annotation of `stream`. A map that is inferred from what happens to be sent
// would be useless.
type EventItems<M extends object> =
  AsyncIterable<Sendable<M>> | Generator<Sendable<M>, unknown> | ReadableStream<Sendable<M>>;

/**
 * Makes a handler for event streams (WHATWG HTML 9.2): `app.get('/ticks', sse(async function* (stream, req) { … }))`.
 *
 * The head is sent at the end of the turn of the event loop, with a first comment. An error before the head goes to
 * `next`. An error after it goes to `options.onError`, and the connection is closed without an end. `Accept` is
 * ignored, unless `negotiate` says otherwise. A client that was told to `stop` gets 204. If the client has already
 * left, the handler is not called.
 *
 * Throws `InvalidOptionError`.
 */
export function sse<M extends object = AnyEvents, Req extends HttpRequest = RoutedRequest>(
  handler: SseHandler<M, HandlerRequest<Req>>,
  options?: SseOptions<NotInferred<Sendable<M>>>,
): StreamMiddleware<Req> {
  refuseRequest('sse', handler, "app.get('/events', sse(handler))");
  requireFunction('sse.handler', handler, 'a function; the path belongs to `app.get(path, sse(handler))`');
  const kind = eventStreamKind<M>(options);
  return function sse(req: HttpRequest, res: HttpResponse, next?: Next): void {
    serveStream(kind, (stream) => handler(stream, req as HandlerRequest<Req>), req, res, next);
  };
}

/**
 * Opens an event stream on a response whose head is not sent, and sends the head. For code that is not a handler, or
 * that has to wait before it can decide. If `sse` would refuse the request, the refusal is sent and the stream is
 * closed.
 *
 * Throws `InvalidOptionError`, and `ResponseStartedError` when the head is already sent.
 */
export function openEventStream<M extends object = AnyEvents>(
  req: HttpRequest,
  res: HttpResponse,
  options?: SseOptions<Sendable<M>>,
): EventStream<M> {
  const kind = eventStreamKind<M>(options);
  requireExchange('openEventStream', req, res);
  return openStream(kind, req, res);
}

function eventStreamKind<M extends object>(options: SseOptions<Sendable<M>> | undefined): StreamKind<EventStream<M>> {
  const resolved = resolveSseOptions(options);
  return {
    mediaTypes: ['text/event-stream'],
    typeParameters: '; charset=utf-8',
    prelude: formatPrelude(resolved),
    options: resolved,
    isStopped: (req) => lastEventIdOf(req) === stopId,
    wrap: (out) => new OutEventStream<M>(out, lastEventIdOf(out.req), resolved),
    send: (stream, event) => stream.send(event as Sendable<M>),
  };
}

function lastEventIdOf(req: HttpRequest): string {
  return decodeLastEventId(requestField(req, 'last-event-id'));
}
