import type { AsyncResource } from 'node:async_hooks';
import { captureScope } from './context/async-scope.ts';

interface Registration<T> {
  readonly listener: (value: T) => void;
  /** The async context of its registration: an event comes in that of whatever caused it, often a request. */
  readonly scope: AsyncResource;
}

/**
 * The listeners of one event. Every registration is its own, with its own undo, also of a function that is registered
 * already.
 */
export class Listeners<T extends object> {
  readonly #registrations = new Set<Registration<T>>();
  readonly #onError: (error: unknown) => void;
  #undelivered: T[] = [];
  #delivering = false;

  /** @param onError - told what a listener throws; the others are called all the same */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Registers a listener. Returns the undo, which may be called more than once. */
  add(listener: (value: T) => void): () => void {
    const registration = { listener, scope: captureScope() };
    this.#registrations.add(registration);
    return () => {
      this.#registrations.delete(registration);
    };
  }

  /**
   * Calls every listener, in the order of their registration. One that causes the next event gets it once all have got
   * this one: nobody sees them in another order than they happened.
   */
  emit(value: T): void {
    this.#undelivered.push(value);
    if (this.#delivering) return;
    this.#delivering = true;
    for (let next = this.#undelivered.shift(); next !== undefined; next = this.#undelivered.shift())
      this.#deliver(next);
    this.#delivering = false;
  }

  /** Removes all, also for an event that is being delivered. */
  clear(): void {
    this.#registrations.clear();
    this.#undelivered = [];
  }

  #deliver(value: T): void {
    // A copy, so that a listener that registers another does not have it called for the same event.
    for (const registration of [...this.#registrations]) {
      if (!this.#registrations.has(registration)) continue;
      try {
        registration.scope.runInAsyncScope(registration.listener, undefined, value);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}

/**
 * Calls a function with each of several that have nothing to do with each other. What it throws for one goes to
 * `onError`, and keeps no other from its turn.
 */
export function callEach<T>(
  items: Iterable<T>,
  call: (item: T) => void,
  onError: (error: unknown, item: T) => void,
): void {
  for (const item of items) {
    try {
      call(item);
    } catch (error) {
      onError(error, item);
    }
  }
}
