import type { ServerResponse } from 'node:http';
import { isAnyArrayBuffer, isUint8Array } from 'node:util/types';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BodyLengthError, ClientClosedError, InvalidChunkError, ResponseStartedError } from '../errors.ts';
import { describesContent, mayHaveContent } from '../internal/http/body-rules.ts';
import { contextIn } from '../internal/context/request-context.ts';
import { followsFromClose } from '../internal/writer/policy/aborts.ts';
import { goneOrAborted, pump, type ReaderGone } from '../internal/writer/pump.ts';
import { reportError } from '../internal/events.ts';
import { rememberHead, setFields } from '../internal/http/headers.ts';
import { setLength } from '../internal/seam/head.ts';
import { type Chunk, Layer, type Rank, rank } from '../internal/seam/layer.ts';
import { whenOver } from '../internal/seam/lifetime.ts';
import { type HttpRequest, type HttpResponse, isGone, needsDrain } from '../internal/http/message.ts';
import { abortResponse, endResponse } from '../internal/seam/closing.ts';
import { openSeam, seamOf } from '../internal/seam/response.ts';
import { waitForDrain } from '../internal/writer/writable.ts';
import { type BodyOptions, type ResolvedBodyOptions, resolveBodyOptions } from './options.ts';
import { type BodySource, openBody, type OpenBody } from './source.ts';

export { BodyLengthError, InvalidChunkError, InvalidSourceError } from '../errors.ts';
export type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
export { waitWritable, type WaitOptions } from '../internal/writer/writable.ts';
export type { BodyOptions } from './options.ts';
export type { BodySource } from './source.ts';

/**
 * Sends a source as the body of a response, pulling only while the client takes.
 *
 * The head goes out with the first chunk, so that a source that fails before it rejects with `res` untouched: pass the
 * error to `next`. A `Response` or `Blob` has succeeded already; its head goes out at once, with its status and
 * end-to-end fields where `res` has none of its own. A source that fails later rejects too, and the connection is cut:
 * a body that ends early must not look whole. The same goes for one that does not match its `Content-Length`.
 *
 * It stops at the deadline of its request, too, where `deadline` gave it one: then it rejects with
 * `DeadlineExceededError`.
 *
 * When the client leaves, the source is cancelled and the promise resolves: that is a normal outcome, and
 * `res.writableEnded` tells it from a complete one. HEAD, 204, 205 and 304 send the head and cancel the source.
 *
 * Rejects with the source's error, `InvalidSourceError`, `InvalidChunkError`, `BodyLengthError`,
 * `ResponseStartedError`, `InvalidOptionError`, or `signal.reason`.
 */
export async function pipeBody(
  source: BodySource,
  req: HttpRequest,
  res: HttpResponse,
  options?: BodyOptions,
): Promise<void> {
  const resolved = resolveBodyOptions(options);
  const body = openBody(source);
  const transfer = new Transfer(req, res, body, resolved);
  if ((res.writableEnded || seamOf(res)?.hasWriter === true) && !isGone(res)) {
    const error = new ResponseStartedError('The response has ended, or carries a stream already');
    transfer.cancelSource(error);
    throw error;
  }
  await transfer.run();
}

/** One body on its way. */
class Transfer extends Layer implements ReaderGone {
  override readonly rank: Rank = rank.writer;
  closedError: Error | undefined;
  #req: HttpRequest;
  #res: HttpResponse;
  #body: OpenBody;
  #options: ResolvedBodyOptions;
  #listeners = new Set<() => void>();
  /** Bytes announced in `Content-Length`, when this transfer sends the head. */
  #announced: number | undefined;
  #sent = 0;
  /** Puts `res` back as it was; there once this transfer has set fields. */
  #restoreHead: (() => void) | undefined;

  constructor(req: HttpRequest, res: HttpResponse, body: OpenBody, options: ResolvedBodyOptions) {
    super();
    this.#req = req;
    this.#res = res;
    this.#body = body;
    this.#options = options;
    if (isGone(res)) this.closedError = new ClientClosedError();
  }

