import { AsyncResource } from 'node:async_hooks';
import { callEach } from '../listeners.ts';
import { type Clock, systemClock } from './clock.ts';

/** What a wheel calls at its time. It is a link of one of the wheel's lists. */
export interface Timed {
  /** The wheel's. */
  timing: Timing | undefined;
  /** Its time has come, and it is not in the wheel any more. */
  onTime(now: number): void;
}

/** Where something is in a wheel. */
export interface Timing {
  at: number;
  slot: number;
  previous: Timed | undefined;
  next: Timed | undefined;
}

// One turn is 16 s, about the time between two heartbeats: what comes later stays in its slot for another turn.
const slots = 1024;

// Wakes at most 64 times a second, however many wait; nothing here needs to be more exact.
const width = 15.625;

/**
 * Points in time for many: to set one, move it or take it out costs the same however many there are, and one timer
 * serves all. Each is called at its time or up to 17 ms after it, never before. The timer does not keep the process
 * alive.
 *
 *     ┌───┬───┬───┬─▲─┬───┬───┬───┐   slot = time / width, modulo
 *     │   │ ◯ │   │ │ │   │ ◯ │   │   each a list of those whose time is in it, in this turn or a later one
 *     └───┴─┼─┴───┴─┴─┴───┴───┴───┘
 *           ◯      now
 */
export class TimingWheel {
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #lists: (Timed | undefined)[] = new Array<Timed | undefined>(slots).fill(undefined);
  #size = 0;
  /** Of the entry that was taken out last: mostly the one that is put in next. */
  #spare: Timing | undefined;
  #isClosed = false;
  /** The last tick whose slot was emptied. */
  #tick = 0;
  /** For which tick the timer is set. */
  #wakesAt = Infinity;
  #stopTimer: (() => void) | undefined;
  /** Of the timer: it would keep alive what belongs to the request at hand when it is set. */
  readonly #resource = new AsyncResource('sluice.wheel', { requireManualDestroy: true });

  /** @param onError - told what an entry throws at its time; the others are called all the same */
  constructor(onError: (error: unknown) => void, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#onError = onError;
    this.#tick = Math.floor(clock.now() / width);
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Sets the time of something, anew if it has one. `Infinity`: never. */
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

  /** Forgets all. */
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

  /** Forgets all, and takes nothing any more. */
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
    // Rounded up: a timer that is early would find nothing to do.
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
    // After a long pause each slot once.
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
      // An entry before it may have taken it out, or moved it.
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
