import type { CloseReason } from '../../../errors.ts';

/**
 * What is known of a connection, by its two channels.
 *
 * - `healthy`: both are in time
 * - `read-late`: nothing came from the peer in time, though it was asked: it is gone, or the network is cut
 * - `write-late`: what was written to it is not taken: congestion, or a reader that does not read
 * - `dead`: both are late, or one was for so long that the connection is given up
 */
export type HealthState = 'healthy' | 'read-late' | 'write-late' | 'dead';

/**
 * One direction of a connection, as it is seen at one moment. Times are milliseconds of one clock that does not go
 * back.
 */
export interface ChannelEvidence {
  /** When it is late, if nothing happens; `Infinity` while nothing is waited for. */
  readonly lateAt: number;
  /** Before that it is not given up, however late: retransmissions of the network are still to come. */
  readonly patientUntil: number;
  /** How often it was found late, since it last was not. */
  readonly failures: number;
  /** When it was last found late. */
  readonly failedAt: number;
}

export interface Evidence {
  readonly read: ChannelEvidence;
  readonly write: ChannelEvidence;
}

/** When a late channel is given up. */
export interface Leniency {
  /** How often in a row it must be found late. */
  readonly failures: number;
  /** For how long it must have been late, in ms. */
  readonly grace: number;
}

/** What follows. */
export interface Health {
  readonly state: HealthState;
  /** Why the connection is given up; `undefined` while it is not. */
  readonly verdict: Extract<CloseReason, 'heartbeat-timeout' | 'slow-consumer'> | undefined;
  /** Which channels were found late once more. */
  readonly failed: { readonly read: boolean; readonly write: boolean };
  /** When to look again, at the latest; `Infinity`: not because of its health. */
  readonly lookAt: number;
}

/**
 * The one decision about the health of a connection, whatever it runs on. A late channel alone gives up nothing: it
 * must be found late several times in a row, and be late for the grace time. So a process that was itself at a
 * standstill first hears what had come meanwhile.
 */
export function decideHealth(evidence: Evidence, leniency: Leniency, now: number): Health {
  const read = decideChannel(evidence.read, leniency, now);
  const write = decideChannel(evidence.write, leniency, now);
  const verdict = read.isOver ? 'heartbeat-timeout' : write.isOver ? 'slow-consumer' : undefined;
  return {
    state: verdict ? 'dead' : stateOf(read.isLate, write.isLate),
    verdict,
    failed: { read: read.hasFailed, write: write.hasFailed },
    lookAt: Math.min(read.lookAt, write.lookAt),
  };
}

function stateOf(isReadLate: boolean, isWriteLate: boolean): HealthState {
  if (isReadLate) return isWriteLate ? 'dead' : 'read-late';
  return isWriteLate ? 'write-late' : 'healthy';
}

interface ChannelHealth {
  readonly isLate: boolean;
  readonly isOver: boolean;
  readonly hasFailed: boolean;
  readonly lookAt: number;
}

function decideChannel(
  { lateAt, patientUntil, failures, failedAt }: ChannelEvidence,
  leniency: Leniency,
  now: number,
): ChannelHealth {
  if (now < lateAt) return { isLate: false, isOver: false, hasFailed: false, lookAt: lateAt };
  const interval = leniency.grace / leniency.failures;
  const hasFailed = failures === 0 || now >= failedAt + interval;
  const count = hasFailed ? failures + 1 : failures;
  const failsAt = hasFailed ? now + interval : failedAt + interval;
  if (count < leniency.failures) return { isLate: true, isOver: false, hasFailed, lookAt: failsAt };
  const overAt = Math.max(lateAt + leniency.grace, patientUntil);
  return { isLate: true, isOver: now >= overAt, hasFailed, lookAt: Math.min(failsAt, overAt) };
}
