import { describe, expect, it } from 'vitest';
import { type FailureThreshold, judge } from '../../../../src/internal/health/policy/judge.ts';
import {
  createLiveness,
  type Evidence,
  isAnswerOwed,
  isHeartbeatDue,
  isPending,
  type Liveness,
  type Queue,
} from '../../../../src/internal/health/policy/liveness.ts';
import { note } from '../../../../src/internal/health/policy/note.ts';

const start = 1000;

/** A connection that answers and is quiet by reads, watched since 1000. */
function made(part: Partial<Liveness> = {}): Liveness {
  const nature = { answers: true, quietBy: 'reads', isFollowed: false, interval: 2000, readDeadline: 4000 } as const;
  return { ...createLiveness({ ...nature, received: 0 }, start), ...part };
}

function queueOf(part: Partial<Queue> = {}): Queue {
  const still = { failures: 0, failedAt: 0, stalledAt: 1500, queuedAt: undefined, takenBefore: 0 };
  return { ...still, deliveredBefore: undefined, comparedAt: undefined, isWindowClosed: false, ...part };
}

const quiet = { answers: false, quietBy: 'writes' } as const;
const sampled = { kind: 'sampled', received: 0, queued: 0, taken: 0 } as const;
const inTime = { read: false, write: false };

type Row = [
  evidence: Evidence,
  observation: string,
  before: Partial<Liveness>,
  after: Partial<Liveness>,
  isUrgent?: boolean,
];

