import type { Duration } from '../option.ts';

/** Options of `child`. */
export interface ChildOptions {
  /**
   * How long it may take from now on: milliseconds or a string for `ms`. `Infinity`: no own limit. It never outlives
   * its parent. @defaultValue `Infinity`
   */
  timeout?: Duration | undefined;
}

/** One deadline and one signal for a piece of work: a request, a stream in it, or a call that it makes. */
export interface RequestContext {
  /**
   * Aborts when the work is no longer needed. The class of `signal.reason` tells why: `DeadlineExceededError`,
   * `ClientClosedError`, `DrainingError`, `IdleTimeoutError`, or the reason given to `abort`. It does not abort when
   * the response ends normally.
   */
  readonly signal: AbortSignal;
  /** The deadline in milliseconds since the epoch, as `Date.now()`. `Infinity`: none. */
  readonly deadline: number;
  /** The remaining milliseconds, with fractions. 0: the deadline has passed. `Infinity`: there is none. */
  remaining(): number;
  /**
   * Makes a context for a part of the work. It aborts with this one, or alone by `timeout`. Its end affects no other
   * context. Throws `InvalidOptionError`.
   */
  child(options?: ChildOptions): ChildContext;
  /** Throws `signal.reason` if it is aborted, and `DeadlineExceededError` once the deadline has passed. */
  throwIfAborted(): void;
}

/**
 * A context that its owner ends. The context of a request ends with the response; children that are still at work go on
 * until its deadline.
 */
export interface ChildContext extends RequestContext {
  /** Aborts it and its children. @param reason - @defaultValue a `DOMException` named `AbortError` */
  abort(reason?: unknown): void;
  /**
   * Ends it without an abort: the work is done. Frees its timer and leaves its parent. Only children with a deadline
   * can abort after that.
   */
  dispose(): void;
}
