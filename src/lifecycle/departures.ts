import { callEach } from '../internal/listeners.ts';
import type { Farewell } from './drainable.ts';
import { departureTimes } from './policy/schedule.ts';

interface Departure {
  readonly at: number;
  readonly leave: Farewell;
}

/** Those that are to be sent away, each at its own time; one timer for all. It keeps the process alive. */
export class Departures {
  readonly #onEmpty: () => void;
  readonly #onError: (error: unknown) => void;
  /** The next one last. */
  #waiting: Departure[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastAt: number | undefined;

  /**
   * @param onEmpty - called whenever the last one that waited has gone
   * @param onError - told what one throws; the others go all the same
   */
  constructor(onEmpty: () => void, onError: (error: unknown) => void) {
    this.#onEmpty = onEmpty;
    this.#onError = onError;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** When the last one was sent away, by `performance.now()`. */
  get lastAt(): number | undefined {
    return this.#lastAt;
  }

  /** Spreads some over the next `window` ms. */
  add(farewells: readonly Farewell[], window: number): void {
    if (farewells.length === 0) return;
    const now = performance.now();
    const times = departureTimes(farewells.length, window, Math.random);
    const added = farewells.map((leave, index) => ({ at: now + (times[index] ?? 0), leave }));
    // First come, first gone, of those with the same time.
    this.#waiting = [...added.reverse(), ...this.#waiting].sort((one, other) => other.at - one.at);
    this.#arm();
  }

  /** Sends all away at once that still wait for their time. */
  hurry(): void {
    clearTimeout(this.#timer);
    this.#sendAwayUntil(Infinity);
  }

  clear(): void {
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  sendAwayDue(): void {
    this.#sendAwayUntil(performance.now());
  }

  #sendAwayUntil(time: number): void {
    callEach(this.#takeUntil(time), ({ leave }) => leave(), this.#onError);
    if (this.isEmpty) this.#onEmpty();
    else this.#arm();
  }

  /** One at a time: each may add others, or clear all. */
  *#takeUntil(time: number): Generator<Departure> {
    for (let next = this.#waiting.at(-1); next && next.at <= time; next = this.#waiting.at(-1)) {
      this.#waiting.pop();
      yield next;
      this.#lastAt = performance.now();
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#waiting.at(-1);
    if (next) this.#timer = setTimeout(sendAway, Math.max(0, next.at - performance.now()), this);
  }
}

function sendAway(departures: Departures): void {
  departures.sendAwayDue();
}
