import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import { type HttpResponse, isGone, isHttp2 } from '../http/message.ts';

// RFC 9113 7: what a reset says. NO_ERROR (0x0) would read as a complete body, and so does CANCEL (0x8) to Node's own
// client.
const h2InternalError = 0x2;

/** Cuts the connection (HTTP/1) or resets the stream (HTTP/2), so that the client sees a failure and not an end. */
export function abortResponse(res: HttpResponse): void {
  if (!isHttp2(res)) {
    // Without the error: a socket that emits 'error' ends up in the server's 'clientError'. And as Node has it: the
    // response's own may be one that was taken from its handler.
    (Reflect.get(Object.getPrototypeOf(res) as object, 'destroy', res) as ServerResponse['destroy']).call(res);
  } else if (res.stream.closed) {
    // The client has reset the stream: `close` does nothing. Its writes are never taken, and would keep the stream and
    // its session for ever.
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

// A client may reset without an error between the write of the end and its sending. Node up to 24 then emits nothing,
// and destroys the stream when its writes are done, which they never are. So the stream is looked at now and then.
function watchReset(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.writableFinished) return;
  if (stream.closed) stream.destroy();
  else setTimeout(watchReset, 500, stream).unref();
}

// How long nothing must have come down before a close without an end, in ms. Two things need it. A client that learns
// of the broken body before it has read the last bytes drops them: Chromium now and then, fetch always. And
// `compression` encodes in another thread, and does not say when it is done. Too long delays the close; too short loses
// an event.
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

// Polled, as there is nothing to wait for: `compression` drops write callbacks, and 'drain' comes only after a full
// queue. An empty write with a callback makes HTTP/2 of Node 20 to 26 send bytes from elsewhere in memory when it is
// joined with others.
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
