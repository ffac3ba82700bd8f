import type { ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isAnyArrayBuffer, isUint8Array } from 'node:util/types';
import { BodyLengthError, ClientClosedError, InvalidChunkError } from '../errors.ts';
import { contextIn } from '../internal/context/request-context.ts';
import { reportError } from '../internal/events.ts';
import { describesContent, mayHaveContent } from '../internal/http/body-rules.ts';
import { rememberHead, setFields } from '../internal/http/headers.ts';
import { type HttpRequest, type HttpResponse, isGone, needsDrain } from '../internal/http/message.ts';
import { abortResponse, endResponse } from '../internal/seam/closing.ts';
import { setLength } from '../internal/seam/head.ts';
import { type Chunk, Layer, type Rank, rank } from '../internal/seam/layer.ts';
import { whenOver } from '../internal/seam/lifetime.ts';
import { openSeam } from '../internal/seam/response.ts';
import { followsFromClose } from '../internal/writer/policy/aborts.ts';
import { goneOrAborted, pump, type ReaderGone } from '../internal/writer/pump.ts';
import { waitForDrain } from '../internal/writer/writable.ts';
import type { ResolvedBodyOptions } from './options.ts';
import type { OpenBody } from './source.ts';

/** Sends one body. It stops when the client leaves, at its signal, and with its request. */
export class Transfer extends Layer implements ReaderGone {
  override readonly rank: Rank = rank.writer;
  closedError: Error | undefined;
  #req: HttpRequest;
  #res: HttpResponse;
  #body: OpenBody;
  #options: ResolvedBodyOptions;
  #listeners = new Set<() => void>();
  /** The `Content-Length` in bytes, if there is one and this transfer sends the head. */
  #announced: number | undefined;
  /** Bytes sent so far. */
  #sent = 0;
  /** Puts `res` back as it was. Set once this transfer has set the head. */
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
    const seam = openSeam(this.#res);
    seam.add(this);
    const context = contextIn(this.#req)?.child();
    try {
      await this.#send(context?.signal);
    } catch (error) {
      // The context was aborted, and not because the client left: whatever aborted it has answered the request, or cut.
      if (error === context?.reason && !(error instanceof ClientClosedError)) throw error;
      if (this.closedError || isGone(this.#res)) return;
      this.#undo(error);
      throw error;
    } finally {
      context?.dispose();
      seam.remove(this);
    }
  }

  async #send(ofRequest: AbortSignal | undefined): Promise<void> {
    const { signal } = this.#options;
    if (!this.closedError) {
      this.#throwIfAborted(signal);
      this.#throwIfAborted(ofRequest);
      if (this.#body.settled) this.#sendHead();
    }
    const reader = signal ? goneOrAborted(this, signal) : this;
    const { pull } = this.#body;
    if (this.#takesNoBody()) this.cancelSource(new ClientClosedError());
    else if (pull)
      await pump(pull, ofRequest ? goneOrAborted(reader, ofRequest) : reader, (chunk) => this.#take(chunk));
    if (this.closedError) return;
    this.#complete();
    await this.#untilSent(reader);
  }

  #throwIfAborted(signal: AbortSignal | undefined): void {
    if (!signal?.aborted) return;
    this.cancelSource(signal.reason as Error);
    throw signal.reason;
  }

  /** Leaves the response to whatever answers the error; cuts it if its head is sent. */
  #undo(error: unknown): void {
    const res = this.#res;
    if (res.headersSent) {
      // A clean end would make a part look like the whole.
      abortResponse(res);
      return;
    }
    this.#restoreHead?.();
    // The answer has another length, and many handlers set none.
    if (error instanceof BodyLengthError) res.removeHeader('Content-Length');
  }

  /** Cancels a source that will not be read. */
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
    // A patch of `res.write` may forget to return the answer.
    const ok = (this.#res as ServerResponse).write(bytes) as boolean | undefined;
    return (ok ?? !needsDrain(this.#res)) ? undefined : this.#untilWritable();
  }

  async #untilWritable(): Promise<void> {
    await waitForDrain(this.#res);
    // Otherwise a source and a client that are both always ready would starve all other work.
    await nextTurn();
  }

  #complete(): void {
    this.#setHead();
    if (this.#announced !== undefined && this.#sent !== this.#announced && !this.#takesNoBody()) {
      throw new BodyLengthError(this.#announced, this.#sent);
    }
    endResponse(this.#res);
  }

  /** Until all of the body is with the kernel, or the reader is gone. */
  #untilSent(reader: ReaderGone): Promise<void> {
    const res = this.#res as ServerResponse;
    if (this.closedError || res.writableFinished) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        for (const undo of undos) undo();
        if (reader.closedError && !this.closedError) reject(reader.closedError);
        else resolve();
      };
      const undos = [reader.onClosed(settle), whenOver(res, settle)];
    });
  }

  #sendHead(): void {
    this.#setHead();
    if (!this.#takesNoBody() && !this.#res.headersSent) (this.#res as ServerResponse).flushHeaders();
  }

  /** Sets status and headers, once, just before the head is sent. */
  #setHead(): void {
    const res = this.#res as ServerResponse;
    if (this.#restoreHead || res.headersSent) return;
    // An error before the head is sent leaves no trace.
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

/** Removes the length of a source that is not sent. */
function forgetLength(res: ServerResponse): void {
  res.removeHeader('Content-Length');
  // Otherwise Node frames a 205 as if it had content.
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
