import type { ServerResponse } from 'node:http';
import { type CloseReason, closeError, StreamClosedError } from '../../errors.ts';
import { followsFromClose, type Gate, isAbort } from './pump.ts';
import { captureScope } from '../context/async-scope.ts';
import { Context } from '../context/context.ts';
import { contextIn } from '../context/request-context.ts';
import { handled, watched } from '../deferred.ts';
import { type Departure, Layer, type Rank, rank } from '../seam/layer.ts';
import { publishError, reportClose, reportError } from '../events.ts';
import { hasField, setFields } from '../http/headers.ts';
import { type HttpRequest, type HttpResponse, isGone, needsDrain } from '../http/message.ts';
import { abortResponse, closeUnterminated, endResponse } from '../seam/closing.ts';
import { Outbox, type Outlet, type StreamState } from './outbox.ts';
import { openSeam, type Seam, seamOf } from '../seam/response.ts';
import type { ResolvedStreamOptions } from './options.ts';

/** What one kind of stream sends before its first item. */
export interface StreamHead {
  readonly contentType: string;
  /** First bytes of the body, sent with the head; `''` for none. */
  readonly prelude: string;
}

/** What one kind of stream puts where items are missing. */
export interface GapFormat {
  /** The text, `''` for none. Runs code of the application, and does not throw. */
  formatGap(dropped: number): string;
}

/**
 * A response that carries text items: the head, the state and the ways to close that event streams and
 * record streams share. What waits is in its outbox.
 *
 *     open ──end, stop, reconnect──▶ draining ──handed over──▶ closed
 *       └────client gone, destroy, error, slow consumer──────────▲
 */
export class OutStream extends Layer implements Outlet, Gate {
  override readonly rank: Rank = rank.writer;
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  /** Set when the reason is known, which in `leave` is before the stream is closed. */
  closedError: StreamClosedError | undefined;
  /** Set by a kind whose items may be dropped. */
  gaps: GapFormat | undefined;
  #state: StreamState = 'open';
  /** `claimed` once an item was taken: the head is not sent yet, and can become no other. */
  #opening: 'not' | 'claimed' | 'opened' = 'not';
  #options: ResolvedStreamOptions;
  #head: StreamHead;
  #seam: Seam;
  #outbox: Outbox;
  #context: Context | undefined;
  #departure: Departure | undefined;
  #closeListeners: Set<(reason: CloseReason) => void> | undefined;
  /** The async context of its handler. What the stream does by itself, or for others, it does there. */
  #scope = captureScope();

