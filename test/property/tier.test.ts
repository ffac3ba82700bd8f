import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Tier } from '../../src/compress/codec.ts';
import {
  initialTier,
  nextTier,
  type Thresholds,
  type TierPolicy,
  type TierState,
} from '../../src/compress/policy/tier.ts';

interface Sample {
  readonly load: number;
  /** Milliseconds since the one before. */
  readonly after: number;
}

const share = fc.double({ min: 0.01, max: 1, noNaN: true });

const policy: fc.Arbitrary<TierPolicy> = fc
  .record({
    steps: fc.tuple(share, share, share),
    hysteresis: fc.double({ min: 0, max: 0.99, noNaN: true }),
    dwell: fc.integer({ min: 1, max: 20_000 }),
  })
  .map(({ steps: [first, second, third], hysteresis, dwell }) => ({
    thresholds: [first, first + second, first + second + third] as const,
    hysteresis: hysteresis * first,
    dwell,
  }));

const load = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: 0, max: 1.5, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 0.45, 0.75, 0.95, 1, 1e9, Infinity) },
);

const samples: fc.Arbitrary<Sample[]> = fc.array(fc.record({ load, after: fc.integer({ min: 0, max: 8000 }) }), {
  maxLength: 200,
});

// Loads that come and go, each for long enough to go down: what comes out of `samples` seldom stays low for a whole
// dwell.
const waves: fc.Arbitrary<Sample[]> = fc
  .array(fc.record({ load, after: fc.integer({ min: 100, max: 3000 }), count: fc.integer({ min: 1, max: 15 }) }), {
    maxLength: 30,
  })
  .map((list) => list.flatMap(({ count, ...sample }) => Array.from({ length: count }, () => sample)));

const history = fc.oneof(samples, waves);

function run(rules: TierPolicy, list: readonly Sample[], start: TierState = initialTier(0)): TierState[] {
  const states = [start];
  for (const sample of list) {
    const last = states.at(-1) ?? start;
    states.push(nextTier(rules, last, sample.load, last.at + sample.after));
  }
  return states;
}

function changes(states: readonly TierState[]): { readonly at: number; readonly by: number }[] {
  return states
    .slice(1)
    .map((state, index) => ({ at: state.at, by: state.tier - (states[index]?.tier ?? 0) }))
    .filter(({ by }) => by !== 0);
}

function reached(thresholds: Thresholds, value: number): Tier {
  return thresholds.filter((threshold) => value >= threshold).length as Tier;
}

it('does not flap: in no window are there more steps down than dwells in it, and one', () => {
  fc.assert(
    fc.property(policy, history, fc.nat(), fc.integer({ min: 1, max: 100_000 }), (rules, list, offset, window) => {
      const states = run(rules, list);
      const downs = changes(states)
        .filter(({ by }) => by < 0)
        .map(({ at }) => at);
      const start = offset % ((states.at(-1)?.at ?? 0) + 1);
      const inWindow = downs.filter((at) => at >= start && at < start + window);
      expect(inWindow.length).toBeLessThanOrEqual(Math.floor(window / rules.dwell) + 1);
      for (const [index, at] of downs.entries())
        expect(at - (downs[index - 1] ?? -Infinity)).toBeGreaterThanOrEqual(rules.dwell);
      // Each step down makes room for one more up.
      expect(changes(states).length).toBeLessThanOrEqual(2 * downs.length + 3);
    }),
    { numRuns: 1000 },
  );
});

it('goes down one tier at a time, after a whole dwell under the threshold less the hysteresis', () => {
  fc.assert(
    fc.property(policy, history, (rules, list) => {
      const states = run(rules, list);
      for (const [index, state] of states.entries()) {
        const tier = states[index - 1]?.tier ?? 0;
        if (state.tier >= tier) continue;
        expect(tier - state.tier).toBe(1);
        const edge = rules.thresholds[tier - 1]! - rules.hysteresis;
        const firstLow = states.findLastIndex((each, earlier) => earlier <= index && each.load >= edge) + 1;
        expect(state.at - states[firstLow]!.at).toBeGreaterThanOrEqual(rules.dwell);
      }
    }),
    { numRuns: 1000 },
  );
});

it('is never below the tier of its load, and goes up only to that one', () => {
  fc.assert(
    fc.property(policy, history, (rules, list) => {
      const states = run(rules, list);
      for (const [index, state] of states.entries()) {
        const tier = reached(rules.thresholds, state.load);
        expect(state.tier).toBeGreaterThanOrEqual(tier);
        if (state.tier > (states[index - 1]?.tier ?? 0)) expect(state.tier).toBe(tier);
      }
    }),
    { numRuns: 1000 },
  );
});

it('smooths within what it was given', () => {
  fc.assert(
    fc.property(policy, samples, (rules, list) => {
      const states = run(rules, list);
      for (const [index, { load: given }] of list.entries()) {
        const before = states[index]!.load;
        const after = states[index + 1]!.load;
        expect(after).toBeGreaterThanOrEqual(Math.min(before, given));
        expect(after).toBeLessThanOrEqual(Math.max(before, given));
      }
    }),
  );
});

it('converges under a constant load, whatever came before, and stays', () => {
  fc.assert(
    fc.property(
      policy,
      history,
      fc.double({ min: 0, max: 1.2, noNaN: true }),
      fc.integer({ min: 50, max: 5000 }),
      (rules, list, constant, after) => {
        const before = run(rules, list).at(-1)!;
        // Eight times the smoothing, and then three dwells, each begun one sample late at most.
        const count = Math.ceil((8000 + 3 * rules.dwell) / after) + 6;
        const end = run(
          rules,
          Array.from({ length: count }, () => ({ load: constant, after })),
          before,
        ).at(-1)!;
        expect(end.load).toBe(Math.min(constant, 2 * Math.max(1, rules.thresholds[2])));
        const lowest = reached(rules.thresholds, end.load);
        // It is that tier, or a higher one whose hysteresis holds it.
        if (end.tier !== lowest)
          expect(end.load).toBeGreaterThanOrEqual(rules.thresholds[end.tier - 1]! - rules.hysteresis);
        const later = run(
          rules,
          Array.from({ length: 100 }, () => ({ load: constant, after })),
          end,
        );
        expect(changes(later)).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});

it('changes once at most under noise around a threshold that is smaller than the hysteresis', () => {
  const rules: TierPolicy = { thresholds: [0.45, 0.75, 0.95], hysteresis: 0.1, dwell: 5000 };
  const noise = fc.array(
    fc.record({ by: fc.double({ min: -0.099, max: 0.099, noNaN: true }), after: fc.integer({ min: 1, max: 20_000 }) }),
    { maxLength: 300 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 3),
      noise,
      fc.double({ min: -0.099, max: 0.099, noNaN: true }),
      (tier, list, first) => {
        const threshold = rules.thresholds[tier - 1]!;
        const start: TierState = {
          tier: reached(rules.thresholds, threshold + first),
          load: threshold + first,
          at: 0,
          calmSince: undefined,
        };
        expect(
          changes(
            run(
              rules,
              list.map(({ by, after }) => ({ load: threshold + by, after })),
              start,
            ),
          ).length,
        ).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 1000 },
  );
});
