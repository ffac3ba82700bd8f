/**
 * The health of a connection, by its two directions.
 *
 * - `healthy`: both are in time
 * - `read-late`: the peer was asked, and nothing came from it in time: it is gone, or the network is cut
 * - `write-late`: the peer does not take what was written: congestion, or a reader that stopped reading
 * - `dead`: both are late, or one was late for so long that the connection is given up
 */
export type HealthState = 'healthy' | 'read-late' | 'write-late' | 'dead';

/** What does not change about a connection. */
interface Nature {
  /** Whether the peer answers when it is asked. If not, only what its kernel acknowledges is a sign of life. */
  readonly answers: boolean;
  /** What makes a heartbeat superfluous: bytes that were written, or signs of life. */
  readonly quietBy: 'writes' | 'reads';
  /** Whether the kernel tells what the peer's kernel has acknowledged. */
  readonly isFollowed: boolean;
  /** How long after its last sign of life a peer that was asked is late. `Infinity`: never. */
  readonly readDeadline: number;
}

/** How often in a row a direction was found late. */
export interface Failures {
  failures: number;
  failedAt: number;
}

/** What the peer was asked. */
interface Question {
  /** Since when the time for the answer runs. */
  at: number;
  /**
   * Bytes that must arrive before the question does, because they were written before it. `undefined`: the question has
   * arrived, or the number is not known.
   */
  behind: number | undefined;
}

/** The write direction, from when something waits for the peer until nothing does. */
export interface Queue extends Failures {
  /** Since when nothing has moved. */
  stalledAt: number;
  /** When a look first found something waiting, and the bytes that the kernel had taken by then. */
  queuedAt: number | undefined;
  takenBefore: number;
  /**
   * Bytes that the peer's kernel had acknowledged at the first account after that. Our kernel takes bytes in steps of a
   * megabyte, so this is the better measure.
   */
  deliveredBefore: number | undefined;
  /** When the kernel last told whether that has grown. */
  comparedAt: number | undefined;
  /** The peer's kernel says that it has no room. */
  isWindowClosed: boolean;
}

/**
 * All that is known of a connection. The failures are those of the read direction. Times are whole milliseconds of the
 * registry's clock.
 */
export interface Liveness extends Nature, Failures {
  state: HealthState;
  /** When the connection was last judged. */
  lookedAt: number;
  /** When a heartbeat was last sent or superfluous, and how long after that the next one is due. */
  quietAt: number;
  interval: number;
  /** The last sign of life. */
  heardAt: number;
  /** The question that waits for its answer. */
  question: Question | undefined;
  /** The last write. */
  sentAt: number;
  /** Since when bytes wait for their acknowledgement. */
  unackedAt: number | undefined;
  /** The last acknowledgement. */
  ackedAt: number;
  /** When our kernel was first and last seen to wait for one. What it got before, unseen, is not known. */
  wait: { readonly since: number; at: number } | undefined;
  /** The retransmission timeout of the kernel; `undefined`: not told yet. */
  rto: number | undefined;
  /** The kernel retransmits. It was a loss only if that is acknowledged. */
  isLosing: boolean;
  lossyUntil: number;
  /** The last round trip in ms; `undefined` before the first. */
  roundTrip: number | undefined;
  /** Of answers only: the RTO of the kernel is made of all that it measured itself. */
  estimate: { readonly smoothed: number; readonly variation: number } | undefined;
  /** Bytes that came, by the last look; `undefined`: not counted. */
  received: number | undefined;
  /** Bytes that the kernel took, by the last look. */
  taken: number;
  /** Bytes that the peer's kernel has acknowledged, as far as that is known. */
  delivered: number;
  queue: Queue | undefined;
}

/** One observation. */
export type Evidence =
  | { readonly kind: 'written' | 'full' | 'heard' | 'unread' | 'window-closed' | 'unacknowledged' }
  | { readonly kind: 'answered'; readonly roundTrip: number }
  | { readonly kind: 'due'; readonly interval: number }
  | { readonly kind: 'asked'; readonly behind: number | undefined }
  | { readonly kind: 'acknowledged'; readonly isAll: boolean }
  | { readonly kind: 'delivered'; readonly bytes: number; readonly isCompared: boolean }
  | { readonly kind: 'path'; readonly rto: number | undefined; readonly isLosing: boolean }
  | { readonly kind: 'sampled'; readonly received: number | undefined; readonly queued: number; readonly taken: number }
  | {
      readonly kind: 'judged';
      readonly state: HealthState;
      readonly failed: { readonly read: boolean; readonly write: boolean };
    };

/** What is known of a connection when it begins to be watched. */
export function createLiveness(nature: Nature & Pick<Liveness, 'interval' | 'received'>, now: number): Liveness {
  return {
    answers: nature.answers,
    quietBy: nature.quietBy,
    isFollowed: nature.isFollowed,
    readDeadline: nature.readDeadline,
    failures: 0,
    failedAt: 0,
    state: 'healthy',
    lookedAt: now,
    quietAt: now,
    interval: nature.interval,
    heardAt: now,
    question: undefined,
    sentAt: 0,
    unackedAt: undefined,
    ackedAt: now,
    wait: undefined,
    rto: undefined,
    isLosing: false,
    lossyUntil: 0,
    roundTrip: undefined,
    estimate: undefined,
    received: nature.received,
    taken: 0,
    delivered: 0,
    queue: undefined,
  };
}

/** Whether no heartbeat was superfluous for so long that one is due. */
export function isHeartbeatDue({ quietAt, interval }: Liveness, now: number): boolean {
  return now >= quietAt + interval;
}

/**
 * Whether a peer that was not asked should have sent something all the same: it answers by itself, and is never asked
 * because it is written to all the time.
 */
export function isAnswerOwed({ answers, quietBy, quietAt, sentAt, heardAt, interval }: Liveness, now: number): boolean {
  return answers && quietBy === 'writes' && quietAt === sentAt && now >= heardAt + interval;
}

/** Whether something waits about which the kernel's account says more. */
export function isPending({ unackedAt, question, queue }: Liveness): boolean {
  return unackedAt !== undefined || question !== undefined || queue !== undefined;
}