  constructor(req: HttpRequest, res: HttpResponse, head: StreamHead, options: ResolvedStreamOptions) {
    super();
    this.req = req;
    this.res = res;
    this.#head = head;
    this.#options = options;
    this.#outbox = new Outbox(this, options);
    this.#seam = openSeam(res);
    this.#seam.add(this);
    if (isGone(res)) this.finishClose('client-closed');
    else if (contextIn(req)) this.context.onAbort((reason) => this.#interrupt(reason));
  }

  get state(): StreamState {
    return this.#state;
  }

  override get departure(): Departure | undefined {
    return this.#departure;
  }

  /** Says how clients of its kind leave. */
  leavesBy(departure: Departure): void {
    this.#departure = departure;
  }

  /** Whether an item was taken or the head sent: from here on an error cannot become another response. */
  get started(): boolean {
    return this.#opening !== 'not';
  }

  /** Bytes accepted and not yet given to the kernel. */
  get queuedBytes(): number {
    return this.#outbox.bytes + (this.#isClosed() ? 0 : this.res.writableLength);
  }

  /** Items that were dropped or superseded so far. */
  get dropped(): number {
    return this.#outbox.dropped;
  }

  /** Whether the key of an item that comes now matters. */
  get conflates(): boolean {
    return this.#outbox.conflates;
  }

  /**
   * A child of its request's context, which aborts when the stream closes, with the close reason's error. Without a
   * context of the request it is made when first asked for: an idle stream does without.
   */
  get context(): Context {
    if (!this.#context) {
      // Others may look at its signal before its handler does: those who write the stream.
      this.#context = new Context(contextIn(this.req), Infinity, { scope: this.#scope });
      if (this.#isClosed()) this.#context.abort(this.closedError);
    }
    return this.#context;
  }

  /** Sends the head and the prelude, if they are not on their way yet. */
  open(): void {
    if (this.#opening === 'opened' || this.#isClosed()) return;
    this.#opening = 'opened';
    this.#outbox.prepend(this.#head.prelude);
    this.#scope.runInAsyncScope(this.#sendHead, this);
    this.#outbox.flush();
  }

  #sendHead(): void {
    try {
      if (!this.res.headersSent) this.#setHead();
      if (this.#outbox.isEmpty) this.#seam.flushHeaders();
    } catch (error) {
      this.#failToWrite(error);
    }
  }

  /** Sends the head and ends the response: the answer to HEAD. */
  openBodiless(): void {
    try {
      this.#setHead();
      this.res.end();
      this.finishClose('ended');
    } catch (error) {
      this.#failToWrite(error);
    }
  }

  /**
   * Queues text. Resolves when the connection is under its high-water mark; rejects with `StreamClosedError`.
   * @param key - items of one key may take each other's place, where `conflates`
   */
  push(text: string, key?: string): Promise<void> {
    if (this.#state !== 'open') return this.refuse();
    if (this.#opening === 'not') this.#opening = 'claimed';
    return this.#outbox.push(text, key);
  }

  /** A rejection for a stream that takes nothing any more. Handled already: a sender may not care. */
  refuse(): Promise<never> {
    const cause = this.closedError ?? closeError('ended');
    return handled(Promise.reject(new StreamClosedError(cause.reason, undefined, { cause })));
  }

  /** A rejection for an item that cannot be sent; the stream goes on. */
  reject(error: unknown): Promise<never> {
    this.#publish(error);
    return watched(Promise.reject(error as Error), (ignored) => this.onSourceError(ignored));
  }

  /**
   * A promise whose caller may not wait for it. Its failure is published, and reported if nothing waits; a closed
   * stream is none.
   * @param isWanted - whether the failure is not one that the caller asked for
   */
  watch(promise: Promise<void>, isWanted: () => boolean): Promise<void> {
    const isFailure = (error: unknown): boolean => !isAbort(error) && isWanted();
    promise.catch((error: unknown) => {
      if (isFailure(error)) this.#publish(error);
    });
    return watched(promise, (ignored) => {
      if (isFailure(ignored)) this.onSourceError(ignored);
    });
  }

  /** Calls a function in the async context of the stream's handler: the caller may be at work for another request. */
  inScope<T>(call: () => T): T {
    return this.#scope.runInAsyncScope(call);
  }

  /** Writes what is queued now instead of at the end of the tick, down through the layers that hold bytes back. */
  flushNow(): void {
    if (this.#isClosed()) return;
    this.open();
    this.#outbox.flush();
  }

  handDown(text: string): boolean {
    return this.#scope.runInAsyncScope(this.#write, this, text);
  }

  #write(text: string): boolean {
    if (this.res.writableEnded) {
      // Somebody has ended the response under the stream: there is no way left, and Node would emit an error for
      // trying.
      this.finishClose('ended');
      return false;
    }
    try {
      // Somebody's patch may forget to pass the answer on. But an answer is trusted over `needsDrain`: behind
      // `compression` it is the encoder's, and so is the 'drain' that follows a `false`.
      return this.#seam.send(text) ?? !needsDrain(this.res);
    } catch (error) {
      this.#failToWrite(error);
      return false;
    }
  }

  formatGap(dropped: number): string {
    return this.inScope(() => this.gaps?.formatGap(dropped) ?? '');
  }

  /**
   * Finishes the body. Resolves when it is handed over or the stream is closed for another reason.
   * @param last - text to send before, however much waits already
   */
  async finish(last = ''): Promise<void> {
    this.inScope(() => {
      if (this.#startDraining(last)) endResponse(this.res);
    });
    return this.#untilClosed();
  }

  /**
   * Hands over what is queued, then closes so that the client knows that the body is not complete.
   * @param last - text to send before, however much waits already
   */
  async leave(reason: CloseReason, { cause, last = '' }: { cause?: unknown; last?: string } = {}): Promise<void> {
    this.inScope(() => {
      if (!this.#startDraining(last)) return;
      this.closedError = closeError(reason, cause);
      closeUnterminated(this.res, this.#options.closeTimeout);
    });
    return this.#untilClosed();
  }

  /** Closes at once; what is queued is dropped. */
  abort(reason: CloseReason, cause?: unknown): void {
    if (this.#isClosed()) return;
    this.finishClose(reason, cause);
    this.inScope(() => abortResponse(this.res));
  }

  /** Lets go of a response that was never started, for somebody else to answer. */
  abandon(cause: unknown): void {
    this.finishClose('error', cause);
  }

  onClosed(listener: (reason: CloseReason) => void): () => void {
    const { closedError } = this;
    if (this.#isClosed() && closedError) {
      this.inScope(() => queueMicrotask(() => this.#callListener(listener, closedError.reason)));
      return () => undefined;
    }
    const listeners = (this.#closeListeners ??= new Set());
    // The same function registered twice is two registrations, each with its own undo.
    const registration = (reason: CloseReason): void => listener(reason);
    listeners.add(registration);
    return () => {
      listeners.delete(registration);
    };
  }

  /** An error that has no caller. */
  onSourceError(error: unknown): void {
    this.inScope(() => this.#report(error));
  }

  #publish(error: unknown): void {
    this.#scope.runInAsyncScope(publishError, undefined, this.req, error);
  }

  #report(error: unknown): void {
    const { onError } = this.#options;
    reportError(this.req, error, onError !== undefined || (!this.#isOpen() && followsFromClose(error)));
    try {
      onError?.(error, this.req);
    } catch (failure) {
      reportError(this.req, failure);
    }
  }

  /** The response is closed, by whomever. */
  override close(): void {
    if (this.#isClosed()) return;
    if (this.#seam.failure !== undefined) {
      this.finishClose('error', this.closedError ?? this.#seam.failure);
      return;
    }
    // After a reset HTTP/2 reports the body as finished: only `writableEnded` says that the server had ended it.
    this.finishClose(
      this.closedError?.reason ?? (this.res.writableEnded ? 'ended' : 'client-closed'),
      this.closedError,
    );
  }

  /** The one way into `closed`. */
  finishClose(reason: CloseReason, cause?: unknown): void {
    if (!this.#isClosed()) this.inScope(() => this.#close(reason, cause));
  }

  #close(reason: CloseReason, cause: unknown): void {
    this.#state = 'closed';
    this.closedError = closeError(reason, cause);
    this.#outbox.close(this.closedError);
    this.#seam.remove(this);
    this.#context?.abort(this.closedError);
    const listeners = this.#closeListeners;
    this.#closeListeners = undefined;
    for (const listener of listeners ?? []) this.#callListener(listener, reason);
    reportClose(this.req, reason);
  }

  /** The request's context is aborted: nobody waits for the stream any more. */
  #interrupt(reason: unknown): void {
    if (this.#isClosed()) return;
    const why = reason instanceof StreamClosedError ? reason.reason : 'error';
    // Nothing is sent: somebody else may say it with a status.
    if (!this.started && !this.res.headersSent) this.finishClose(why, reason);
    else if (why === 'draining' || why === 'client-closed') this.abort(why, reason);
    else void this.leave(why, { cause: reason });
  }

  /** From `open` to `draining`: everything accepted is handed to `res`. `false` where that is not the way. */
  #startDraining(last: string): boolean {
    if (this.#state !== 'open') return false;
    this.#outbox.conclude(last);
    this.open();
    // Closed by a write that failed, or by the application, which may have said where items are missing.
    if (!this.#isOpen()) return false;
    this.#state = 'draining';
    this.#outbox.writeAll();
    // Nothing more will be taken: there is no room to wait for.
    this.#outbox.settle();
    return !this.#isClosed();
  }

  #isOpen(): boolean {
    return this.#state === 'open';
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #callListener(listener: (reason: CloseReason) => void, reason: CloseReason): void {
    try {
      listener(reason);
    } catch (error) {
      this.onSourceError(error);
    }
  }

  #setHead(): void {
    const res = this.res as ServerResponse;
    res.setHeader('Content-Type', this.#head.contentType);
    if (!res.hasHeader('X-Accel-Buffering')) res.setHeader('X-Accel-Buffering', 'no');
    if (!res.hasHeader('Cache-Control') && !hasField(this.#options.headers, 'cache-control')) {
      res.setHeader('Cache-Control', 'no-cache, no-transform');
      this.#seam.noTransformByWriter = true;
    }
    setFields(res, this.#options.headers);
    // A length that somebody announced for another body.
    res.removeHeader('Content-Length');
    if (this.#options.directChunks) this.#seam.bottom.writeDirectly();
  }

  /** Somebody's patch of `res` threw, and we are in a callback where nobody could catch it. */
  #failToWrite(error: unknown): void {
    this.onSourceError(error);
    this.abort('error', error);
  }

  #untilClosed(): Promise<void> {
    if (this.#isClosed()) return Promise.resolve();
    return new Promise((resolve) => {
      this.onClosed(() => resolve());
    });
  }
}

/** The stream that a response carries. */
export function streamOf(res: HttpResponse): OutStream | undefined {
  const writer = seamOf(res)?.layerAt(rank.writer);
  return writer instanceof OutStream ? writer : undefined;
}
