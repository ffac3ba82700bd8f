import type { CloseReason } from '../../../errors.ts';
import type { HealthState, Liveness, Queue } from './liveness.ts';
import { retransmissionAllowance, rtoOf } from './retransmission-allowance.ts';

/** When a late direction ends the connection. */
export interface FailureThreshold {
  /** How often in a row it must be found late. */
  readonly failures: number;
  /** How long it must have been late, in ms. */
  readonly grace: number;
}

/** How slowly a peer may take what waits for it. */
interface Pace {
  /** How long no byte may be taken, in ms. */
  readonly writeDeadline: number;
  /** Bytes per second, on average since something waits. 0: any. */
  readonly minRate: number;
}

/** The numbers by which one connection is watched. Durations are milliseconds; `Infinity` is never. */
export interface HealthPolicy extends FailureThreshold, Pace {
  readonly every: number;
  readonly jitter: number;
  readonly readDeadline: number;
  readonly readJitter: number;
  readonly maxAge: number;
  readonly idleProducer: number;
  readonly maxBuffered: number;
  readonly isProbing: boolean;
}

/** One direction of a connection at one moment. */
export interface Lateness {
  /** When the direction is late if nothing happens. `Infinity`: nothing is pending. */
  readonly lateAt: number;
  /** The connection is not given up before this time: the network still retransmits. */
  readonly allowedUntil: number;
  /** How often it was found late since it was last in time. */
  readonly failures: number;
  /** When it was last found late. */
  readonly failedAt: number;
}

/** The decision about a connection. */
export interface Judgement {
  readonly kind: 'judged';
  readonly state: HealthState;
  /** Why the connection is given up; `undefined`: it is not. */
  readonly verdict: Extract<CloseReason, 'heartbeat-timeout' | 'slow-consumer'> | undefined;
  /** Which directions were found late once more. */
  readonly failed: { readonly read: boolean; readonly write: boolean };
  /** When to look again at the latest; `Infinity`: its health needs no look. */
  readonly lookAt: number;
}

const nothingPending: Lateness = { lateAt: Infinity, allowedUntil: 0, failures: 0, failedAt: 0 };

// How long it counts that the kernel was seen to wait, in ms: twice the longest time between two looks at it. Where its
// tables cannot be read any more, for lack of file descriptors for instance, no peer is late because of them.
const currency = 10_000;

// The least part of the deadline that is left to the answer. A little less than half: after a heartbeat that was late
// by its jitter, and with a deadline that is late by its own, a half would end after more than two heartbeats and the
// 10 s.
const answerShare = 0.4;

// Two readings of the kernel's table in ms, each after its longest rest, and what they take.
const longestReading = 12_000;

/**
 * The one decision about the health of a connection, from what is known of it. Changes nothing.
 *
 *     asked ─────────────────────────▶ read-late, unless the peer is heard
 *     written ──our kernel waits─────▶ read-late, unless the peer's kernel acknowledges
 *     the queue stands still ────────▶ write-late, unless a byte of it is taken
 */
export function judge(liveness: Liveness, policy: FailureThreshold & Pace, now: number): Judgement {
  return decideHealth(readLateness(liveness, policy.grace, now), writeLateness(liveness, policy), policy, now);
}

function readLateness(liveness: Liveness, grace: number, now: number): Lateness {
  if (liveness.readDeadline === Infinity || (liveness.question?.at ?? liveness.unackedAt) === undefined)
    return nothingPending;
  const unanswered = answerLateAt(liveness);
  const unacked = acknowledgementLateAt(liveness, now);
  const lateAt = Math.min(unanswered, unacked);
  if (lateAt === Infinity) return nothingPending;
  // The kernel must have been seen to wait after the time at which it was late, and not only before.
  const isStale = unacked < unanswered && (liveness.wait?.at ?? 0) < lateAt + grace / 2;
  const since = (unacked < unanswered ? liveness.unackedAt : liveness.question?.at) ?? now;
  const allowedUntil = isStale ? Infinity : since + allowanceOf(liveness, now);
  return { lateAt, allowedUntil, failures: liveness.failures, failedAt: liveness.failedAt };
}

