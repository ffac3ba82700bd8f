import type { Evidence, Failures, Liveness, Queue } from './liveness.ts';
import { addRoundTrip, leastRto } from './retransmission-allowance.ts';

// An event to 1,000 streams is noted 1,000 times: no object for each.
export const written: Evidence = { kind: 'written' };
export const full: Evidence = { kind: 'full' };
export const heard: Evidence = { kind: 'heard' };

// How long a path counts as lossy after a loss, in ms.
const lossMemory = 600_000;

/**
 * Takes in one observation. Changes `liveness` in place and nothing else: a copy for each write would cost more than
 * the write.
 *
 * | evidence       | observation                              | effect                                          |
 * | -------------- | ---------------------------------------- | ----------------------------------------------- |
 * | written        | bytes were written                       | quiet (W); they wait for an acknowledgement     |
 * | full           | a write found the queue full             | the queue is stalled, unless it was already     |
 * | heard          | a sign of life                           | the silence and the question end; quiet (R)     |
 * | answered       | the answer to a question                 | as heard, and a round trip                      |
 * | due            | a heartbeat is due                       | quiet; the time to the next one begins          |
 * | asked          | the peer was asked                       | a question waits, unless one does already       |
 * | unread         | this process does not read now           | the time for the answer begins anew             |
 * | sampled        | the counters at a look                   | bytes that came: as heard, at the last look;    |
 * |                |                                          | the queue has moved, stands still, or is empty  |
 * | delivered      | bytes that the peer's kernel has         | the time for the answer begins anew, until the  |
 * |                |                                          | question is there; the queue has moved          |
 * | path           | the retransmission timeout of the kernel | the allowance; the round trip (not A)           |
 * | acknowledged   | the peer's kernel took more, or all      | the queue has moved; as heard (not A); what was |
 * |                |                                          | retransmitted was a loss                        |
 * | window-closed  | the peer's kernel answers, takes nothing | the queue is stalled; as heard (not A)          |
 * | unacknowledged | our kernel waits for an acknowledgement  | the peer can be late for it                     |
 * | judged         | what `judge` decided                     | the state; failures are counted                 |
 *
 * Quiet: no heartbeat for a while. W, R: of a transport that is quiet by writes, by reads. A: of a peer that answers.
 *
 * @returns whether to judge at once: a late peer gave a sign of life, or the kernel waits for one
 */
export function note(liveness: Liveness, evidence: Evidence, now: number): boolean {
  switch (evidence.kind) {
    case 'written':
      if (liveness.quietBy === 'writes') liveness.quietAt = now;
      liveness.sentAt = now;
      liveness.unackedAt ??= now;
      return false;
    case 'full':
      openQueue(liveness, now);
      return false;
    case 'heard':
      return hear(liveness, now);
    case 'answered':
      liveness.roundTrip = evidence.roundTrip;
      liveness.estimate = addRoundTrip(liveness.estimate, evidence.roundTrip);
      return hear(liveness, now);
    case 'due':
      liveness.quietAt = now;
      liveness.interval = evidence.interval;
      return false;
    case 'asked':
      liveness.question ??= { at: now, behind: evidence.behind };
      return false;
    case 'unread':
      if (liveness.question) liveness.question.at = now;
      return false;
    case 'sampled':
      return noteSample(liveness, evidence, now);
    case 'delivered':
      return noteDelivered(liveness, evidence, now);
    case 'path':
      return notePath(liveness, evidence);
    case 'acknowledged':
      return noteAcknowledged(liveness, evidence.isAll, now);
    case 'window-closed':
      openQueue(liveness, now).isWindowClosed = true;
      liveness.unackedAt = now;
      setAcknowledged(liveness, now);
      return !liveness.answers && hear(liveness, now);
    case 'unacknowledged':
      liveness.wait ??= { since: now, at: now };
      liveness.wait.at = now;
      return true;
    case 'judged':
      return noteJudged(liveness, evidence, now);
  }
}

function hear(liveness: Liveness, at: number): boolean {
  liveness.heardAt = Math.max(liveness.heardAt, at);
  liveness.question = undefined;
  if (liveness.quietBy === 'reads') liveness.quietAt = at;
  return liveness.failures > 0;
}

