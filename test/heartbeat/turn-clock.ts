import { type Clock, systemClock } from '../../src/internal/time/clock.ts';

/**
 * The clock of the system, in whole milliseconds, which stands while a callback runs: whatever happens in one call
 * happens at one time.
 */
export class TurnClock implements Clock {
  readonly startTimer = systemClock.startTimer;
  #now: number | undefined;

  now(): number {
    if (this.#now === undefined) {
      this.#now = Math.floor(systemClock.now());
      queueMicrotask(() => (this.#now = undefined));
    }
    return this.#now;
  }
}