// A part of the deadline is left to the answer, however late the question was.

function answerLateAt({ question, heardAt, readDeadline }: Liveness): number {
  return question ? Math.max(heardAt + readDeadline, question.at + answerShare * readDeadline) : Infinity;
}

function acknowledgementLateAt(liveness: Liveness, now: number): number {
  const { wait, heardAt, ackedAt, readDeadline } = liveness;
  if (!wait || now - wait.at > currency) return Infinity;
  return Math.max(Math.max(heardAt, ackedAt) + readDeadline, wait.since + answerShare * readDeadline);
}

// An answer also takes as long as a process at either end is busy with something else: the kernel knows the path
// better.
function allowanceOf({ rto, estimate, lossyUntil }: Liveness, now: number): number {
  return retransmissionAllowance({ rto: rto ?? rtoOf(estimate), isLossy: lossyUntil > now });
}

function writeLateness({ queue, taken, delivered, isFollowed }: Liveness, pace: Pace): Lateness {
  if (!queue) return nothingPending;
  const moved = Math.max(taken - queue.takenBefore, delivered - (queue.deliveredBefore ?? delivered));
  const lateAt = Math.min(queue.stalledAt + pace.writeDeadline, tooSlowAt(queue, moved, pace));
  // A reader that is slow moves no queue for a long time. Where the kernel tells of it, its account is waited for.
  const isCertain = !isFollowed || (queue.comparedAt ?? -Infinity) >= lateAt;
  const allowedUntil = isCertain ? 0 : lateAt + longestReading;
  return { lateAt, allowedUntil, failures: queue.failures, failedAt: queue.failedAt };
}

/** Until when the bytes that have moved are enough for the least rate. */
function tooSlowAt({ queuedAt }: Queue, moved: number, { writeDeadline, minRate }: Pace): number {
  return minRate === 0 || queuedAt === undefined ? Infinity : queuedAt + writeDeadline + (moved / minRate) * 1000;
}

/**
 * Decides about two directions. A connection is not given up for being late once. One direction must be found late
 * several times in a row, and stay late for the grace time. A process that was paused can so first read what arrived in
 * the meantime.
 */
export function decideHealth(read: Lateness, write: Lateness, threshold: FailureThreshold, now: number): Judgement {
  const reading = decideDirection(read, threshold, now);
  const writing = decideDirection(write, threshold, now);
  const verdict = reading.isOver ? 'heartbeat-timeout' : writing.isOver ? 'slow-consumer' : undefined;
  return {
    kind: 'judged',
    state: verdict ? 'dead' : stateOf(reading.isLate, writing.isLate),
    verdict,
    failed: { read: reading.hasFailed, write: writing.hasFailed },
    lookAt: Math.min(reading.lookAt, writing.lookAt),
  };
}

function stateOf(isReadLate: boolean, isWriteLate: boolean): HealthState {
  if (isReadLate) return isWriteLate ? 'dead' : 'read-late';
  return isWriteLate ? 'write-late' : 'healthy';
}

interface Direction {
  readonly isLate: boolean;
  readonly isOver: boolean;
  readonly hasFailed: boolean;
  readonly lookAt: number;
}

function decideDirection(
  { lateAt, allowedUntil, failures, failedAt }: Lateness,
  threshold: FailureThreshold,
  now: number,
): Direction {
  if (now < lateAt) return { isLate: false, isOver: false, hasFailed: false, lookAt: lateAt };
  const interval = threshold.grace / threshold.failures;
  const hasFailed = failures === 0 || now >= failedAt + interval;
  const count = hasFailed ? failures + 1 : failures;
  const failsAt = hasFailed ? now + interval : failedAt + interval;
  if (count < threshold.failures) return { isLate: true, isOver: false, hasFailed, lookAt: failsAt };
  const overAt = Math.max(lateAt + threshold.grace, allowedUntil);
  return { isLate: true, isOver: now >= overAt, hasFailed, lookAt: Math.min(failsAt, overAt) };
}
