import type { IncomingMessage, ServerResponse } from 'node:http';
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

// RFC 9113 7: what a reset says. A reset with NO_ERROR (0) would read as a complete body.
const h2InternalError = 0x2;
const h2Cancel = 0x8;

/** Whether the response is a stream of an HTTP/2 connection. */
export function isHttp2(res: HttpResponse): res is Http2ServerResponse {
  return 'stream' in res;
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
  return isHttp2(res) ? (res as { writableNeedDrain?: boolean }).writableNeedDrain ?? res.stream.writableNeedDrain : res.writableNeedDrain;
}

/** Cuts the connection (HTTP/1) or resets the stream (HTTP/2), so that the client sees a failure and not an end. */
export function abortResponse(res: HttpResponse): void {
  if (!isHttp2(res)) {
    // Without the error: a socket that emits 'error' ends up in the server's 'clientError'.
    res.destroy();
  } else if (!res.stream.destroyed) {
    res.stream.close(h2InternalError);
  }
}

/**
 * Sends what is queued, then closes without terminating the body, so that every client knows that more was
 * to come: a clean end is final to fetch clients. The close is forced after `linger` ms.
 * Call it when everything was handed to `res`.
 * @param heldBack - whether somebody's patch may still hold bytes, without telling when they are out
 */
export function closeUnterminated(res: HttpResponse, linger: number, heldBack: boolean): void {
  if (isGone(res)) return;
  // Held until the response closes, which the timer itself guarantees.
  const timer = setTimeout(abortResponse, linger, res);
  res.once('close', () => {
    clearTimeout(timer);
  });
  if (isHttp2(res)) process.nextTick(resetWhenFlushed, res.stream);
  // Node holds this tick's chunks back until the tick ends, in a callback queued before this one.
  else if (res.socket && heldBack) destroySocketWhenStill(res, -1);
  else if (res.socket) process.nextTick(destroySocketSoon, res);
  else res.once('socket', () => process.nextTick(destroySocketSoon, res));
}

// `compression` encodes in another thread and drops write callbacks: all there is to see are the bytes that come down.
function destroySocketWhenStill(res: ServerResponse, before: number): void {
  if (isGone(res) || !res.socket) return;
  const written = res.headersSent ? res.socket.bytesWritten : -1;
  if (written === before && written >= 0) destroySocketSoon(res);
  else setTimeout(destroySocketWhenStill, 50, res, written);
}

function destroySocketSoon(res: ServerResponse): void {
  res.socket?.destroySoon();
}

// Looked at again and again, for lack of anything to wait for: 'drain' comes only after a full queue, and an empty write, to
// be called back, is worse. When Node 20 to 26 joins it with others, it sends bytes from elsewhere in memory.
function resetWhenFlushed(stream: ServerHttp2Stream): void {
  if (stream.destroyed) return;
  if (stream.writableLength > 0) setTimeout(resetWhenFlushed, 5, stream);
  else stream.close(h2Cancel);
}

/** One field of the request as text, or `undefined`. A field that came more than once is joined, as Node does for most. */
export function requestField(req: HttpRequest, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
