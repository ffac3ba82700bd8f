import type { AsyncResource } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { DeadlineExceededError, InvalidOptionError } from '../../errors.ts';
import { captureScope } from './async-scope.ts';
import { callEach } from '../listeners.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import type { ChildContext, ChildOptions, RequestContext } from './contract.ts';
import type { DeadlineQueue, Queued } from '../time/deadline-queue.ts';
import { readBag, readDuration } from '../option.ts';

export type { ChildContext, ChildOptions, RequestContext } from './contract.ts';

type AbortListener = (reason: unknown) => void;

/** What a context may be given. */
interface ContextSettings {
  readonly clock?: Clock;
  /** In place of a timer of its own, where the order allows. */
  readonly queue?: DeadlineQueue | undefined;
  /** Where listeners of its signal run, whichever code asks for that first. */
  readonly scope?: AsyncResource;
}

const none: ContextSettings = {};

/**
 * A context, in a tree. Nothing is made before it is asked for: no controller, no timer, no set of children. A parent
 * holds its children until they are aborted or disposed, and that is all that is retained: `AbortSignal.any` and
 * `AbortSignal.timeout` keep 1 to 1.6 kB for each request while the signal at the root lives.
 *
 *     live ──abort, deadline, parent aborted──▶ aborted
 *       └────dispose──▶ disposed
 */
export class Context implements ChildContext, Queued {
  /** Its place in a queue of deadlines; the queue's. */
  queued: Queued['queued'];
  #state: 'live' | 'aborted' | 'disposed' = 'live';
  #clock: Clock;
  #parent: Context | undefined;
  #children: Set<Context> | undefined;
  /** Of its own, by the clock. */
  #expires: number;
  #reason: unknown;
  #controller: AbortController | undefined;
  /**
   * Where listeners of the signal run, and not in the async context of what aborts it: in that of the code that asked
   * for it first.
   */
  #signalScope: AsyncResource | undefined;
  #listeners: Set<{ readonly listener: AbortListener }> | undefined;
  #disarm: (() => void) | undefined;
  #queue: DeadlineQueue | undefined;
  /** Somebody waits for its deadline, here or below. */
  #isWatched = false;

