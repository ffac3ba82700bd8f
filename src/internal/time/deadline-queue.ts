import { AsyncResource } from 'node:async_hooks';
import { callEach } from '../listeners.ts';
import { longestDelay } from './clock.ts';

/** An entry of a queue, linked into it. */
export interface Queued {
  /** Owned by the queue. */
  queued: Links | undefined;
  /** Called at its deadline, once it has left the queue. */
  expire(): void;
  /** Gets what `expire` threw. */
  fail(error: unknown): void;
}

interface Links {
  readonly at: number;
  previous: Queued | undefined;
  next: Queued | undefined;
}

/**
 * Deadlines that come in the order in which they were set, as those of requests with the same option do. One timer
 * serves all. Beginning or ending a request does not touch it: a timer per request would cost more than everything else
 * the library keeps of a request.
 */
export class DeadlineQueue {
  #first: Queued | undefined;
  #last: Queued | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #wakesAt = Infinity;
  /** The timer's async context: it would else keep the request alive in which it was set. */
  #resource = new AsyncResource('sluice.deadlines', { requireManualDestroy: true });

  /** Whether a deadline, by `performance.now()`, is not before the last one. */
  takes(at: number): boolean {
    return !this.#last?.queued || at >= this.#last.queued.at;
  }

  /** @param at - the deadline, by `performance.now()` */
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
   * Sets the timer for the first entry, unless it fires sooner: then it sets itself again.
   */
  #arm(): void {
    const at = this.#first?.queued?.at;
    if (at === undefined || at >= this.#wakesAt) return;
    clearTimeout(this.#timer);
    this.#wakesAt = at;
    // Rounded up: a timer that fires early would find nothing to do.
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

  /** One at a time: each may add or remove others. */
  *#takeDue(now: number): Generator<Queued> {
    for (let first = this.#first; first?.queued && first.queued.at <= now; first = this.#first) {
      this.remove(first);
      yield first;
    }
  }
}
