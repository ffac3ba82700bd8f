import { responseField } from '../internal/http/headers.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import { type HttpResponse, isHttp2 } from '../internal/http/message.ts';

// RFC 9113 7: `reconnect` resets a stream with it, so that no client takes the body for complete.
const h2InternalError = 0x2;

/** Whether the kernel has all bytes of a response. Ask once it has closed. */
export function isDelivered(res: HttpResponse): boolean {
  // After a reset HTTP/2 reports the body as finished: only `writableEnded` says that the server had ended it.
  if (isHttp2(res)) return res.writableEnded && res.stream.writableFinished;
  // Before Node 24 a response whose socket was destroyed is finished too.
  return res.writableFinished && (!res.req.socket.destroyed || res.req.socket.writableFinished);
}

/** The same for a response that was closed without an end, on purpose. */
export function isDeliveredUnterminated(res: HttpResponse): boolean {
  if (isHttp2(res)) return res.stream.writableFinished && res.stream.rstCode === h2InternalError;
  return res.req.socket.writableFinished;
}

/** Whether the kernel has all bytes that were written so far to an open response. */
export function isHandedOver(res: HttpResponse): boolean {
  const below = isHttp2(res) ? res.stream : res.socket;
  return res.writableLength === 0 && below?.writableLength === 0;
}

/** Whether the headers of a response, sent or not, say that it is an event stream. */
export function carriesEventStream(res: HttpResponse): boolean {
  // Node keeps fields given to `writeHead` alone in the text of the head only.
  const head = (res as { _header?: unknown })._header;
  const written = typeof head === 'string' ? /^content-type: *(.*)$/im.exec(head)?.[1] : undefined;
  return mediaTypeOf(responseField(res, 'content-type') ?? written) === 'text/event-stream';
}