  async run(): Promise<void> {
    const { pull, settled } = this.#body;
    const seam = openSeam(this.#res);
    seam.add(this);
    // It stops with its request too.
    const context = contextIn(this.#req)?.child();
    const { signal } = this.#options;
    const signals = [signal, context?.signal].filter((each) => each !== undefined);
    try {
      const aborted = signals.find((each) => each.aborted);
      if (aborted && !this.closedError) {
        this.cancelSource(aborted.reason as Error);
        throw aborted.reason;
      }
      if (settled && !this.closedError) this.#sendHead();
      const gate = signal ? goneOrAborted(this, signal) : this;
      if (this.#takesNoBody()) this.cancelSource(new ClientClosedError());
      else if (pull)
        await pump(pull, context ? goneOrAborted(gate, context.signal) : gate, (chunk) => this.#take(chunk));
      if (this.closedError) return;
      this.#complete();
      await this.#untilHandedOver(gate);
    } catch (error) {
      // Whoever ended the request for another reason than that its client left has answered it, or cut.
      if (error === context?.reason && !(error instanceof ClientClosedError)) throw error;
      if (this.closedError || isGone(this.#res)) return;
      // The head is gone: an end would pass a part for the whole.
      if (this.#res.headersSent) abortResponse(this.#res);
      else this.#restoreHead?.();
      // An answer about the error has another length, and many handlers set none.
      if (error instanceof BodyLengthError && !this.#res.headersSent) this.#res.removeHeader('Content-Length');
      throw error;
    } finally {
      context?.dispose();
      seam.remove(this);
    }
  }

  /** For a source that will not be read. */
  cancelSource(reason: Error): void {
    this.#body.pull?.cancel(reason, (error) => {
      if (error !== reason) this.onSourceError(error);
    });
  }

  onClosed(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  onSourceError(error: unknown): void {
    reportError(this.#req, error, followsFromClose(error));
  }

  override close(): void {
    this.closedError ??= new ClientClosedError();
    for (const listener of [...this.#listeners]) listener();
  }

  #take(chunk: unknown): Promise<void> | undefined {
    const bytes = toChunk(chunk);
    if (bytes.length === 0) return undefined;
    this.#setHead();
    this.#sent += typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.byteLength;
    if (this.#announced !== undefined && this.#sent > this.#announced)
      throw new BodyLengthError(this.#announced, this.#sent);
    // Somebody's patch may forget to pass the answer on.
    const ok = (this.#res as ServerResponse).write(bytes) as boolean | undefined;
    return (ok ?? !needsDrain(this.#res)) ? undefined : this.#untilWritable();
  }

  async #untilWritable(): Promise<void> {
    await waitForDrain(this.#res);
    // A source and a client that are both always ready would otherwise keep everybody else from their turn.
    await nextTurn();
  }

  #complete(): void {
    this.#setHead();
    if (this.#announced !== undefined && this.#sent !== this.#announced && !this.#takesNoBody()) {
      throw new BodyLengthError(this.#announced, this.#sent);
    }
    endResponse(this.#res);
  }

  #untilHandedOver(gate: ReaderGone): Promise<void> {
    const res = this.#res as ServerResponse;
    if (this.closedError || res.writableFinished) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        for (const undo of undos) undo();
        if (gate.closedError && !this.closedError) reject(gate.closedError);
        else resolve();
      };
      const undos = [gate.onClosed(settle), whenOver(res, settle)];
    });
  }

  #sendHead(): void {
    this.#setHead();
    if (!this.#takesNoBody() && !this.#res.headersSent) (this.#res as ServerResponse).flushHeaders();
  }

  /** Once, just before the head goes out. */
  #setHead(): void {
    const res = this.#res as ServerResponse;
    if (this.#restoreHead || res.headersSent) return;
    // So that an error before the head is sent leaves no trace.
    this.#restoreHead = rememberHead(res);
    res.statusCode = this.#statusCode();
    const mine = new Set(res.getHeaderNames());
    for (const [name, value] of this.#body.fields) {
      if (name.toLowerCase() === 'set-cookie') res.appendHeader(name, value);
      else if (!mine.has(name.toLowerCase())) res.setHeader(name, value);
    }
    setFields(res, this.#options.headers);
    if (!describesContent(res.statusCode)) forgetLength(res);
    this.#announced = announcedLength(res);
  }

  #takesNoBody(): boolean {
    return !mayHaveContent(this.#req.method, this.#statusCode());
  }

  #statusCode(): number {
    return this.#options.status ?? this.#body.status ?? this.#res.statusCode;
  }
}

/** The length is that of a source that is not sent. */
function forgetLength(res: ServerResponse): void {
  res.removeHeader('Content-Length');
  // Node gives a 205 the framing of one that has content.
  if (res.statusCode === 205) setLength(res, 0);
}

function announcedLength(res: ServerResponse): number | undefined {
  const field = res.getHeader('content-length');
  return field === undefined ? undefined : Number(field);
}

function toChunk(chunk: unknown): Chunk {
  if (typeof chunk === 'string' || isUint8Array(chunk)) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (isAnyArrayBuffer(chunk)) return new Uint8Array(chunk);
  throw new InvalidChunkError(
    `A chunk of a body must be a string or bytes, not ${chunk === null ? 'null' : typeof chunk}`,
  );
}
