import { ResponseStartedError } from '../errors.ts';
import { type HttpRequest, type HttpResponse, isGone, requireExchange } from '../internal/http/message.ts';
import { seamOf } from '../internal/seam/response.ts';
import { type BodyOptions, resolveBodyOptions } from './options.ts';
import { type BodySource, openBody } from './source.ts';
import { Transfer } from './transfer.ts';

export { BodyLengthError, InvalidChunkError, InvalidSourceError } from '../errors.ts';
export type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
export { waitWritable, type WaitOptions } from '../internal/writer/writable.ts';
export type { BodyOptions } from './options.ts';
export type { BodySource } from './source.ts';

/**
 * Sends a source as the body of a response, and pulls only while the client takes.
 *
 * The head is sent with the first chunk. A source that fails before it rejects with `res` untouched: pass the error to
 * `next`. A `Response` or `Blob` has already succeeded: its head is sent at once, with its status and its end-to-end
 * headers, unless `res` has those. A source that fails later rejects too, and the connection is cut: a body that ends
 * early must not look complete. The same goes for a body that does not match its `Content-Length`.
 *
 * It also stops at the deadline that `deadline` gave the request, and then rejects with `DeadlineExceededError`.
 *
 * When the client leaves, the source is cancelled and the promise resolves: that is a normal outcome.
 * `res.writableEnded` tells it from a complete body. HEAD, 204, 205 and 304 send the head and cancel the source.
 *
 * Rejects with the error of the source, `InvalidSourceError`, `InvalidChunkError`, `BodyLengthError`,
 * `ResponseStartedError`, `InvalidOptionError`, or `signal.reason`.
 */
export async function pipeBody(
  source: BodySource,
  req: HttpRequest,
  res: HttpResponse,
  options?: BodyOptions,
): Promise<void> {
  const resolved = resolveBodyOptions(options);
  requireExchange('pipeBody', req, res);
  const body = openBody(source);
  const transfer = new Transfer(req, res, body, resolved);
  if ((res.writableEnded || seamOf(res)?.hasWriter === true) && !isGone(res)) {
    const error = new ResponseStartedError('The response has ended, or carries a stream already');
    transfer.cancelSource(error);
    throw error;
  }
  await transfer.run();
}
