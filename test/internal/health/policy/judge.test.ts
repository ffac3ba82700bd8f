import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideHealth,
  type FailureThreshold,
  type Judgement,
  type Lateness,
} from '../../../../src/internal/health/policy/judge.ts';

const threshold: FailureThreshold = { failures: 3, grace: 5000 };
const interval = 5000 / 3;

function direction(part: Partial<Lateness> = {}): Lateness {
  return { lateAt: Infinity, allowedUntil: 0, failures: 0, failedAt: 0, ...part };
}

const inTime = direction();

function decideSide(side: 'read' | 'write', late: Lateness, given: FailureThreshold, now: number): Judgement {
  return side === 'read' ? decideHealth(late, inTime, given, now) : decideHealth(inTime, late, given, now);
}

/** What follows for a channel that is looked at when `decideHealth` says, until it is given up; or at given times. */
function follow(
  side: 'read' | 'write',
  start: Lateness,
  from: number,
  lenient: FailureThreshold = threshold,
  looks = 20,
): { now: number; health: Judgement }[] {
  const seen: { now: number; health: Judgement }[] = [];
  let { failures, failedAt } = start;
  for (let now = from, look = 0; look < looks && now < Infinity; look++) {
    const late = { ...start, failures, failedAt };
    const health = decideSide(side, late, lenient, now);
    seen.push({ now, health });
    if (health.verdict) break;
    if (health.failed[side]) [failures, failedAt] = [failures + 1, now];
    else if (health.state === 'healthy') failures = 0;
    now = health.lookAt;
  }
  return seen;
}

describe('the four states', () => {
  it.each([
    ['healthy', 'nothing is waited for', {}, {}],
    ['healthy', 'both are in time', { lateAt: 1001 }, { lateAt: 1001 }],
    ['read-late', 'only the read channel is late', { lateAt: 1000 }, { lateAt: 1001 }],
    ['write-late', 'only the write channel is late', { lateAt: 1001 }, { lateAt: 1000 }],
    ['dead', 'both are late', { lateAt: 1000 }, { lateAt: 1000 }],
    ['read-late', 'the read channel is late for the second time', { lateAt: 0, failures: 1, failedAt: 500 }, {}],
    ['write-late', 'the write channel is late for the second time', {}, { lateAt: 0, failures: 1, failedAt: 500 }],
  ] as const)('%s: %s', (state, _why, read, write) => {
    expect(decideHealth(direction(read), direction(write), threshold, 1000)).toMatchObject({
      state,
      verdict: undefined,
    });
  });

  it('is looked at again when the first of both can be late', () => {
    const healthAt = (read: number, write: number): Judgement =>
      decideHealth(direction({ lateAt: read }), direction({ lateAt: write }), threshold, 0);
    expect([
      healthAt(500, 700).lookAt,
      healthAt(700, 500).lookAt,
      healthAt(Infinity, 500).lookAt,
      healthAt(Infinity, Infinity).lookAt,
    ]).toEqual([500, 500, 500, Infinity]);
  });

  it('a late channel is looked at once more for each of its failures, also where the other is in time for long', () => {
    expect(decideHealth(direction({ lateAt: 100 }), direction({ lateAt: 1e9 }), threshold, 100).lookAt).toBe(
      100 + interval,
    );
    expect(
      decideHealth(direction({ lateAt: 1e9 }), direction({ lateAt: 100, failures: 1, failedAt: 150 }), threshold, 200)
        .lookAt,
    ).toBe(150 + interval);
  });
});

describe('the verdict', () => {
  const old = { lateAt: 0, failures: 2, failedAt: 0 };

  it.each([
    ['heartbeat-timeout', 'the read channel', old, {}],
    ['slow-consumer', 'the write channel', {}, old],
    ['heartbeat-timeout', 'both: the peer is gone', old, old],
    ['heartbeat-timeout', 'the read channel, and the other is late', old, { lateAt: 4999 }],
    ['slow-consumer', 'the write channel, and the other is late', { lateAt: 4999 }, old],
  ] as const)('%s for %s', (verdict, _which, read, write) => {
    expect(decideHealth(direction(read), direction(write), threshold, 5000)).toMatchObject({ state: 'dead', verdict });
  });

  it.each([
    ['found late too few times, long after the grace time', { lateAt: 0, failures: 1, failedAt: 0 }, 1e6],
    ['found late for the first time, however late', { lateAt: 0 }, 1e9],
    ['found late often enough, before the grace time is over', { lateAt: 0, failures: 7, failedAt: 0 }, 4999],
    [
      'late for the third time, but too soon after the second',
      { lateAt: 0, failures: 2, failedAt: 5000 },
      5000 + interval - 1,
    ],
    ['while the network may still send again', { lateAt: 0, failures: 9, failedAt: 0, allowedUntil: 60_001 }, 60_000],
    ['in time again', { lateAt: 60_001, failures: 9, failedAt: 59_000 }, 60_000],
  ])('none %s', (_when, evidence, now) => {
    for (const side of ['read', 'write'] as const) {
      const health = decideSide(side, direction(evidence), threshold, now);
      expect(health.verdict).toBeUndefined();
      expect(health.lookAt).toBeGreaterThan(now);
    }
  });

  it.each([
    ['the moment that the grace time is over', { lateAt: 0, failures: 2, failedAt: 0 }, 5000],
    ['the moment that patience is over', { lateAt: 0, failures: 2, failedAt: 0, allowedUntil: 60_000 }, 60_000],
    ['between two failures, with enough of them', { lateAt: 0, failures: 3, failedAt: 4900 }, 5000],
  ])('comes %s', (_when, evidence, now) => {
    expect(decideHealth(direction(evidence), inTime, threshold, now).verdict).toBe('heartbeat-timeout');
  });
});

