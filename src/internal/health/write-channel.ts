import { Channel, unhurried } from './channel.ts';
import type { ChannelEvidence } from './policy/liveness.ts';

// Two readings of the kernel's table, each after its longest rest, and what they take.
const longestReading = 12_000;

/** How slowly a peer may take what waits for it. */
export interface Pace {
  /** For how many ms not a byte may be taken. */
  readonly writeDeadline: number;
  /** Bytes per second, on average since something waits; 0: any. */
  readonly minRate: number;
}

/**
 * What goes to a peer: since when what waits for it has not moved. It waits in this process, or in the kernel, whose
 * peer says that it has no more room. Times are ms of the registry's clock.
 */
export class WriteChannel extends Channel {
  readonly #pace: Pace;
  /** Since when nothing has moved. */
  #stalledAt: number | undefined;
  /** When something began to wait, and what had been taken by then. */
  #queuedAt: number | undefined;
  #takenBefore = 0;
  #taken: number;
  /**
   * What the kernel of the peer had acknowledged at the first look since then, and has by now: of that, ours tells in
   * steps of a megabyte.
   */
  #deliveredBefore: number | undefined;
  #delivered = 0;
  /** When the kernel last had to tell whether that had become more. */
  #comparedAt: number | undefined;
  #isWindowClosed = false;

  /** @param taken - of what was written, by the last look */
  constructor(pace: Pace, taken: number) {
    super();
    this.#pace = pace;
    this.#taken = taken;
  }

  get isStalled(): boolean {
    return this.#stalledAt !== undefined;
  }

  /** A write found the queue full. */
  noteFull(now: number): void {
    this.#stalledAt ??= now;
  }

  /**
   * @param queued - bytes that wait in this process, @param taken - of those that were written, how many the kernel
   * took
   */
  sample(queued: number, taken: number, now: number): void {
    const hasMoved = taken > this.#taken;
    this.#taken = taken;
    if (queued === 0 && !this.#isWindowClosed) {
      this.#stalledAt = this.#queuedAt = this.#deliveredBefore = undefined;
      return;
    }
    if (this.#queuedAt === undefined) {
      this.#queuedAt = now;
      this.#takenBefore = taken;
    }
    if (hasMoved || this.#stalledAt === undefined) this.#stalledAt = now;
  }

  /** The kernel of the peer has taken something. */
  noteAcknowledged(now: number): void {
    this.#isWindowClosed = false;
    if (this.#stalledAt !== undefined) this.#stalledAt = now;
  }

  /** The kernel of the peer takes nothing: whoever should read there does not. */
  noteWindowClosed(now: number): void {
    this.#isWindowClosed = true;
    this.noteFull(now);
  }

  /**
   * @param delivered - bytes that the kernel of the peer has acknowledged so far, @param isCompared - with those of
   * before
   */
  noteDelivered(delivered: number, now: number, isCompared: boolean): void {
    this.#delivered = delivered;
    if (isCompared) this.#comparedAt = now;
    if (this.#queuedAt !== undefined) this.#deliveredBefore ??= delivered;
  }

  /** @param isFollowed - whether the kernel tells what is acknowledged */
  evidence(isFollowed: boolean): ChannelEvidence {
    if (this.#stalledAt === undefined) return unhurried;
    const lateAt = Math.min(this.#stalledAt + this.#pace.writeDeadline, this.#slowAt());
    // A reader that is slow moves no queue for a long time. Where the kernel tells of it, that is waited for.
    const isCertain = !isFollowed || (this.#comparedAt ?? -Infinity) >= lateAt;
    return {
      lateAt,
      patientUntil: isCertain ? 0 : lateAt + longestReading,
      failures: this.failures,
      failedAt: this.failedAt,
    };
  }

  /** Until when what was taken is enough. */
  #slowAt(): number {
    const { writeDeadline, minRate } = this.#pace;
    if (minRate === 0 || this.#queuedAt === undefined) return Infinity;
    const taken = Math.max(
      this.#taken - this.#takenBefore,
      this.#delivered - (this.#deliveredBefore ?? this.#delivered),
    );
    return this.#queuedAt + writeDeadline + (taken / minRate) * 1000;
  }
}
