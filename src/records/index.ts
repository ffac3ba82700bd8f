import type { RoutedRequest } from '../internal/http/framework.ts';
import { type HttpRequest, type HttpResponse, type Next, requireExchange } from '../internal/http/message.ts';
import { refuseRequest, requireFunction } from '../internal/option.ts';
import type { HandlerRequest, NoSource, StreamMiddleware } from '../internal/writer/handler.ts';
import { type NotInferred, openStream, serveStream, type StreamKind } from '../internal/writer/serve.ts';
import { jsonSeqFormat, ndjsonFormat, type RecordFormat } from '../internal/format/records.ts';
import { type RecordOptions, resolveRecordOptions } from './options.ts';
import { OutRecordStream, type RecordStream } from './stream.ts';

export { type CloseReason, InvalidRecordError, StreamClosedError } from '../errors.ts';
export type { RoutedRequest } from '../internal/http/framework.ts';
export type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
export type { StreamMiddleware } from '../internal/writer/handler.ts';
export type { PipeOptions } from '../internal/writer/pump.ts';
export type { RecordOptions } from './options.ts';
export type { RecordStream } from './stream.ts';

/**
 * Handles one client. The records of a generator, or of any async source, are sent one by one, and the stream ends with
 * it. When the handler returns a promise, the stream ends when that resolves. When it returns anything else, the stream
 * stays open, and the application keeps it.
 */
export type RecordHandler<T = unknown, Req = RoutedRequest> = (
  stream: RecordStream<T>,
  req: Req,
) => AsyncIterable<T> | Generator<T, unknown> | ReadableStream<T> | NoSource;

// A `key` may read any member, where no type says what is sent.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Read<T> = unknown extends T ? any : T;

/** A handler for a route, or a middleware. */
export type RecordMiddleware<Req extends HttpRequest = RoutedRequest> = StreamMiddleware<Req>;

/**
 * Makes a handler for newline-delimited JSON: `app.get('/rows', ndjson(async function* (stream, req) { … }))`. Errors,
 * `Accept` and clients that left are treated as `sse` treats them. Throws `InvalidOptionError`.
 */
export function ndjson<T = unknown, Req extends HttpRequest = RoutedRequest>(
  handler: RecordHandler<T, HandlerRequest<Req>>,
  options?: RecordOptions<NotInferred<Read<T>>>,
): StreamMiddleware<Req> {
  requireHandler('ndjson', handler);
  const kind = recordKind<T>('ndjson', ndjsonFormat, options);
  return function ndjson(req: HttpRequest, res: HttpResponse, next?: Next): void {
    serveStream(kind, (stream) => handler(stream, req as HandlerRequest<Req>), req, res, next);
  };
}

/**
 * Makes a handler for JSON text sequences (RFC 7464): a reader can find the next record after damaged ones. Errors,
 * `Accept` and clients that left are treated as `sse` treats them. Throws `InvalidOptionError`.
 */
export function jsonSeq<T = unknown, Req extends HttpRequest = RoutedRequest>(
  handler: RecordHandler<T, HandlerRequest<Req>>,
  options?: RecordOptions<NotInferred<Read<T>>>,
): StreamMiddleware<Req> {
  requireHandler('jsonSeq', handler);
  const kind = recordKind<T>('jsonSeq', jsonSeqFormat, options);
  return function jsonSeq(req: HttpRequest, res: HttpResponse, next?: Next): void {
    serveStream(kind, (stream) => handler(stream, req as HandlerRequest<Req>), req, res, next);
  };
}

/**
 * Opens a stream of newline-delimited JSON outside of a handler, and sends the head. If `ndjson` would refuse the
 * request, the refusal is sent and the stream is closed. Throws `InvalidOptionError`, and `ResponseStartedError` when
 * the head is already sent.
 */
export function openNdjson<T = unknown>(
  req: HttpRequest,
  res: HttpResponse,
  options?: RecordOptions<Read<T>>,
): RecordStream<T> {
  const kind = recordKind<T>('ndjson', ndjsonFormat, options);
  requireExchange('openNdjson', req, res);
  return openStream(kind, req, res);
}

/** Opens a JSON text sequence outside of a handler, as `openNdjson` does. */
export function openJsonSeq<T = unknown>(
  req: HttpRequest,
  res: HttpResponse,
  options?: RecordOptions<Read<T>>,
): RecordStream<T> {
  const kind = recordKind<T>('jsonSeq', jsonSeqFormat, options);
  requireExchange('openJsonSeq', req, res);
  return openStream(kind, req, res);
}

function requireHandler(owner: string, handler: unknown): void {
  refuseRequest(owner, handler, `app.get('/rows', ${owner}(handler))`);
  requireFunction(`${owner}.handler`, handler, `a function; the path belongs to \`app.get(path, ${owner}(handler))\``);
}

function recordKind<T>(
  owner: string,
  format: RecordFormat,
  options: RecordOptions<T> | undefined,
): StreamKind<RecordStream<T>> {
  const resolved = resolveRecordOptions<T>(owner, options);
  return {
    mediaTypes: format.mediaTypes,
    // JSON is UTF-8 and its types have no charset parameter (RFC 8259 11).
    typeParameters: '',
    prelude: '',
    options: resolved,
    isStopped: () => false,
    wrap: (out) => new OutRecordStream<T>(out, format, resolved),
    send: (stream, value) => stream.send(value as T),
  };
}