// Each is noted at 3000, and changes nothing else.
const effects: Row[] = [
  [{ kind: 'written' }, 'quiet by writes', quiet, { quietAt: 3000, sentAt: 3000, unackedAt: 3000 }],
  [{ kind: 'written' }, 'quiet by reads', {}, { sentAt: 3000, unackedAt: 3000 }],
  [{ kind: 'written' }, 'bytes wait already', { unackedAt: 2000 }, { sentAt: 3000 }],
  [{ kind: 'full' }, 'the first', {}, { queue: queueOf({ stalledAt: 3000 }) }],
  [{ kind: 'full' }, 'a further one', { queue: queueOf() }, {}],
  [{ kind: 'heard' }, 'quiet by reads', {}, { heardAt: 3000, quietAt: 3000 }],
  [{ kind: 'heard' }, 'quiet by writes', { quietBy: 'writes' }, { heardAt: 3000 }],
  [
    { kind: 'heard' },
    'after a question',
    { question: { at: 2000, behind: 7 } },
    { heardAt: 3000, quietAt: 3000, question: undefined },
  ],
  [{ kind: 'heard' }, 'late before', { failures: 1 }, { heardAt: 3000, quietAt: 3000 }, true],
  [
    { kind: 'answered', roundTrip: 40 },
    'the first',
    { question: { at: 2960, behind: undefined } },
    { heardAt: 3000, quietAt: 3000, question: undefined, roundTrip: 40, estimate: { smoothed: 40, variation: 20 } },
  ],
  [
    { kind: 'answered', roundTrip: 80 },
    'late before',
    { failures: 2, roundTrip: 40, estimate: { smoothed: 40, variation: 20 } },
    { heardAt: 3000, quietAt: 3000, roundTrip: 80, estimate: { smoothed: 45, variation: 25 } },
    true,
  ],
  [{ kind: 'due', interval: 2100 }, 'always', {}, { quietAt: 3000, interval: 2100 }],
  [{ kind: 'asked', behind: 9 }, 'the first', {}, { question: { at: 3000, behind: 9 } }],
  [{ kind: 'asked', behind: 9 }, 'one waits', { question: { at: 2000, behind: undefined } }, {}],
  [
    { kind: 'unread' },
    'a question waits',
    { question: { at: 2000, behind: 9 } },
    { question: { at: 3000, behind: 9 } },
  ],
  [{ kind: 'unread' }, 'none waits', {}, {}],
  [{ ...sampled }, 'nothing is new', {}, {}],
  [{ ...sampled }, 'the queue is empty', { queue: queueOf({ failures: 2 }) }, { queue: undefined }],
  [
    { ...sampled },
    'the queue is empty, and the window closed',
    { queue: queueOf({ isWindowClosed: true }) },
    { queue: queueOf({ isWindowClosed: true, queuedAt: 3000 }) },
  ],
  [{ ...sampled, received: 5 }, 'bytes came', { lookedAt: 2500 }, { received: 5, heardAt: 2500, quietAt: 2500 }],
  [
    { ...sampled, received: 5 },
    'bytes came before the last sign of life',
    { lookedAt: 2500, heardAt: 2700, quietAt: 2700 },
    { received: 5 },
  ],
  [
    { ...sampled, received: 5 },
    'bytes came from a peer that does not answer',
    { ...quiet, lookedAt: 2500 },
    { received: 5, heardAt: 2500 },
  ],
  [
    { ...sampled, queued: 10, taken: 3 },
    'the first bytes wait',
    { taken: 3 },
    { queue: queueOf({ stalledAt: 3000, queuedAt: 3000, takenBefore: 3 }) },
  ],
  [
    { ...sampled, queued: 10, taken: 3 },
    'the queue stands still',
    { taken: 3, queue: queueOf({ queuedAt: 2000, takenBefore: 1 }) },
    {},
  ],
  [
    { ...sampled, queued: 10, taken: 4 },
    'the queue has moved',
    { taken: 3, queue: queueOf({ queuedAt: 2000, takenBefore: 1 }) },
    { taken: 4, queue: queueOf({ stalledAt: 3000, queuedAt: 2000, takenBefore: 1 }) },
  ],
  [
    { ...sampled, taken: 8 },
    'the question is still on its way',
    { question: { at: 2000, behind: 9 } },
    { taken: 8, question: { at: 3000, behind: 9 } },
  ],
  [
    { ...sampled, taken: 9 },
    'the question has arrived',
    { question: { at: 2000, behind: 9 } },
    { taken: 9, question: { at: 3000, behind: undefined } },
  ],
  [
    { ...sampled, taken: 9 },
    'the kernel tells what arrived',
    { isFollowed: true, question: { at: 2000, behind: 9 } },
    { taken: 9 },
  ],
  [
    { kind: 'delivered', bytes: 8, isCompared: true },
    'the question is still on its way',
    { question: { at: 2000, behind: 9 } },
    { delivered: 8, question: { at: 3000, behind: 9 } },
  ],
  [
    { kind: 'delivered', bytes: 9, isCompared: true },
    'the question has arrived',
    { question: { at: 2000, behind: 9 } },
    { delivered: 9, question: { at: 3000, behind: undefined } },
  ],
  [
    { kind: 'delivered', bytes: 9, isCompared: true },
    'no more than before',
    { delivered: 9, question: { at: 2000, behind: 9 } },
    {},
  ],
  [
    { kind: 'delivered', bytes: 9, isCompared: true },
    'something waits',
    { delivered: 8, queue: queueOf({ queuedAt: 2000 }) },
    { delivered: 9, queue: queueOf({ queuedAt: 2000, deliveredBefore: 9, comparedAt: 3000 }) },
  ],
  [
    { kind: 'delivered', bytes: 9, isCompared: false },
    'the first account',
    { queue: queueOf({ queuedAt: 2000, deliveredBefore: 4 }) },
    { delivered: 9 },
  ],
  [{ kind: 'path', rto: 280, isLosing: false }, 'of a peer that answers', {}, { rto: 280 }],
  [{ kind: 'path', rto: 280, isLosing: false }, 'of another', quiet, { rto: 280, roundTrip: 80 }],
  [{ kind: 'path', rto: 280, isLosing: true }, 'while it retransmits', quiet, { rto: 280, isLosing: true }],
  [{ kind: 'path', rto: undefined, isLosing: false }, 'not told', { rto: 280, isLosing: true }, {}],
  [
    { kind: 'acknowledged', isAll: true },
    'of a peer that answers',
    { sentAt: 2500, unackedAt: 2500, wait: { since: 2600, at: 2900 } },
    { unackedAt: undefined, ackedAt: 2500, wait: undefined },
  ],
  [
    { kind: 'acknowledged', isAll: true },
    'of another',
    { ...quiet, sentAt: 2500, unackedAt: 2500, failures: 1 },
    { unackedAt: undefined, ackedAt: 2500, heardAt: 2500 },
    true,
  ],
  [
    { kind: 'acknowledged', isAll: false },
    'of another',
    { ...quiet, sentAt: 2500, unackedAt: 2500 },
    { unackedAt: 3000, ackedAt: 3000, heardAt: 3000 },
  ],
  [
    { kind: 'acknowledged', isAll: false },
    'something waits',
    { queue: queueOf({ isWindowClosed: true }) },
    { unackedAt: 3000, ackedAt: 3000, queue: queueOf({ stalledAt: 3000 }) },
  ],
  [
    { kind: 'acknowledged', isAll: false },
    'it was retransmitted',
    { isLosing: true },
    { unackedAt: 3000, ackedAt: 3000, isLosing: false, lossyUntil: 603_000 },
  ],
  [
    { kind: 'window-closed' },
    'of a peer that answers',
    {},
    { unackedAt: 3000, ackedAt: 3000, queue: queueOf({ stalledAt: 3000, isWindowClosed: true }) },
  ],
  [
    { kind: 'window-closed' },
    'of another, late before',
    { ...quiet, failures: 1, queue: queueOf(), wait: { since: 2000, at: 2900 } },
    { unackedAt: 3000, ackedAt: 3000, heardAt: 3000, queue: queueOf({ isWindowClosed: true }), wait: undefined },
    true,
  ],
  [{ kind: 'unacknowledged' }, 'the first', {}, { wait: { since: 3000, at: 3000 } }, true],
  [
    { kind: 'unacknowledged' },
    'a further one',
    { wait: { since: 2000, at: 2500 } },
    { wait: { since: 2000, at: 3000 } },
    true,
  ],
  [
    { kind: 'judged', state: 'healthy', failed: inTime },
    'in time again',
    { failures: 2 },
    { lookedAt: 3000, failures: 0 },
  ],
  [
    { kind: 'judged', state: 'read-late', failed: { read: true, write: false } },
    'late once more',
    { failures: 2, failedAt: 2000 },
    { state: 'read-late', lookedAt: 3000, failures: 3, failedAt: 3000 },
  ],
  [
    { kind: 'judged', state: 'read-late', failed: inTime },
    'late still',
    { state: 'read-late', failures: 2, failedAt: 2000 },
    { lookedAt: 3000 },
  ],
  [
    { kind: 'judged', state: 'write-late', failed: { read: false, write: true } },
    'the queue is late',
    { failures: 1, queue: queueOf() },
    { state: 'write-late', lookedAt: 3000, failures: 0, queue: queueOf({ failures: 1, failedAt: 3000 }) },
  ],
  [
    { kind: 'judged', state: 'read-late', failed: { read: true, write: false } },
    'the queue is in time again',
    { queue: queueOf({ failures: 2 }) },
    { state: 'read-late', lookedAt: 3000, failures: 1, failedAt: 3000, queue: queueOf() },
  ],
];

