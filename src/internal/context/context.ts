import type { AsyncResource } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { DeadlineExceededError, InvalidOptionError } from '../../errors.ts';
import { captureScope } from './async-scope.ts';
import { callEach } from '../listeners.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import type { ChildContext, ChildOptions, RequestContext } from './contract.ts';
import type { DeadlineQueue, Queued } from '../time/deadline-queue.ts';
import { type OptionNames, readDuration, readOptions } from '../option.ts';

export type { ChildContext, ChildOptions, RequestContext } from './contract.ts';

type AbortListener = (reason: unknown) => void;

/** Settings of a context. */
interface ContextSettings {
  readonly clock?: Clock;
  /** Used instead of an own timer, if the order of deadlines allows it. */
  readonly queue?: DeadlineQueue | undefined;
  /** Where listeners of its signal run. @defaultValue the async context of the code that asks for the signal first */
  readonly scope?: AsyncResource;
}

const none: ContextSettings = {};
const childNames: OptionNames<ChildOptions> = { timeout: true };
const childAdvice = { single: 'timeout', instead: { deadline: 'timeout', ms: 'timeout', default: 'timeout' } };

/**
 * A node of a tree of contexts. It makes its controller, timer and set of children only when they are needed. A parent
 * keeps its children until they are aborted or disposed, and nothing else: `AbortSignal.any` and `AbortSignal.timeout`
 * would keep 1 to 1.6 kB per request while the signal at the root lives.
 *
 *     live ──abort, deadline, parent aborted──▶ aborted
 *       └────dispose──▶ disposed
 */
export class Context implements ChildContext, Queued {
  /** Its place in the queue of deadlines. Owned by the queue. */
  queued: Queued['queued'];
  #state: 'live' | 'aborted' | 'disposed' = 'live';
  #clock: Clock;
  #parent: Context | undefined;
  #children: Set<Context> | undefined;
  /** Its own deadline, by the clock. */
  #expires: number;
  #reason: unknown;
  #controller: AbortController | undefined;
  /** Where listeners of the signal run, instead of the async context of the code that aborts it. */
  #signalScope: AsyncResource | undefined;
  #listeners: Set<{ readonly listener: AbortListener }> | undefined;
  #disarm: (() => void) | undefined;
  #queue: DeadlineQueue | undefined;
  /** Whether it or a child needs its deadline. */
  #isWatched = false;

  /**
   * @param timeout - ms from now; `Infinity` for none
   */
  constructor(parent: Context | undefined, timeout: number, { clock, queue, scope }: ContextSettings = none) {
    this.#clock = clock ?? (parent ? parent.#clock : systemClock);
    this.#queue = queue;
    this.#signalScope = scope;
    this.#expires = timeout === Infinity ? Infinity : this.#clock.now() + timeout;
    if (!parent || parent.#state === 'disposed') {
      // The deadline of a disposed parent still holds.
      if (parent) this.#expires = Math.min(this.#expires, parent.#limit());
    } else if (parent.#state === 'aborted') {
      this.#state = 'aborted';
      this.#reason = parent.#reason;
    } else {
      this.#parent = parent;
      (parent.#children ??= new Set()).add(this);
    }
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      // A request may have many calls at once, and Node 20 warns of the eleventh listener. Not 0: with 0 Node 20 throws
      // in `getMaxListeners`, which undici's `fetch` calls.
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

  /** The reason of the abort; `undefined`: not aborted. */
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
    const { timeout = Infinity } = readOptions('child', options, childNames, childAdvice);
    return new Context(this, timeout === Infinity ? Infinity : readDuration('child.timeout', timeout));
  }

  throwIfAborted(): void {
    if (this.#state === 'live' && this.remaining() === 0) this.abort(new DeadlineExceededError());
    if (this.#state === 'aborted') throw this.#reason;
    if (this.remaining() === 0) throw new DeadlineExceededError();
  }

  /** Calls the listener once, when it aborts; at once if it has. Returns the undo. */
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
   * Sets its own deadline anew, `timeout` ms from now. The parent's still holds.
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
    this.#detach();
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
   * Takes an error of an abort listener, which has no caller. Throws it in the next tick, as Node does for listeners of
   * an AbortSignal.
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
    this.#detach();
    const children = this.#children;
    this.#children = this.#listeners = undefined;
    for (const child of children ?? []) child.#orphan(limit);
  }

  /** The deadline has passed. */
  expire(): void {
    this.abort(new DeadlineExceededError());
  }

  /**
   * Makes the deadline abort it. Uses a timer only for its own deadline: the parent keeps the parent's.
   */
  arm(): void {
    this.#isWatched = true;
    if (this.#disarm || this.queued || this.#state !== 'live') return;
    if (this.#parent) this.#parent.arm();
    if (this.#expires === Infinity || (this.#parent && this.#expires >= this.#parent.#limit())) return;
    if (this.#queue?.takes(this.#expires)) this.#queue.add(this, this.#expires);
    else this.#disarm = this.#clock.startTimer(Math.max(0, this.#expires - this.#clock.now()), () => this.expire());
  }

  /** Called after an abort, for subclasses. */
  protected aborted?(reason: unknown): void;

  /** Goes on without its parent, up to the parent's deadline. */
  #orphan(limit: number): void {
    this.#parent = undefined;
    this.#expires = Math.min(this.#expires, limit);
    this.#rearm();
  }

  /** Its deadline or its parent has changed, and so may the timer that aborts it and its children. */
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

  #detach(): void {
    this.#stopTimer();
    if (this.#parent) this.#parent.#children?.delete(this);
    this.#parent = undefined;
  }
}

/** The context of work that belongs to no request. It has no deadline, never aborts, and keeps no children. */
export const background: Context = new Context(undefined, Infinity);
background.dispose();

/** Checks a context given by a caller. Throws `InvalidOptionError`. */
export function requireContext(option: string, value: RequestContext | undefined): Context {
  if (value instanceof Context) return value;
  throw new InvalidOptionError(option, 'a context of this library', value);
}
