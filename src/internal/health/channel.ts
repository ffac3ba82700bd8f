import type { ChannelEvidence } from './policy/liveness.ts';

/** Nothing is waited for. */
export const unhurried: ChannelEvidence = { lateAt: Infinity, patientUntil: 0, failures: 0, failedAt: 0 };

/** One direction of a connection. It remembers how often in a row it was found late. */
export abstract class Channel {
  #failures = 0;
  #failedAt = 0;

  get failures(): number {
    return this.#failures;
  }

  protected get failedAt(): number {
    return this.#failedAt;
  }

  /** @param hasFailed - it was found late once more, @param isLate - it is late, whether or not that counted */
  count(hasFailed: boolean, isLate: boolean, now: number): void {
    if (hasFailed) [this.#failures, this.#failedAt] = [this.#failures + 1, now];
    else if (!isLate) this.#failures = 0;
  }
}
