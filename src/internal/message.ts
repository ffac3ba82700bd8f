import { type IncomingMessage, OutgoingMessage, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2';

/** A request as `node:http` or the compatibility API of `node:http2` makes it; Express' and Connect's are these. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;

/** A response as `node:http` or the compatibility API of `node:http2` makes it; Express' and Connect's are these. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/**
 * A request as a handler sees it, with what routers and body parsers add. Typed `any` as Express types them: their
 * shape is the application's. A handler that annotates `req` with its framework's type gets that.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type RoutedRequest = HttpRequest & { body?: any; params?: any; query?: any };

/** What Express and Connect pass as third argument. */
export type Next = (error?: unknown) => void;

// RFC 9113 7: what a reset says. NO_ERROR (0x0) would read as a complete body, and so does CANCEL (0x8) to Node's own
// client.
const h2InternalError = 0x2;

/** Whether the response is a stream of an HTTP/2 connection. */
export function isHttp2(res: HttpResponse): res is Http2ServerResponse {
  // Anybody may call a property of theirs `stream`. And to look for one that is not there, on a response of Express,
  // takes ten times as long.
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

/** Cuts the connection (HTTP/1) or resets the stream (HTTP/2), so that the client sees a failure and not an end. */
export function abortResponse(res: HttpResponse): void {
  if (!isHttp2(res)) {
    // Without the error: a socket that emits 'error' ends up in the server's 'clientError'. And as Node has it: the
    // response's own may be one that was taken from its handler.
    (Reflect.get(Object.getPrototypeOf(res) as object, 'destroy', res) as ServerResponse['destroy']).call(res);
  } else if (res.stream.closed) {
    // A stream that the client has reset already: `close` does nothing, and its writes, which nobody takes, would keep
    // it and its session for ever.
    res.stream.destroy();
  } else {
    res.stream.close(h2InternalError);
  }
}

/** Ends the body as the handler would. */
export function endResponse(res: HttpResponse): void {
  res.end();
  if (isHttp2(res)) watchReset(res.stream);
}

// When a client resets without an error, after the end was written and before it was sent, Node up to 24 emits nothing,
// and destroys the stream when its writes are done, which they never are. So what is being handed over is looked at now
// and then.
function watchReset(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.writableFinished) return;
  if (stream.closed) stream.destroy();
  else setTimeout(watchReset, 500, stream).unref();
}

// How long nothing must have come down before a close without an end. Two things need it. A client that learns of the
// broken body before it has read what came with it drops that: Chromium does now and then, fetch always. And
// `compression` encodes in another thread without telling when it is done. Too long costs a closing stream that time,
// too short an event.
const stillness = 50;

/**
 * Sends what is queued, then closes without terminating the body, so that every client knows that more was
 * to come: a clean end is final to fetch clients. The close is forced after `linger` ms.
 * Call it when everything was handed to `res`.
 */
export function closeUnterminated(res: HttpResponse, linger: number): void {
  if (isGone(res)) return;
  // Held until the response closes, which the timer itself guarantees.
  const timer = setTimeout(abortResponse, linger, res);
  res.once('close', () => {
    clearTimeout(timer);
  });
  lookLater(res, handedDown(res));
}

// Looked at again and again, for lack of anything to wait for: write callbacks are dropped by `compression`, 'drain'
// comes only after a full queue, and an empty write, to be called back, makes HTTP/2 of Node 20 to 26, when it is
// joined with others, send bytes from elsewhere in memory.
function lookLater(res: HttpResponse, before: number | undefined): void {
  const dueAt = performance.now() + stillness;
  // After what comes from other threads: where this one stood still, that waits behind its timers.
  setTimeout(() => setImmediate(closeWhenStill, res, before, dueAt), stillness);
}

function closeWhenStill(res: HttpResponse, before: number | undefined, dueAt: number): void {
  if (isGone(res)) return;
  const handed = handedDown(res);
  // A process that is late itself leaves other threads no time either.
  const isLate = performance.now() - dueAt > stillness;
  if (handed === undefined || handed !== before || isLate) lookLater(res, handed);
  else if (isHttp2(res)) res.stream.close(h2InternalError);
  else res.socket?.destroySoon();
}

/** A measure of what went down so far; `undefined` while it is known that something is still on its way. */
function handedDown(res: HttpResponse): number | undefined {
  if (res.writableLength > nodeLength(res)) return undefined;
  // The queue of a socket is sent before its FIN; the queue of a stream would be lost to its reset.
  if (isHttp2(res)) return res.stream.writableLength === 0 ? 0 : undefined;
  return res.headersSent ? res.socket?.bytesWritten : undefined;
}

/** `writableLength` without what layers of ours hold, such as an encoder's text. */
function nodeLength(res: HttpResponse): number {
  return Reflect.get(Object.getPrototypeOf(res) as object, 'writableLength', res) as number;
}

/**
 * One field of the request as text, or `undefined`. A field that came more than once is joined, as Node does for most.
 */
export function requestField(req: HttpRequest, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The path as the client asked for it, without its query: `''` for a request that has none. */
export function requestPath(req: HttpRequest): string {
  // Routers take what they matched off `url`.
  const url = (req as { originalUrl?: unknown }).originalUrl;
  const [path = ''] = (typeof url === 'string' ? url : (req.url ?? '')).split('?', 1);
  return path;
}
