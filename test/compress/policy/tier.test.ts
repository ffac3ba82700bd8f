import { describe, expect, it } from 'vitest';
import type { Tier } from '../../../src/compress/codec.ts';
import { initialTier, nextTier, type TierPolicy, type TierState } from '../../../src/compress/policy/tier.ts';

const policy: TierPolicy = { thresholds: [0.45, 0.75, 0.95], hysteresis: 0.1, dwell: 5000 };

/** A state that has been at one load for so long that nothing of the past is left. */
function settled(tier: Tier, load: number, at = 0): TierState {
  return { tier, load, at, calmSince: undefined };
}

/** The states after each of the loads, which come once a second. */
function run(state: TierState, loads: readonly number[], rules: TierPolicy = policy): TierState[] {
  const states: TierState[] = [];
  for (const load of loads)
    states.push(nextTier(rules, states.at(-1) ?? state, load, (states.at(-1) ?? state).at + 1000));
  return states;
}

function tiers(states: readonly TierState[]): Tier[] {
  return states.map(({ tier }) => tier);
}

function repeat(load: number, count: number): number[] {
  return Array.from({ length: count }, () => load);
}

describe('up', () => {
  it('starts at tier 0, without a load', () => {
    expect(initialTier(77)).toEqual({ tier: 0, load: 0, at: 77, calmSince: undefined });
  });

  it.each([
    [0.44, 0],
    [0.45, 1],
    [0.74, 1],
    [0.75, 2],
    [0.94, 2],
    [0.95, 3],
    [1, 3],
    [1.5, 3],
    [Infinity, 3],
  ])('ends a lasting load of %d in tier %i', (load, tier) => {
    expect(run(initialTier(0), repeat(load, 10)).at(-1)).toMatchObject({ tier });
  });

  it('goes up several tiers at once', () => {
    expect(nextTier(policy, settled(0, 0), 2, 1000).tier).toBe(3);
  });

  it('goes up within a second, two and three of a saturation that comes out of nothing', () => {
    expect(tiers(run(initialTier(0), [1, 1, 1]))).toEqual([1, 2, 3]);
  });

  it('needs no dwell', () => {
    expect(nextTier({ ...policy, dwell: Infinity }, settled(1, 0.6), 1, 4000).tier).toBe(3);
  });

  it('goes one tier up for one busy second', () => {
    expect(Math.max(...tiers(run(initialTier(0), [1, 0, 0, 0])))).toBe(1);
  });

  it('weighs a sample by the time that it is for, so that the interval does not matter', () => {
    let fine = initialTier(0);
    for (let now = 100; now <= 1000; now += 100) fine = nextTier(policy, fine, 0.8, now);
    expect(fine.load).toBeCloseTo(nextTier(policy, initialTier(0), 0.8, 1000).load, 10);
  });

  it('never reaches a tier whose threshold is Infinity', () => {
    const rules = { ...policy, thresholds: [0.45, Infinity, Infinity] } as const;
    expect(tiers(run(initialTier(0), repeat(Infinity, 50), rules)).at(-1)).toBe(1);
  });

  it('takes thresholds over 1', () => {
    const rules = { ...policy, thresholds: [0.5, 2, 4] } as const;
    expect(tiers(run(initialTier(0), repeat(3, 20), rules)).at(-1)).toBe(2);
    expect(tiers(run(initialTier(0), repeat(4, 20), rules)).at(-1)).toBe(3);
  });
});

describe('down', () => {
  it('goes down one tier at a time, with a dwell for each', () => {
    expect(tiers(run(settled(3, 0), repeat(0, 17)))).toEqual([3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0]);
  });

  it.each([
    [1, 0.34, 0],
    [1, 0.36, 1],
    [2, 0.64, 1],
    [2, 0.66, 2],
    [3, 0.84, 2],
    [3, 0.86, 3],
  ] as const)('from tier %i, a lasting load of %d ends in tier %i', (tier, load, end) => {
    expect(run(settled(tier, load), repeat(load, 60)).at(-1)?.tier).toBe(end);
  });

  it('starts the dwell again when the load comes back within the hysteresis', () => {
    const calm = repeat(0.3, 5);
    const states = run(settled(1, 0.3), [...calm, 0.6, ...calm, 0.3]);
    expect(Math.min(...tiers(states))).toBe(1);
    expect(run(states.at(-1) ?? initialTier(0), repeat(0.3, 5)).at(-1)?.tier).toBe(0);
  });

  it('counts the dwell of the next tier from when the load is low enough for that one too', () => {
    const [, , , , , left] = run(settled(3, 0.7), repeat(0.7, 6));
    expect(left).toMatchObject({ tier: 2, calmSince: undefined });
    const [, , , , , passed] = run(settled(3, 0.2), repeat(0.2, 6));
    expect(passed).toMatchObject({ tier: 2, calmSince: 6000 });
  });

  it('goes down with each sample when the dwell is 0', () => {
    expect(tiers(run(settled(3, 0), repeat(0, 4), { ...policy, dwell: 0 }))).toEqual([2, 1, 0, 0]);
  });

  it('never goes down when the dwell is Infinity', () => {
    expect(tiers(run(settled(3, 0), repeat(0, 1000), { ...policy, dwell: Infinity })).at(-1)).toBe(3);
  });

  it('forgets an absurd load as fast as one of twice the highest threshold', () => {
    const absurd = run(initialTier(0), [1e300, ...repeat(0, 20)]);
    expect(tiers(absurd)).toEqual(tiers(run(initialTier(0), [2, ...repeat(0, 20)])));
    expect(absurd.at(-1)).toMatchObject({ tier: 0, load: 0 });
  });

  it('stays when no time has passed, and when the clock goes back', () => {
    const state = settled(2, 0.8, 5000);
    expect(nextTier(policy, state, 0, 5000)).toMatchObject({ tier: 2, load: 0.8 });
    expect(nextTier(policy, state, 0, 1000)).toMatchObject({ tier: 2, load: 0.8 });
  });
});

it('does not change the state that it is given', () => {
  const state = Object.freeze(settled(1, 0.5));
  expect(nextTier(policy, state, 1, 9000)).not.toBe(state);
});
