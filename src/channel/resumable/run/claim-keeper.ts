import { startTimer } from '../../../internal/time/clock.ts';
import type { ChannelLog } from '../../log/backplane.ts';
import type { Directory } from './directory.ts';
import type { RunRef } from './run-ref.ts';

// A claim is renewed so often in its time.
const renewals = 3;

// What points to the run is said again at least so often, in ms.
const longestSilence = 60_000;

/** Holds the claim of a run, and keeps what points to the run, until it is stopped. */
export class ClaimKeeper {
  readonly #directory: Directory;
  readonly #ref: RunRef;
  readonly #log: ChannelLog;
  readonly #onLost: () => void;
  #pointedAt = performance.now();
  #stopTimer: (() => void) | undefined;
  #isStopped = false;

  /** @param onLost - another process has the run, or it has ended */
  constructor(directory: Directory, ref: RunRef, log: ChannelLog, onLost: () => void) {
    this.#directory = directory;
    this.#ref = ref;
    this.#log = log;
    this.#onLost = onLost;
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer?.();
  }

  #arm(): void {
    this.#stopTimer = startTimer(this.#directory.options.lease / renewals, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    try {
      if (!(await this.#log.renew(this.#ref.fence, this.#directory.options.lease))) {
        if (!this.#isOver()) this.#onLost();
        return;
      }
      await this.#pointAgain();
    } catch {
      // The backplane cannot be reached. The claim may be renewed later, if no other process takes it meanwhile.
    }
    if (!this.#isOver()) this.#arm();
  }

  /** An answer may take longer than a channel is kept on which nothing is published. */
  async #pointAgain(): Promise<void> {
    const silence = Math.min(longestSilence, this.#directory.family.options.ttl / 2);
    if (performance.now() - this.#pointedAt < silence) return;
    this.#pointedAt = performance.now();
    await this.#directory.pointAgain(this.#ref);
  }

  // A method: what is awaited may change it, and TypeScript would not see it.
  #isOver(): boolean {
    return this.#isStopped;
  }
}