describe('a channel that stays late', () => {
  it('is given up at the end of the grace time, after as many looks as failures', () => {
    for (const side of ['read', 'write'] as const) {
      const seen = follow(side, direction({ lateAt: 1000 }), 1000);
      expect(seen.map(({ now }) => Math.round(now))).toEqual([1000, 2667, 4333, 6000]);
      expect(seen.map(({ health }) => health.state)).toEqual([`${side}-late`, `${side}-late`, `${side}-late`, 'dead']);
      expect(seen.slice(0, 3).every(({ health }) => health.failed[side])).toBe(true);
    }
  });

  it.each([
    [{ failures: 1, grace: 5000 }, [1000, 6000]],
    [{ failures: 5, grace: 5000 }, [1000, 2000, 3000, 4000, 5000, 6000]],
    [{ failures: 1, grace: 0 }, [1000]],
  ])('with %o is looked at %j', (lenient, times) => {
    expect(follow('read', direction({ lateAt: 1000 }), 1000, lenient).map(({ now }) => now)).toEqual(times);
  });

  it('without a grace time is given up at the look that makes enough', () => {
    const seen = follow('read', direction({ lateAt: 1000 }), 1000, { failures: 3, grace: 0 });
    expect(seen).toHaveLength(3);
    expect(seen.at(-1)?.health.verdict).toBe('heartbeat-timeout');
  });

  it('is looked at until patience is over, and counts on', () => {
    const seen = follow('read', direction({ lateAt: 0, allowedUntil: 51_000 }), 0, threshold, 100);
    expect(seen.at(-1)?.health.verdict).toBe('heartbeat-timeout');
    expect(seen.at(-1)?.now).toBe(51_000);
    expect(seen.length).toBeGreaterThan(51_000 / interval);
  });

  it('is not found late twice by two looks at the same time', () => {
    const first = decideHealth(direction({ lateAt: 0 }), inTime, threshold, 10);
    const second = decideHealth(direction({ lateAt: 0, failures: 1, failedAt: 10 }), inTime, threshold, 10);
    expect([first.failed.read, second.failed.read]).toEqual([true, false]);
    expect(second.state).toBe('read-late');
  });
});

it('a process that stood still gives no peer up before the third look', () => {
  for (const pause of [6000, 60_000, 86_400_000]) {
    const seen = follow('read', direction({ lateAt: 1000 }), pause);
    expect(seen.map(({ now, health }) => [Math.round(now - pause), health.verdict])).toEqual([
      [0, undefined],
      [1667, undefined],
      [3333, 'heartbeat-timeout'],
    ]);
  }
});

it('whatever the evidence, no peer is given up that is in time, or too soon, or was found late too few times, and the next look is in time', () => {
  const time = fc.integer({ min: 0, max: 20_000 });
  const evidence: fc.Arbitrary<Lateness> = fc.record({
    lateAt: fc.oneof(time, fc.constant(Infinity)),
    allowedUntil: time,
    failures: fc.integer({ min: 0, max: 6 }),
    failedAt: time,
  });
  const lenient: fc.Arbitrary<FailureThreshold> = fc.record({
    failures: fc.integer({ min: 1, max: 5 }),
    grace: fc.integer({ min: 0, max: 8000 }),
  });
  const mayEnd = (
    { lateAt, allowedUntil, failures }: Lateness,
    { failures: needed, grace }: FailureThreshold,
    now: number,
  ): boolean => now >= lateAt + grace && now >= allowedUntil && failures + 1 >= needed;
  fc.assert(
    fc.property(evidence, evidence, lenient, time, (read, write, given, now) => {
      fc.pre(read.failedAt <= now && write.failedAt <= now);
      const health = decideHealth(read, write, given, now);
      const [readLate, writeLate] = [now >= read.lateAt, now >= write.lateAt];
      const plain = readLate ? (writeLate ? 'dead' : 'read-late') : writeLate ? 'write-late' : 'healthy';
      expect(health.state).toBe(health.verdict ? 'dead' : plain);
      if (health.verdict === 'heartbeat-timeout') expect(mayEnd(read, given, now)).toBe(true);
      if (health.verdict === 'slow-consumer') expect(mayEnd(write, given, now)).toBe(true);
      if (!readLate) expect(health.failed.read).toBe(false);
      if (!writeLate) expect(health.failed.write).toBe(false);
      if (!health.verdict)
        expect(health.lookAt).toBeLessThanOrEqual(Math.max(read.lateAt, now + given.grace / given.failures));
      if (!health.verdict)
        for (const each of [read, write])
          expect(health.lookAt).toBeLessThanOrEqual(
            given.failures <= each.failures
              ? Math.max(each.lateAt + given.grace, each.allowedUntil, each.lateAt)
              : Infinity,
          );
      // No sooner than it makes a difference.
      if (given.grace > 0 && !health.verdict) expect(health.lookAt).toBeGreaterThan(now);
    }),
    { numRuns: 2000 },
  );
});