describe('note', () => {
  it.each(effects)('%o: %s', (evidence, _observation, before, after, isUrgent = false) => {
    const liveness = structuredClone(made(before));
    expect(note(liveness, evidence, 3000)).toBe(isUrgent);
    expect(liveness).toEqual({ ...made(before), ...after });
  });
});

// At once, and for however short a time.
const strict: FailureThreshold & { writeDeadline: number; minRate: number } = {
  failures: 1,
  grace: 0,
  writeDeadline: 5000,
  minRate: 0,
};

const asked = { question: { at: 3000, behind: undefined } };

describe('judge', () => {
  it.each<[situation: string, liveness: Partial<Liveness>, pace: Partial<typeof strict>, lateAt: number]>([
    ['nothing is pending', {}, {}, Infinity],
    ['a question, a deadline after the last sign of life', asked, {}, 5000],
    ['a late question, four tenths of the deadline after it', { question: { at: 9000, behind: 1 } }, {}, 10_600],
    ['a question without a deadline', { ...asked, readDeadline: Infinity }, {}, Infinity],
    ['bytes that wait, of which the kernel said nothing', { unackedAt: 3000 }, {}, Infinity],
    ['bytes that the kernel waits for', { unackedAt: 3000, wait: { since: 3000, at: 4900 } }, {}, 5000],
    ['the same, acknowledged since', { unackedAt: 3000, ackedAt: 2000, wait: { since: 3000, at: 4900 } }, {}, 6000],
    ['bytes seen to wait late', { unackedAt: 3000, wait: { since: 9000, at: 9000 } }, {}, 10_600],
    ['an account of the kernel that is too old', { unackedAt: 3000, wait: { since: 3000, at: -5001 } }, {}, Infinity],
    ['the earlier of both', { ...asked, unackedAt: 3000, ackedAt: 2000, wait: { since: 3000, at: 4900 } }, {}, 5000],
    ['a queue that stands still', { queue: queueOf() }, {}, 6500],
    ['a queue without a deadline', { queue: queueOf() }, { writeDeadline: Infinity }, Infinity],
    ['a queue that is too slow', { queue: queueOf({ stalledAt: 9000, queuedAt: 2000 }) }, { minRate: 10 }, 7000],
    [
      'the same, with a second for each of the least rate',
      { taken: 25, queue: queueOf({ stalledAt: 9000, queuedAt: 2000, takenBefore: 5 }) },
      { minRate: 10 },
      9000,
    ],
    [
      'the same, by what arrived',
      { delivered: 45, queue: queueOf({ stalledAt: 9000, queuedAt: 2000, deliveredBefore: 15 }) },
      { minRate: 10 },
      10_000,
    ],
  ])('%s', (_situation, part, pace, lateAt) => {
    const liveness = made(part);
    const before = structuredClone(liveness);
    const [early, late] = [Math.min(lateAt - 1, 5000), lateAt];
    expect(judge(liveness, { ...strict, ...pace }, early)).toMatchObject({ state: 'healthy', lookAt: lateAt });
    if (late < Infinity)
      expect(
        judge({ ...liveness, wait: liveness.wait && { ...liveness.wait, at: late } }, { ...strict, ...pace }, late)
          .state,
      ).not.toBe('healthy');
    expect(liveness).toEqual(before);
  });

  const path = (rto: number, isLosing = false): Evidence => ({ kind: 'path', rto, isLosing });
  const answers = new Array<Evidence>(20).fill({ kind: 'answered', roundTrip: 390 });

  it.each<[way: string, evidence: Evidence[], allowance: number]>([
    ['nothing is known', [], 6200],
    ['the kernel says that it is farther', [path(390)], 12_090],
    ['answers say that it is farther', answers, 12_090],
    ['it is far', [path(700)], 120_000],
    ['it loses packets', [path(200, true), { kind: 'acknowledged', isAll: false }], 51_000],
    ['the kernel retransmits, and nothing came of it', [path(200, true)], 6200],
    ['the kernel says that it is near, and answers take long', [...answers, path(200)], 6200],
  ])('a peer that was asked is kept for as long as the network retransmits, where %s', (_way, evidence, allowance) => {
    const liveness = made({ readDeadline: 100 });
    for (const each of evidence) note(liveness, each, start);
    note(liveness, { kind: 'asked', behind: undefined }, 3000);
    const verdictAt = (now: number) => judge(liveness, strict, now).verdict;
    expect(verdictAt(3000 + Math.floor(allowance * 0.97))).toBe(undefined);
    expect(verdictAt(3000 + Math.ceil(allowance * 1.03))).toBe('heartbeat-timeout');
  });

  it.each<[account: string, comparedAt: number | undefined, isFollowed: boolean, verdict: string | undefined]>([
    ['the kernel tells nothing', undefined, false, 'slow-consumer'],
    ['it has not told yet', undefined, true, undefined],
    ['it told before', 6499, true, undefined],
    ['it tells that nothing moved', 6500, true, 'slow-consumer'],
  ])('a queue that stands still is given up where %s', (_account, comparedAt, isFollowed, verdict) => {
    expect(judge(made({ isFollowed, queue: queueOf({ comparedAt }) }), strict, 6500).verdict).toBe(verdict);
    expect(judge(made({ isFollowed, queue: queueOf({ comparedAt }) }), strict, 18_500).verdict).toBe('slow-consumer');
  });

  it('a peer is not given up by an account of the kernel from before it was late', () => {
    const waiting = (at: number): Liveness => made({ ...quiet, unackedAt: 1000, wait: { since: 1000, at } });
    const lenient = { ...strict, failures: 1, grace: 4000 };
    expect(judge(waiting(6999), lenient, 12_000).verdict).toBe(undefined);
    expect(judge(waiting(7000), lenient, 12_000).verdict).toBe('heartbeat-timeout');
  });
});

