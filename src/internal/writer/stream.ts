import type { AsyncResource } from 'node:async_hooks';
import { type CloseReason, closeError, StreamClosedError } from '../../errors.ts';
import { captureScope } from '../context/async-scope.ts';
import { Context } from '../context/context.ts';
import { contextIn } from '../context/request-context.ts';
import { reportError, streamEvents } from '../events.ts';
import type { RoutedRequest } from '../http/framework.ts';
import { type HttpRequest, type HttpResponse, isGone, needsDrain } from '../http/message.ts';
import { callEach } from '../listeners.ts';
import { abortResponse, closeUnterminated, endResponse } from '../seam/closing.ts';
import { type Chunk, type Departure, Layer, type Rank, rank } from '../seam/layer.ts';
import { openSeam, type Seam, seamOf } from '../seam/response.ts';
import type { WriteResult } from './chunk-queue.ts';
import { type CloseListeners, eachListener, withListener, withoutListener } from './close-listeners.ts';
import type { ResolvedStreamOptions } from './options.ts';
import { Outbox, type OutboxSink } from './outbox.ts';
import { followsFromClose, refused } from './policy/aborts.ts';
import type { ReaderGone } from './pump.ts';
import type { SharedHeartbeats } from './shared-heartbeats.ts';
import { setStreamHead, type StreamHead } from './stream-head.ts';

/** `open` takes items, `draining` sends what it took, `closed` is over. Only ever forward. */
export type StreamState = 'open' | 'draining' | 'closed';

/**
 * A response that carries items: the head, the state and the ways to close that event streams and record streams share.
 * Its outbox holds the items that are not written yet.
 *
 *     open ──finish, leave──▶ draining ──all sent──▶ closed
 *       └────client gone, abort, failed write───────────▲
 */
export class OutStream extends Layer implements OutboxSink, ReaderGone {
  override readonly rank: Rank = rank.writer;
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly seam: Seam;
  readonly outbox: Outbox;
  /** Why it is closed. Known while it drains, where it leaves for a reason. */
  closedError: StreamClosedError | undefined;
  /** Heartbeats that it has in common with other streams. */
  heartbeats: SharedHeartbeats | undefined;
  #state: StreamState = 'open';
  #isHeadSent = false;
  #head: StreamHead;
  #options: ResolvedStreamOptions;
  #context: Context | undefined;
  #departure: Departure | undefined;
  #closeListeners: CloseListeners;
  /** The async context of the handler: everything that the stream does by itself, or for others, runs in it. */
  readonly scope: AsyncResource = captureScope();

