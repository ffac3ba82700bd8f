import { AsyncResource } from 'node:async_hooks';
import { callEach } from '../listeners.ts';
import { type Clock, systemClock } from './clock.ts';

/** An entry of a wheel, linked into one of its lists. */
export interface Timed {
  /** Owned by the wheel. */
  timing: Timing | undefined;
  /** Called at its time, once it has left the wheel. */
  onTime(now: number): void;
}

/** The place of an entry in a wheel. */
export interface Timing {
  at: number;
  slot: number;
  previous: Timed | undefined;
  next: Timed | undefined;
}

// One turn takes 16 s, about the time between two heartbeats. Later entries stay in their slot for another turn.
const slots = 1024;

// The wheel wakes at most 64 times a second. No user needs more precision.
const width = 15.625;

/**
 * One timer for many points in time. To set, move or cancel one costs the same however many there are. Each entry is
 * called at its time or up to 17 ms later, never before. The timer does not keep the process alive.
 *
 *     ┌───┬───┬───┬─▲─┬───┬───┬───┐   slot = time / width, modulo
 *     │   │ ◯ │   │ │ │   │ ◯ │   │   each a list of entries of this turn or a later one
 *     └───┴─┼─┴───┴─┴─┴───┴───┴───┘
 *           ◯      now
 */
export class TimingWheel {
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #lists: (Timed | undefined)[] = new Array<Timed | undefined>(slots).fill(undefined);
  #size = 0;
  /** The place of the entry that left last. Mostly that entry comes back next. */
  #spare: Timing | undefined;
  #isClosed = false;
  /** The last tick whose slot was emptied. */
  #tick = 0;
  /** The tick at which the timer fires. */
  #wakesAt = Infinity;
  #stopTimer: (() => void) | undefined;
  /** The timer's async context: it would else keep the request alive in which it was set. */
  readonly #resource = new AsyncResource('sluice.wheel', { requireManualDestroy: true });

  /** @param onError - gets what an entry throws; the others are called all the same */
  constructor(onError: (error: unknown) => void, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#onError = onError;
    this.#tick = Math.floor(clock.now() / width);
  }

  /** The number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Sets or changes the time of an entry. `Infinity`: never. */
  schedule(entry: Timed, at: number): void {
    if (this.#isClosed) return;
    if (at === Infinity) {
      this.cancel(entry);
      return;
    }
    if (this.#size === 0) this.#tick = Math.floor(this.#clock.now() / width);
    const tick = Math.max(Math.ceil(at / width), this.#tick + 1);
    const { timing } = entry;
    if (timing) {
      timing.at = at;
      if (timing.slot === tick % slots) {
        this.#wakeBy(tick);
        return;
      }
      this.#unlink(entry, timing);
    }
    this.#link(entry, at, tick % slots);
    this.#wakeBy(tick);
  }

  cancel(entry: Timed): void {
    if (entry.timing) this.#unlink(entry, entry.timing);
  }

  /** Removes all entries. */
  clear(): void {
    for (const [slot, first] of this.#lists.entries()) {
      for (let entry = first; entry;) {
        const next: Timed | undefined = entry.timing?.next;
        entry.timing = undefined;
        entry = next;
      }
      this.#lists[slot] = undefined;
    }
    this.#size = 0;
    this.#sleep();
  }

  /** Removes all entries, and takes no more. */
  close(): void {
    this.clear();
    this.#isClosed = true;
  }

  #link(entry: Timed, at: number, slot: number): void {
    const next = this.#lists[slot];
    const timing = this.#spare ?? { at, slot, previous: undefined, next };
    timing.at = at;
    timing.slot = slot;
    timing.next = next;
    entry.timing = timing;
    this.#spare = undefined;
    if (next?.timing) next.timing.previous = entry;
    this.#lists[slot] = entry;
    this.#size += 1;
  }

  #unlink(entry: Timed, timing: Timing): void {
    const { slot, previous, next } = timing;
    if (previous?.timing) previous.timing.next = next;
    else this.#lists[slot] = next;
    if (next?.timing) next.timing.previous = previous;
    entry.timing = timing.previous = timing.next = undefined;
    this.#spare = timing;
    this.#size -= 1;
  }

  #wakeBy(tick: number): void {
    if (tick >= this.#wakesAt) return;
    this.#stopTimer?.();
    this.#wakesAt = tick;
    // Rounded up: a timer that fires early would find nothing to do.
    const delay = Math.max(Math.ceil(tick * width - this.#clock.now()), 1);
    this.#stopTimer = this.#resource.runInAsyncScope(() => this.#clock.startTimer(delay, () => this.#wake()));
  }

  #sleep(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#wakesAt = Infinity;
  }

  #wake(): void {
    this.#wakesAt = Infinity;
    const now = this.#clock.now();
    const last = Math.floor(now / width);
    // After a long pause, each slot once.
    const first = Math.max(this.#tick + 1, last - slots + 1);
    this.#tick = last;
    try {
      for (let tick = first; tick <= last; tick += 1) this.#empty(tick % slots, now);
    } finally {
      this.#wakeForNext();
    }
  }

  #empty(slot: number, now: number): void {
    let entry = this.#lists[slot];
    const due: Timed[] = [];
    for (; entry?.timing; entry = entry.timing.next) if (entry.timing.at <= now) due.push(entry);
    const call = (each: Timed): void => {
      // An earlier entry may have cancelled or moved it.
      if (!each.timing || each.timing.at > now) return;
      this.#unlink(each, each.timing);
      each.onTime(now);
    };
    callEach(due, call, this.#onError);
  }

  #wakeForNext(): void {
    if (this.#size === 0) return;
    for (let tick = this.#tick + 1; tick <= this.#tick + slots; tick += 1) {
      if (this.#lists[tick % slots] === undefined) continue;
      this.#wakeBy(tick);
      return;
    }
  }
}