function openQueue(liveness: Liveness, now: number): Queue {
  return (liveness.queue ??= {
    failures: 0,
    failedAt: 0,
    stalledAt: now,
    queuedAt: undefined,
    takenBefore: 0,
    deliveredBefore: undefined,
    comparedAt: undefined,
    isWindowClosed: false,
  });
}

function noteSample(
  liveness: Liveness,
  { received, queued, taken }: Extract<Evidence, { kind: 'sampled' }>,
  now: number,
): false {
  if (received !== liveness.received) {
    liveness.received = received;
    // They came since the last look. As early as possible: a question that was asked since then needs an answer of its
    // own.
    hear(liveness, Math.max(liveness.heardAt, liveness.lookedAt));
  }
  const hasMoved = taken > liveness.taken;
  liveness.taken = taken;
  // Where the kernel does not tell what arrived.
  if (hasMoved && !liveness.isFollowed) moveQuestion(liveness, taken, now);
  if (queued === 0 && !liveness.queue?.isWindowClosed) liveness.queue = undefined;
  else sampleQueue(openQueue(liveness, now), taken, hasMoved, now);
  return false;
}

function sampleQueue(queue: Queue, taken: number, hasMoved: boolean, now: number): void {
  if (queue.queuedAt === undefined) {
    queue.queuedAt = now;
    queue.takenBefore = taken;
  }
  if (hasMoved) queue.stalledAt = now;
}

function noteDelivered(
  liveness: Liveness,
  { bytes, isCompared }: Extract<Evidence, { kind: 'delivered' }>,
  now: number,
): false {
  if (bytes > liveness.delivered) {
    liveness.delivered = bytes;
    moveQuestion(liveness, bytes, now);
  }
  const { queue } = liveness;
  if (queue && isCompared) queue.comparedAt = now;
  if (queue?.queuedAt !== undefined) queue.deliveredBefore ??= liveness.delivered;
  return false;
}

/** Bytes have arrived. The time for the answer begins when the question has, behind all that was written before. */
function moveQuestion({ question }: Liveness, arrived: number, now: number): void {
  if (question?.behind === undefined) return;
  question.at = now;
  if (arrived >= question.behind) question.behind = undefined;
}

function notePath(liveness: Liveness, { rto, isLosing }: Extract<Evidence, { kind: 'path' }>): false {
  if (isLosing) liveness.isLosing = true;
  if (rto === undefined) return false;
  liveness.rto = rto;
  // RFC 6298 2: what is over the least is no less than the round trip.
  if (!liveness.answers && !isLosing) liveness.roundTrip = rto - leastRto;
  return false;
}

function noteAcknowledged(liveness: Liveness, isAll: boolean, now: number): boolean {
  if (liveness.isLosing) liveness.lossyUntil = now + lossMemory;
  liveness.isLosing = false;
  const { sentAt, ackedAt, queue } = liveness;
  liveness.unackedAt = isAll && sentAt <= now ? undefined : now;
  // It is not known since when all is acknowledged. Not before the last write.
  setAcknowledged(liveness, isAll ? Math.max(ackedAt, Math.min(sentAt, now)) : now);
  if (queue) {
    queue.isWindowClosed = false;
    queue.stalledAt = now;
  }
  return !liveness.answers && hear(liveness, liveness.ackedAt);
}

function setAcknowledged(liveness: Liveness, at: number): void {
  liveness.ackedAt = at;
  liveness.wait = undefined;
}

function noteJudged(liveness: Liveness, { state, failed }: Extract<Evidence, { kind: 'judged' }>, now: number): false {
  liveness.state = state;
  liveness.lookedAt = now;
  count(liveness, failed.read, state === 'read-late' || state === 'dead', now);
  if (liveness.queue) count(liveness.queue, failed.write, state === 'write-late' || state === 'dead', now);
  return false;
}

function count(direction: Failures, hasFailed: boolean, isLate: boolean, now: number): void {
  if (hasFailed) {
    direction.failures += 1;
    direction.failedAt = now;
  } else if (!isLate) direction.failures = 0;
}
