import { AsyncResource } from 'node:async_hooks';
import { callEach } from '../listeners.ts';
import { longestDelay } from './clock.ts';

/** What waits in a queue: it is a link of it. */
export interface Queued {
  /** The queue's. */
  queued: Links | undefined;
  /** Its time is over. It is not in the queue any more. */
  expire(): void;
  /** Takes what `expire` has thrown: no other waits for that. */
  fail(error: unknown): void;
}

interface Links {
  readonly at: number;
  previous: Queued | undefined;
  next: Queued | undefined;
}

/**
 * Deadlines that come in the order in which they were set, as those of requests under one option do. One timer for all
 * of them, which is not touched when a request begins or ends: a timer for each costs more than all else that is kept
 * of a request.
 */
export class DeadlineQueue {
  #first: Queued | undefined;
  #last: Queued | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** For which moment the timer is set. */
  #wakesAt = Infinity;
  /** Of the timer: it would keep alive what belongs to the request at hand when it is set. */
  #resource = new AsyncResource('sluice.deadlines', { requireManualDestroy: true });

  /** Whether a deadline, by `performance.now()`, can go to the end: it comes after all that are in. */
  takes(at: number): boolean {
    return !this.#last?.queued || at >= this.#last.queued.at;
  }

  /** @param at - when it is over, by `performance.now()` */
  add(entry: Queued, at: number): void {
    entry.queued = { at, previous: this.#last, next: undefined };
    if (this.#last?.queued) this.#last.queued.next = entry;
    else this.#first = entry;
    this.#last = entry;
    this.#arm();
  }

  remove(entry: Queued): void {
    const { queued } = entry;
    if (!queued) return;
    entry.queued = undefined;
    if (queued.previous?.queued) queued.previous.queued.next = queued.next;
    else this.#first = queued.next;
    if (queued.next?.queued) queued.next.queued.previous = queued.previous;
    else this.#last = queued.previous;
  }

  /**
   * A timer for the first. One that was set for an earlier deadline finds out by itself; a later one, of a queue that
   * was empty since, does not.
   */
  #arm(): void {
    const at = this.#first?.queued?.at;
    if (at === undefined || at >= this.#wakesAt) return;
    clearTimeout(this.#timer);
    this.#wakesAt = at;
    // Rounded up: a timer that is early would find nothing to do.
    const delay = Math.min(Math.max(Math.ceil(at - performance.now()), 1), longestDelay);
    this.#timer = this.#resource.runInAsyncScope(() => setTimeout(() => this.#expire(), delay).unref());
  }

  #expire(): void {
    this.#wakesAt = Infinity;
    try {
      callEach(
        this.#takeDue(performance.now()),
        (due) => due.expire(),
        (error, due) => due.fail(error),
      );
    } finally {
      this.#arm();
    }
  }

  /** One at a time: each may take out another, or put one in. */
  *#takeDue(now: number): Generator<Queued> {
    for (let first = this.#first; first?.queued && first.queued.at <= now; first = this.#first) {
      this.remove(first);
      yield first;
    }
  }
}
