import type { ServerResponse } from 'node:http';
import { type CloseReason, closeError, StreamClosedError } from '../errors.ts';
import { isAbort } from './abort.ts';
import { Context } from './context.ts';
import { contextIn } from './request-context.ts';
import { type Deferred, handled, makeDeferred } from './deferred.ts';
import { reportClose, reportError } from './diagnostics.ts';
import { hasField, setFields } from './fields.ts';
import { Layer, type Rank, rank } from './layer.ts';
import { abortResponse, closeUnterminated, endResponse, type HttpRequest, type HttpResponse, isGone, needsDrain } from './message.ts';
import type { Gate } from './pump.ts';
import { openSeam, type Seam, seamOf } from './response.ts';
import type { ResolvedStreamOptions } from './stream-options.ts';
import { atTickEnd, type Flushable } from './tick.ts';

/** `open` takes items, `draining` hands over what it took, `closed` is over. Only forward, and only in `OutStream`. */
export type StreamState = 'open' | 'draining' | 'closed';

/** What one kind of stream sends before its first item. */
export interface StreamHead {
  readonly contentType: string;
  /** First bytes of the body, sent with the head; `''` for none. */
  readonly prelude: string;
}

/** How one kind of stream leaves a process that drains. */
export interface Departure {
  /** Whether its client can go on elsewhere where it stopped here. One that cannot runs to its end. */
  isResumable(): boolean;
  /** Tells the client to come back, and closes. Does not reject. */
  leave(): Promise<void>;
}

const accepted = Promise.resolve();

/**
 * A response that carries text items: the outbox, the state and the ways to close that event streams and
 * record streams share.
 *
 *     push ─▶ pending ──tick end──▶ res.write ─▶ layers ─▶ socket
 *               ▲                      │ false
 *               └──── congested ◀──────┘     until 'drain'
 *
 *     open ──end, stop, reconnect──▶ draining ──handed over──▶ closed
 *       └────client gone, destroy, error, slow consumer──────────▲
 */
export class OutStream extends Layer implements Flushable, Gate {
  override readonly rank: Rank = rank.writer;
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  /** Set when the reason is known, which in `leave` is before the stream is closed. */
  closedError: StreamClosedError | undefined;
  /** Set by a kind that can be resumed. */
  departure: Departure | undefined;
  #state: StreamState = 'open';
  /** `claimed` once an item was taken: the head is not sent yet, and can become no other. */
  #opening: 'not' | 'claimed' | 'opened' = 'not';
  #options: ResolvedStreamOptions;
  #head: StreamHead;
  #seam: Seam;
  /** Text that waits for the end of the tick, or for the client to catch up. */
  #pending = '';
  #flow: 'idle' | 'scheduled' | 'congested' = 'idle';
  #onDrain: (() => void) | undefined;
  #highWaterMark = 0;
  #waiter: Deferred | undefined;
  #context: Context | undefined;
  #closeListeners: Set<(reason: CloseReason) => void> | undefined;

