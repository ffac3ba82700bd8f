import type { AsyncResource } from 'node:async_hooks';
import { captureScope } from './context/async-scope.ts';

interface Registration<T> {
  readonly listener: (value: T) => void;
  /** The async context of its registration. The event itself comes in that of its cause, often a request. */
  readonly scope: AsyncResource;
}

/** The listeners of one event. A function registered twice is two registrations, each with its own undo. */
export class Listeners<T extends object> {
  readonly #registrations = new Set<Registration<T>>();
  readonly #onError: (error: unknown) => void;
  #undelivered: T[] = [];
  #delivering = false;

  /** @param onError - gets what a listener throws; the others are called all the same */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Registers a listener. Returns the undo. Further calls of it do nothing. */
  add(listener: (value: T) => void): () => void {
    const registration = { listener, scope: captureScope() };
    this.#registrations.add(registration);
    return () => {
      this.#registrations.delete(registration);
    };
  }

  /**
   * Calls every listener, in the order of registration. An event that a listener causes is delivered after this one, so
   * all listeners see events in the same order.
   */
  emit(value: T): void {
    this.#undelivered.push(value);
    if (this.#delivering) return;
    this.#delivering = true;
    for (let next = this.#undelivered.shift(); next !== undefined; next = this.#undelivered.shift())
      this.#deliver(next);
    this.#delivering = false;
  }

  /** Removes all listeners, also for an event that is being delivered. */
  clear(): void {
    this.#registrations.clear();
    this.#undelivered = [];
  }

  #deliver(value: T): void {
    // A copy: a listener that is added now is not called for this event.
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

/** Calls a function with each item. What it throws for one goes to `onError`, and the others still get their turn. */
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
