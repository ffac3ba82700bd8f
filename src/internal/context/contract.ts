import type { Duration } from '../option.ts';

/** How a child differs from its parent. */
export interface ChildOptions {
  /**
   * The most that it may take from now on: milliseconds or a string for `ms`; `Infinity` is no bound of its own. It
   * never outlives its parent. @defaultValue `Infinity`
   */
  timeout?: Duration;
}

/** One deadline and one signal for a piece of work: of a request, of a stream in it, of a call that it makes. */
export interface RequestContext {
  /**
   * Aborts when nobody waits for the work any more. `signal.reason` tells why by its class: `DeadlineExceededError`,
   * `ClientClosedError`, `DrainingError`, `IdleTimeoutError`, or whatever it was aborted with. It does not abort when
   * the response ended as it should.
   */
  readonly signal: AbortSignal;
  /** When it has to be done: milliseconds since the epoch, as `Date.now()`; `Infinity` without a deadline. */
  readonly deadline: number;
  /** Milliseconds that are left, with fractions: 0 when the deadline has passed, `Infinity` without one. */
  remaining(): number;
  /**
   * A context for a part of the work: aborted with this one, and on its own by `timeout`. What happens to it touches no
   * other. Throws `InvalidOptionError`.
   */
  child(options?: ChildOptions): ChildContext;
  /** Throws `signal.reason` when it is aborted, and `DeadlineExceededError` from the moment the deadline has passed. */
  throwIfAborted(): void;
}

/**
 * A context with an owner, who ends it. That of a request ends with its response; what is still at work below it goes
 * on until its deadline.
 */
export interface ChildContext extends RequestContext {
  /** Aborts it and all its children. Without a reason it is a `DOMException` named `AbortError`. */
  abort(reason?: unknown): void;
  /**
   * The work is done: frees the timer, and lets go of the parent. Nothing aborts any more but what has its own
   * deadline.
   */
  dispose(): void;
}
