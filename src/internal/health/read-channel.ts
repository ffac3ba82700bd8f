import { Channel, unhurried } from './channel.ts';
import type { ChannelEvidence } from './policy/liveness.ts';
import { leastRto, patienceFor, RoundTrips } from './policy/patience.ts';

// For how long it counts that the kernel was seen to wait, in ms: twice the longest time between two looks at it. What
// it says has to be recent: where it cannot be read any more, for want of files for instance, nobody is late for that.
const currency = 10_000;

// For how long a way that lost packets counts as one that does.
const lossMemory = 600_000;

// Which part of the deadline is for the answer at least. A little less than half: after a heartbeat that was late by
// its jitter, and with a deadline that is late by its own, a half would be over after more than two heartbeats and the
// 10 s.
const answerShare = 0.4;

/**
 * What comes from a peer: since when it is silent, and since when it should not be. There are two ways to expect
 * something: a question waits for its answer, or bytes wait for the peer's kernel to acknowledge them. Times are ms of
 * the registry's clock.
 *
 *     asked ─────────────────▶ late, unless it is heard
 *     written ──kernel waits──▶ late, unless it is acknowledged
 */
export class ReadChannel extends Channel {
  readonly #deadline: number;
  readonly #grace: number;
  /** The last sign of life. */
  #heardAt: number;
  /** Since when a question waits for its answer. */
  #askedAt: number | undefined;
  /**
   * How many bytes are to be delivered before the question is: it stands behind all that was written before it.
   * `undefined` once it is there, or where that is not known.
   */
  #askedBehind: number | undefined;
  /** When bytes were written last. */
  #sentAt = 0;
  /** Since when bytes wait to be acknowledged. */
  #unackedAt: number | undefined;
  /** When something last was. */
  #ackedAt: number;
  /**
   * When the kernel was first and last seen to wait for that: what was acknowledged before, while nobody looked, is not
   * known.
   */
  #waitsSince: number | undefined;
  #waitingAt: number | undefined;
  /** By the kernel's account; `undefined` while it has not said. */
  #rto: number | undefined;
  #isLosing = false;
  #lossyUntil = 0;
  #roundTrips: RoundTrips | undefined;
  #kernelRoundTrip: number | undefined;

  /**
   * @param deadline - after how many ms of silence a peer that was asked is late; `Infinity`: never
   * @param grace - for how long it has to be late
   */
  constructor(now: number, deadline: number, grace: number) {
    super();
    this.#heardAt = this.#ackedAt = now;
    this.#deadline = deadline;
    this.#grace = grace;
  }

  get heardAt(): number {
    return this.#heardAt;
  }

  get sentAt(): number {
    return this.#sentAt;
  }

  get ackedAt(): number {
    return this.#ackedAt;
  }

  /** Of the last answer, in ms; `undefined` before the first. */
  get roundTrip(): number | undefined {
    return this.#roundTrips?.last ?? this.#kernelRoundTrip;
  }

  get isUnacknowledged(): boolean {
    return this.#unackedAt !== undefined;
  }

  /** Whether the kernel is at it: it sends something for which no acknowledgement came yet. */
  get isKernelWaiting(): boolean {
    return this.#waitingAt !== undefined;
  }

  get isAsked(): boolean {
    return this.#askedAt !== undefined;
  }