  constructor(req: HttpRequest, res: HttpResponse, head: StreamHead, options: ResolvedStreamOptions) {
    super();
    this.req = req;
    this.res = res;
    this.outbox = new Outbox(this, options);
    this.#head = head;
    this.#options = options;
    this.seam = openSeam(res);
    this.seam.add(this);
    if (isGone(res)) this.finishClose('client-closed');
    else if (contextIn(req)) this.context.onAbort((reason) => this.#interrupt(reason));
  }

  get state(): StreamState {
    return this.#state;
  }

  override get departure(): Departure | undefined {
    return this.#departure;
  }

  /** Set by a kind of stream that can tell its clients to leave. */
  override set departure(departure: Departure | undefined) {
    this.#departure = departure;
  }

  /** Whether an item was taken or the head was sent: from then on an error cannot become another response. */
  get started(): boolean {
    return this.#isHeadSent || !this.outbox.isEmpty;
  }

  /**
   * A child of the request's context. It aborts when the stream closes, with the error of the close reason. Without a
   * context of the request it is made when it is first asked for: an idle stream does without.
   */
  get context(): Context {
    if (!this.#context) {
      // Its signal may first be used by code at work for another request, such as a broadcast.
      this.#context = new Context(contextIn(this.req), Infinity, { scope: this.scope });
      if (this.#state === 'closed') this.#context.abort(this.closedError);
    }
    return this.#context;
  }

  /** Sends the head, unless it is sent, and queues the prelude. */
  open(): void {
    if (this.#isHeadSent || this.#state === 'closed') return;
    this.#isHeadSent = true;
    this.outbox.prepend(this.#head.prelude);
    this.#attempt(() => {
      if (!this.res.headersSent) setStreamHead(this.seam, this.#head, this.#options);
      if (this.outbox.isEmpty) this.seam.flushHeaders();
      streamEvents.open.publish({ req: this.req, res: this.res });
    });
  }

  /** Sends the head and ends the response: the answer to HEAD. */
  openBodiless(): void {
    this.#attempt(() => {
      setStreamHead(this.seam, this.#head, this.#options);
      this.res.end();
      this.finishClose('ended');
    });
  }

  /**
   * Queues an item. Resolves when the response has room; rejects with `StreamClosedError`.
   * @param key - an item supersedes one of the same key, with `overflow: 'latest'` and while `outbox.isCongested`
   */
  push(item: Chunk, key?: string): Promise<void> {
    if (this.#state !== 'open') return refused(this.closedError);
    const pushed = this.outbox.push(item, key);
    if (typeof pushed === 'object') return pushed;
    if (pushed === 'overflow') this.abort('slow-consumer');
    return refused(this.closedError);
  }

  writeChunk(chunk: Chunk): WriteResult {
    return this.scope.runInAsyncScope(this.#writeChunk, this, chunk);
  }

  #writeChunk(chunk: Chunk): WriteResult {
    try {
      if (this.seam.sendDirect(chunk)) return 'room';
      if (this.res.writableEnded) {
        // The application ended the response under the stream. Node would emit an error for a write.
        this.finishClose('ended');
        return 'closed';
      }
      // A patch of `res.write` may forget to return the answer. But an answer counts, and not `needsDrain`: behind
      // `compression` it is the encoder's, and so is the 'drain' that follows a `false`.
      const hasRoom = this.seam.send(chunk) ?? !needsDrain(this.res);
      if (this.#state === 'closed') return 'closed';
      return hasRoom ? 'room' : 'full';
    } catch (error) {
      failToWrite(this, error);
      return 'closed';
    }
  }

  /** Calls a function in the async context of the handler: its caller may be at work for another request. */
  inScope<T>(call: () => T): T {
    return this.scope.runInAsyncScope(call);
  }

  /**
   * Ends the body. Resolves when all of it is with the kernel, or when the stream is closed for another reason.
   * @param last - text to send before the end, however much waits
   */
  finish(last = ''): Promise<void> {
    return this.#drain(last, () => endResponse(this.res));
  }

  /**
   * Sends what is queued, then closes so that the client knows that the body is not complete. Resolves when the stream
   * is closed.
   * @param last - text to send before the close, however much waits
   */
  leave(reason: CloseReason, { cause, last = '' }: { cause?: unknown; last?: string } = {}): Promise<void> {
    return this.#drain(last, () => {
      this.closedError = closeError(reason, cause);
      closeUnterminated(this.res, this.#options.closeTimeout);
    });
  }

  /** From `open` to `draining`, unless the stream is on its way already. Resolves when it is closed. */
  async #drain(last: string, closeResponse: () => void): Promise<void> {
    this.inScope(() => {
      if (this.#state !== 'open') return;
      this.outbox.markGap();
      if (this.state !== 'open') return;
      this.#state = 'draining';
      this.outbox.finishWith(last);
      if (!isClosed(this)) closeResponse();
    });
    if (!isClosed(this)) await new Promise<void>((resolve) => void this.onClosed(() => resolve()));
  }

  /** Cuts the response. What is queued is dropped. */
  abort(reason: CloseReason, cause?: unknown): void {
    if (this.#state === 'closed') return;
    this.finishClose(reason, cause);
    this.inScope(() => abortResponse(this.res));
  }

  /** Calls the listener once when the stream is closed; soon, if it is closed already. Returns the undo. */
  onClosed(listener: (reason: CloseReason) => void): () => void {
    const { closedError } = this;
    if (this.#state === 'closed' && closedError) {
      this.inScope(() => queueMicrotask(() => tellClosed(this, { listener }, closedError.reason)));
      return () => undefined;
    }
    const registration = { listener };
    this.#closeListeners = withListener(this.#closeListeners, registration);
    return () => {
      this.#closeListeners = withoutListener(this.#closeListeners, registration);
    };
  }

  /** Reports an error that has no caller. */
  onSourceError(error: unknown, consequence?: string): void {
    this.inScope(() => {
      const { onError } = this.#options;
      const isHandled = onError !== undefined || (this.#state !== 'open' && followsFromClose(error));
      reportError(this.req, error, isHandled, consequence);
      try {
        onError?.(error, this.req as RoutedRequest);
      } catch (failure) {
        reportError(this.req, failure);
      }
    });
  }

  /** The response is closed. */
  override close(): void {
    const { failure } = this.seam;
    if (failure !== undefined) {
      this.finishClose('error', this.closedError ?? failure);
      return;
    }
    // After a reset HTTP/2 reports the body as finished: only `writableEnded` says that the server had ended it.
    const reason = this.closedError?.reason ?? (this.res.writableEnded ? 'ended' : 'client-closed');
    this.finishClose(reason, this.closedError);
  }

  /** The one way into `closed`. Leaves the response alone. */
  finishClose(reason: CloseReason, cause?: unknown): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    const closedError = (this.closedError = closeError(reason, cause));
    this.inScope(() => {
      this.outbox.close(closedError);
      this.seam.remove(this);
      this.#context?.abort(closedError);
      tellClosed(this, this.#closeListeners, reason);
      this.#closeListeners = undefined;
      streamEvents.close.publish({ req: this.req, res: this.res, reason });
    });
  }

  /** The request's context is aborted: the stream is not wanted any more. */
  #interrupt(reason: unknown): void {
    if (this.#state === 'closed') return;
    const why = reason instanceof StreamClosedError ? reason.reason : 'error';
    // Nothing is sent: whatever aborted the context may answer with a status.
    if (!this.started && !this.res.headersSent) this.finishClose(why, reason);
    else if (why === 'draining' || why === 'client-closed') this.abort(why, reason);
    else void this.leave(why, { cause: reason });
  }

  /** Runs a step that calls methods of `res`: patches may throw, and no caller could catch it. */
  #attempt(step: () => void): void {
    try {
      this.inScope(step);
    } catch (error) {
      failToWrite(this, error);
    }
  }
}

function failToWrite(stream: OutStream, error: unknown): void {
  stream.onSourceError(error);
  stream.abort('error', error);
}

function tellClosed(stream: OutStream, listeners: CloseListeners, reason: CloseReason): void {
  callEach(
    eachListener(listeners),
    ({ listener }) => listener(reason),
    (error) => stream.onSourceError(error),
  );
}

// A function: what it calls may close the stream, and TypeScript would not see it.
function isClosed(stream: OutStream): boolean {
  return stream.state === 'closed';
}

/** The stream that a response carries. */
export function streamOf(res: HttpResponse): OutStream | undefined {
  const writer = seamOf(res)?.layerAt(rank.writer);
  return writer instanceof OutStream ? writer : undefined;
}