it.each<[question: string, answer: boolean, given: boolean]>([
  ['a heartbeat is due an interval after the last write', isHeartbeatDue(made(), 3000), true],
  ['none is due before', isHeartbeatDue(made(), 2999), false],
  ['an answer is owed', isAnswerOwed(made({ quietBy: 'writes', quietAt: 2900, sentAt: 2900 }), 3000), true],
  ['none is owed in time', isAnswerOwed(made({ quietBy: 'writes', quietAt: 2900, sentAt: 2900 }), 2999), false],
  ['none by a peer that is asked', isAnswerOwed(made({ quietBy: 'writes', quietAt: 2900, sentAt: 2800 }), 3000), false],
  ['none where signs of life count', isAnswerOwed(made({ quietAt: 2900, sentAt: 2900 }), 3000), false],
  ['none by a peer that does not answer', isAnswerOwed(made({ ...quiet, quietAt: 2900, sentAt: 2900 }), 3000), false],
  ['nothing is pending at first', isPending(made()), false],
  ['bytes are', isPending(made({ unackedAt: 0 })), true],
  ['a question is', isPending(made(asked)), true],
  ['a queue is', isPending(made({ queue: queueOf() })), true],
])('%s', (_question, answer, given) => {
  expect(answer).toBe(given);
});