  /**
   * @param timeout - ms from now; `Infinity` for none
   */
  constructor(parent: Context | undefined, timeout: number, { clock, queue, scope }: ContextSettings = none) {
    this.#clock = clock ?? parent?.clock ?? systemClock;
    this.#queue = queue;
    this.#signalScope = scope;
    this.#expires = timeout === Infinity ? Infinity : this.#clock.now() + timeout;
    if (!parent || parent.#state === 'disposed') {
      // The deadline of one that is over still holds for what goes on after it.
      if (parent) this.#expires = Math.min(this.#expires, parent.#limit());
    } else if (parent.#state === 'aborted') {
      this.#state = 'aborted';
      this.#reason = parent.#reason;
    } else {
      this.#parent = parent;
      (parent.#children ??= new Set()).add(this);
    }
  }

  get clock(): Clock {
    return this.#clock;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      // A request may have many calls under way at once. Node 20 warns of the eleventh listener. Not 0: for that Node
      // 20 throws in `getMaxListeners`, which the `fetch` of undici calls.
      setMaxListeners(Infinity, this.#controller.signal);
      this.#signalScope ??= captureScope();
      if (this.#state === 'aborted') this.#controller.abort(this.#reason);
      else this.arm();
    }
    return this.#controller.signal;
  }

  get deadline(): number {
    return performance.timeOrigin + this.#limit() + (performance.now() - this.#clock.now());
  }

  /** Why it is aborted; `undefined` while it is not. */
  get reason(): unknown {
    return this.#reason;
  }

  get isLive(): boolean {
    return this.#state === 'live';
  }

  remaining(): number {
    return Math.max(0, this.#limit() - this.#clock.now());
  }

  child(options?: ChildOptions): Context {
    const { timeout = Infinity } = readBag('child', options);
    return new Context(this, timeout === Infinity ? Infinity : readDuration('child.timeout', timeout));
  }

  throwIfAborted(): void {
    if (this.#state === 'live' && this.remaining() === 0) this.abort(new DeadlineExceededError());
    if (this.#state === 'aborted') throw this.#reason;
    if (this.remaining() === 0) throw new DeadlineExceededError();
  }

  /** Calls the listener once when it is aborted; at once if it is already. Returns its undo. */
  onAbort(listener: AbortListener): () => void {
    if (this.#state === 'aborted') {
      listener(this.#reason);
      return () => undefined;
    }
    const registration = { listener };
    (this.#listeners ??= new Set()).add(registration);
    this.arm();
    return () => {
      this.#listeners?.delete(registration);
    };
  }

  /**
   * Another deadline of its own, `timeout` ms from now: for a stream that trades its total deadline. The parent's still
   * holds.
   */
  reschedule(timeout: number): void {
    if (this.#state !== 'live') return;
    this.#expires = timeout === Infinity ? Infinity : this.#clock.now() + timeout;
    this.#rearm();
  }

  abort(reason: unknown = new DOMException('This operation was aborted', 'AbortError')): void {
    if (this.#state !== 'live') return;
    this.#state = 'aborted';
    this.#reason = reason;
    this.#letGo();
    const [children, listeners] = [this.#children, this.#listeners];
    this.#children = this.#listeners = undefined;
    for (const child of children ?? []) {
      child.#parent = undefined;
      child.abort(reason);
    }
    callEach(
      listeners ?? [],
      ({ listener }) => listener(reason),
      (error) => this.fail(error),
    );
    this.#abortSignal(reason);
    try {
      this.aborted?.(reason);
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Takes an error of one that was told of the end, which has no caller. Throws it later, as Node does for a listener
   * of a signal.
   */
  fail(error: unknown): void {
    process.nextTick(() => {
      throw error;
    });
  }

  #abortSignal(reason: unknown): void {
    const controller = this.#controller;
    if (controller) this.#signalScope?.runInAsyncScope(() => controller.abort(reason));
    this.#signalScope = undefined;
  }

  dispose(): void {
    if (this.#state !== 'live') return;
    const limit = this.#limit();
    this.#state = 'disposed';
    this.#expires = limit;
    this.#letGo();
    const children = this.#children;
    this.#children = this.#listeners = undefined;
    for (const child of children ?? []) child.#orphan(limit);
  }

  /** The deadline has passed. */
  expire(): void {
    this.abort(new DeadlineExceededError());
  }

  /**
   * Sees to it that the deadline aborts it. A timer of its own only for a deadline of its own: the parent's is the
   * parent's to keep.
   */
  arm(): void {
    this.#isWatched = true;
    if (this.#disarm || this.queued || this.#state !== 'live') return;
    if (this.#parent) this.#parent.arm();
    if (this.#expires === Infinity || (this.#parent && this.#expires >= this.#parent.#limit())) return;
    if (this.#queue?.takes(this.#expires)) this.#queue.add(this, this.#expires);
    else this.#disarm = this.#clock.startTimer(Math.max(0, this.#expires - this.#clock.now()), () => this.expire());
  }

  /** For a kind of context that does something itself when it is aborted. */
  protected aborted?(reason: unknown): void;

  /** Goes on without its parent, until the parent's deadline. */
  #orphan(limit: number): void {
    this.#parent = undefined;
    this.#expires = Math.min(this.#expires, limit);
    this.#rearm();
  }

  /** Its deadline, or who is above it, has changed, and with that whose timer aborts it and its children. */
  #rearm(): void {
    if (!this.#isWatched) return;
    this.#stopTimer();
    this.arm();
    for (const child of this.#children ?? []) child.#rearm();
  }

  #limit(): number {
    return this.#parent ? Math.min(this.#expires, this.#parent.#limit()) : this.#expires;
  }

  #stopTimer(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    if (this.queued) this.#queue?.remove(this);
  }

  #letGo(): void {
    this.#stopTimer();
    if (this.#parent) this.#parent.#children?.delete(this);
    this.#parent = undefined;
  }
}

/**
 * The context of work that belongs to no request: without a deadline, and never aborted. Nothing keeps its children but
 * who made them.
 */
export const background: Context = new Context(undefined, Infinity);
background.dispose();

/** Checks a context that a caller gave. Throws `InvalidOptionError`. */
export function requireContext(option: string, value: RequestContext | undefined): Context {
  if (value instanceof Context) return value;
  throw new InvalidOptionError(option, 'a context of this library', value);
}