  constructor(req: HttpRequest, res: HttpResponse, head: StreamHead, options: ResolvedStreamOptions) {
    super();
    this.req = req;
    this.res = res;
    this.#head = head;
    this.#options = options;
    this.#seam = openSeam(res);
    this.#seam.add(this);
    if (isGone(res)) this.finishClose('client-closed');
    else if (contextIn(req)) this.context.onAbort((reason) => this.#interrupt(reason));
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Whether an item was taken or the head sent: from here on an error cannot become another response. */
  get started(): boolean {
    return this.#opening !== 'not';
  }

  /** Bytes accepted and not yet given to the kernel. */
  get queuedBytes(): number {
    return Buffer.byteLength(this.#pending) + (this.#isClosed() ? 0 : this.res.writableLength);
  }

  /**
   * A child of its request's context, which aborts when the stream closes, with the close reason's error. Without a context of the
   * request it is made when first asked for: an idle stream does without.
   */
  get context(): Context {
    if (!this.#context) {
      this.#context = new Context(contextIn(this.req), Infinity);
      if (this.#isClosed()) this.#context.abort(this.closedError);
    }
    return this.#context;
  }

  /** Sends the head and the prelude, if they are not on their way yet. */
  open(): void {
    if (this.#opening === 'opened' || this.#isClosed()) return;
    this.#opening = 'opened';
    this.#pending = this.#head.prelude + this.#pending;
    try {
      if (!this.res.headersSent) this.#setHead();
      if (this.#pending === '') this.#seam.flushHeaders();
    } catch (error) {
      this.#failToWrite(error);
    }
    this.#writePending();
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

  /** Queues text. Resolves when the connection is under its high-water mark; rejects with `StreamClosedError`. */
  push(text: string): Promise<void> {
    if (this.#state !== 'open') return this.refuse();
    if (this.#flow === 'congested' && this.#isOverrun()) {
      this.abort('slow-consumer');
      return this.refuse();
    }
    if (this.#opening === 'not') this.#opening = 'claimed';
    this.#pending += text;
    this.#highWaterMark ||= this.res.writableHighWaterMark;
    if (this.#flow !== 'congested' && this.#pending.length < this.#highWaterMark) {
      if (this.#flow === 'idle') this.#schedule();
      return accepted;
    }
    return this.#pushFull();
  }

  /** A rejection for a stream that takes nothing any more. Handled already: a sender may not care. */
  refuse(): Promise<never> {
    const cause = this.closedError ?? closeError('ended');
    return handled(Promise.reject(new StreamClosedError(cause.reason, undefined, { cause })));
  }

  /** A rejection for an item that cannot be sent; the stream goes on. */
  reject(error: unknown): Promise<never> {
    this.noticeFailure(error);
    return handled(Promise.reject(error as Error));
  }

  /** Publishes a failure whose promise a caller may not look at. A closed stream is none. */
  noticeFailure(error: unknown): void {
    if (!isAbort(error)) reportError(this.req, error);
  }

  /** Writes what is queued now instead of at the end of the tick, down through whoever holds bytes back. */
  flushNow(): void {
    if (this.#isClosed()) return;
    this.open();
    if (this.#flow !== 'congested') this.#writePending();
  }

  flushTick(): void {
    if (this.#flow !== 'scheduled') return;
    this.#flow = 'idle';
    if (!this.#isClosed()) this.flushNow();
  }

  /**
   * Finishes the body. Resolves when it is handed over or the stream is closed for another reason.
   * @param last - text to send before, however much waits already
   */
  async finish(last = ''): Promise<void> {
    if (this.#startDraining(last)) endResponse(this.res);
    return this.#untilClosed();
  }

  /**
   * Hands over what is queued, then closes so that the client knows that the body is not complete.
   * @param last - text to send before, however much waits already
   */
  async leave(reason: CloseReason, { cause, last = '' }: { cause?: unknown; last?: string } = {}): Promise<void> {
    if (this.#startDraining(last)) {
      this.closedError = closeError(reason, cause);
      closeUnterminated(this.res, this.#options.closeTimeout);
    }
    return this.#untilClosed();
  }

  /** Closes at once; what is queued is dropped. */
  abort(reason: CloseReason, cause?: unknown): void {
    if (this.#isClosed()) return;
    this.finishClose(reason, cause);
    abortResponse(this.res);
  }

  /** Lets go of a response that was never started, for somebody else to answer. */
  abandon(cause: unknown): void {
    this.finishClose('error', cause);
  }

  onClosed(listener: (reason: CloseReason) => void): () => void {
    const { closedError } = this;
    if (this.#isClosed() && closedError) {
      queueMicrotask(() => this.#callListener(listener, closedError.reason));
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

  /** An error that nobody can be thrown at. */
  onSourceError(error: unknown): void {
    reportError(this.req, error);
    try {
      this.#options.onError?.(error, this.req);
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
    this.finishClose(this.closedError?.reason ?? (this.res.writableEnded ? 'ended' : 'client-closed'), this.closedError);
  }

  /** The one way into `closed`. */
  finishClose(reason: CloseReason, cause?: unknown): void {
    if (this.#isClosed()) return;
    this.#state = 'closed';
    this.closedError = closeError(reason, cause);
    this.#pending = '';
    if (this.#onDrain) (this.res as ServerResponse).off('drain', this.#onDrain);
    this.#seam.remove(this);
    this.#settleWaiter();
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
    this.#pending += last;
    this.open();
    if (this.#isClosed()) return false;
    this.#state = 'draining';
    this.#writePending(true);
    // Nothing more will be taken: there is no room to wait for.
    this.#settleWaiter();
    return !this.#isClosed();
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

  /** More than the mark is queued: it goes out at once if it can, so that no loop of sends outgrows the mark unseen. */
  #pushFull(): Promise<void> {
    this.flushNow();
    if (this.#state !== 'open') return this.refuse();
    return this.#flow === 'congested' ? this.#wait() : accepted;
  }

  #isOverrun(): boolean {
    // Characters instead of bytes: a lower bound that costs nothing.
    if (this.#pending.length + this.res.writableLength <= this.#options.maxBuffered) return false;
    // A burst within one tick: what the kernel takes is not waiting for the client, though 'drain' is yet to come.
    if (this.res.writableLength < this.#highWaterMark) this.#writePending(true);
    return this.#pending.length + this.res.writableLength > this.#options.maxBuffered;
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

  #schedule(): void {
    this.#flow = 'scheduled';
    atTickEnd(this);
  }

  /** @param regardless - also when the client lags behind: nothing more will come. */
  #writePending(regardless = false): void {
    if (this.#pending === '' || (this.#flow === 'congested' && !regardless)) return;
    if (this.res.writableEnded) {
      // Somebody has ended the response under the stream: there is no way left, and Node would emit an error for trying.
      this.finishClose('ended');
      return;
    }
    const text = this.#pending;
    this.#pending = '';
    let ok: boolean | undefined;
    try {
      ok = this.#seam.send(text);
    } catch (error) {
      this.#failToWrite(error);
      return;
    }
    // Somebody's patch may forget to pass the answer on. But an answer is trusted over `needsDrain`: behind
    // `compression` it is the encoder's, and so is the 'drain' that follows a `false`.
    if (ok ?? !needsDrain(this.res)) this.#settleWaiter();
    else if (!this.#isClosed()) this.#becomeCongested();
  }

  /** Somebody's patch of `res` threw, and we are in a callback where nobody could catch it. */
  #failToWrite(error: unknown): void {
    this.onSourceError(error);
    this.abort('error', error);
  }

  #becomeCongested(): void {
    this.#flow = 'congested';
    if (this.#onDrain) return;
    // After the turn of the loop, and not in it: a source that never waits would otherwise starve everything else.
    this.#onDrain = () => {
      setImmediate(recover, this);
    };
    // One listener for the life of the stream, `on` and not `once`: `compression` reroutes only `on`.
    (this.res as ServerResponse).on('drain', this.#onDrain);
  }

  recover(): void {
    if (this.#flow !== 'congested' || this.#state !== 'open') return;
    this.#flow = 'idle';
    if (this.#pending === '') this.#settleWaiter();
    else this.#writePending();
  }

  #wait(): Promise<void> {
    this.#waiter ??= makeDeferred();
    return this.#waiter.promise;
  }

  #settleWaiter(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (!waiter) return;
    if (this.#isClosed()) waiter.reject(new StreamClosedError(this.closedError?.reason ?? 'ended', undefined, { cause: this.closedError }));
    else waiter.resolve();
  }

  #untilClosed(): Promise<void> {
    if (this.#isClosed()) return accepted;
    return new Promise((resolve) => {
      this.onClosed(() => resolve());
    });
  }
}

function recover(stream: OutStream): void {
  stream.recover();
}

/** The stream that a response carries. */
export function streamOf(res: HttpResponse): OutStream | undefined {
  const writer = seamOf(res)?.layerAt(rank.writer);
  return writer instanceof OutStream ? writer : undefined;
}