  /** @param behind - bytes that were written before, in all, where it is known how many of them are delivered */
  noteAsked(now: number, behind?: number): void {
    if (this.#askedAt !== undefined) return;
    this.#askedAt = now;
    this.#askedBehind = behind;
  }

  /**
   * Bytes of what was written have arrived, some of them just now: the time for the answer begins when the question
   * has.
   */
  noteDelivered(delivered: number, now: number): void {
    if (this.#askedBehind === undefined) return;
    if (this.#askedAt !== undefined) this.#askedAt = now;
    if (delivered >= this.#askedBehind) this.#askedBehind = undefined;
  }

  /** What the peer sends is not read here just now, and its answer may be in it. */
  noteUnread(now: number): void {
    if (this.#askedAt !== undefined) this.#askedAt = now;
  }

  /** @param isFollowed - whether we shall know when it is acknowledged */
  noteSent(now: number, isFollowed: boolean): void {
    this.#sentAt = now;
    if (isFollowed) this.#unackedAt ??= now;
  }

  noteHeard(now: number): void {
    this.#heardAt = Math.max(this.#heardAt, now);
    this.#askedAt = this.#askedBehind = undefined;
  }

  /** Something that is no answer. */
  noteNoise(now: number): void {
    this.#heardAt = Math.max(this.#heardAt, now);
  }

  /** @param isAll - all that was written by then */
  noteAcknowledged(now: number, isAll: boolean): void {
    if (this.#isLosing) this.#lossyUntil = now + lossMemory;
    this.#isLosing = false;
    this.#unackedAt = isAll && this.#sentAt <= now ? undefined : now;
    // All is acknowledged since when nobody knows: the last write, at the earliest.
    this.#setAcknowledged(isAll ? Math.max(this.#ackedAt, Math.min(this.#sentAt, now)) : now);
  }

  /** The kernel of the peer answers, and takes nothing. */
  noteWindowClosed(now: number): void {
    this.#unackedAt = now;
    this.#setAcknowledged(now);
  }

  noteUnacknowledged(now: number): void {
    this.#waitingAt = now;
    this.#waitsSince ??= now;
  }

  /** @param isLosing - the kernel sends something for the second time at least. Only if that arrives was it a loss */
  notePath(rto: number | undefined, isLosing: boolean): void {
    if (rto !== undefined) this.#rto = rto;
    if (isLosing) this.#isLosing = true;
  }

  /** @param isAnswer - and not by the kernel's account, whose RTO is made of all that it had */
  noteRoundTrip(roundTrip: number, isAnswer: boolean): void {
    if (isAnswer) (this.#roundTrips ??= new RoundTrips()).add(roundTrip);
    else this.#kernelRoundTrip = roundTrip;
  }

  evidence(now: number): ChannelEvidence {
    if (this.#deadline === Infinity || (this.#askedAt ?? this.#unackedAt) === undefined) return unhurried;
    const [unanswered, unacked] = [this.#lateAnswer(), this.#lateAcknowledgement(now)];
    const lateAt = Math.min(unanswered, unacked);
    if (lateAt === Infinity) return unhurried;
    const patientUntil =
      unacked < unanswered ? this.#untilKernelGivesUp(lateAt, now) : this.#patientUntil(this.#askedAt, now);
    return { lateAt, patientUntil, failures: this.failures, failedAt: this.failedAt };
  }

  #setAcknowledged(at: number): void {
    this.#ackedAt = at;
    this.#waitingAt = this.#waitsSince = undefined;
  }

  // A part of the deadline is for the answer, however late the question was.

  #lateAnswer(): number {
    if (this.#askedAt === undefined) return Infinity;
    return Math.max(this.#heardAt + this.#deadline, this.#askedAt + answerShare * this.#deadline);
  }

  #lateAcknowledgement(now: number): number {
    if (this.#waitsSince === undefined || this.#waitingAt === undefined || now - this.#waitingAt > currency)
      return Infinity;
    return Math.max(
      Math.max(this.#heardAt, this.#ackedAt) + this.#deadline,
      this.#waitsSince + answerShare * this.#deadline,
    );
  }

  /** The kernel must have been seen to wait also since it was late, and not only before. */
  #untilKernelGivesUp(lateAt: number, now: number): number {
    return (this.#waitingAt ?? 0) < lateAt + this.#grace / 2 ? Infinity : this.#patientUntil(this.#unackedAt, now);
  }

  #patientUntil(since: number | undefined, now: number): number {
    // The answer to a question also takes as long as a process at either end is busy with something else: the kernel
    // knows the way better.
    const rto = this.#rto ?? this.#roundTrips?.rto ?? leastRto;
    return (since ?? now) + patienceFor({ rto, isLossy: this.#lossyUntil > now });
  }
}
