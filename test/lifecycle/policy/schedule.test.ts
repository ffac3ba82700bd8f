import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextPhase, type Phase, type PhaseEvent } from '../../../src/lifecycle/policy/phase.ts';
import { decideStep, effectivePlan, tellingWindow } from '../../../src/lifecycle/policy/schedule.ts';
import { decideSignal } from '../../../src/lifecycle/process.ts';

const plan = { preDrain: 5000, drainTimeout: 25_000 };
const share = fc.double({ min: 0, max: 1, noNaN: true });

describe('the next step of a drain', () => {
  it.each([
    ['announcing', 0, undefined, { kind: 'wait', until: 5000 }],
    ['announcing', 4999.9, undefined, { kind: 'wait', until: 5000 }],
    ['announcing', 5000, undefined, { kind: 'leave' }],
    // The process was stopped: what is to be told is told all the same.
    ['announcing', 1e9, undefined, { kind: 'leave' }],
    ['leaving', 5000, undefined, { kind: 'wait', until: 25_000 }],
    ['leaving', 24_999, 24_000, { kind: 'wait', until: 25_000 }],
    ['leaving', 1e9, undefined, { kind: 'last-call' }],
    ['parting', 25_000, undefined, { kind: 'cut' }],
    ['parting', 25_000, 21_000, { kind: 'cut' }],
    ['parting', 1e9, 1e9, { kind: 'wait', until: 1e9 + 1000 }],
    ['parting', 1e9 + 1000, 1e9, { kind: 'cut' }],
    ['active', 1e9, undefined, { kind: 'wait', until: Infinity }],
    ['dead', 1e9, undefined, { kind: 'wait', until: Infinity }],
  ] as const)('%s, after %d ms, the last told after %s', (phase, elapsed, toldAt, step) => {
    expect(decideStep(plan, { phase, elapsed, toldAt })).toEqual(step);
  });

  it('is never a cut by time where there is no drainTimeout', () => {
    const step = decideStep({ preDrain: 0, drainTimeout: Infinity }, { phase: 'leaving', elapsed: 1e12, toldAt: 5 });
    expect(step).toEqual({ kind: 'wait', until: Infinity });
  });

  it('leaves clients that were told in time no longer than drainTimeout', () => {
    fc.assert(
      fc.property(share, fc.integer({ min: 1, max: 1e7 }), share, (part, drainTimeout, moment) => {
        const short = { preDrain: part * drainTimeout, drainTimeout };
        const begin = short.preDrain;
        const toldAt = begin + moment * tellingWindow(short, begin, Infinity);
        expect(decideStep(short, { phase: 'parting', elapsed: drainTimeout * (1 + 1e-9), toldAt })).toEqual({
          kind: 'cut',
        });
      }),
    );
  });

  it('follows the same order, however late each is', () => {
    const events: Readonly<Record<string, PhaseEvent>> = { leave: 'announced', 'last-call': 'overdue', cut: 'cut' };
    const lateness = fc.array(fc.double({ min: 0, max: 1e9, noNaN: true }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(fc.nat(5000), fc.nat(20_000), lateness, (preDrain, rest, delays) => {
        const drawn = { preDrain, drainTimeout: preDrain + rest };
        const steps: string[] = [];
        let [elapsed, toldAt] = [0, undefined as number | undefined];
        let phase: Phase = 'announcing';
        for (const delay of delays) {
          const step = decideStep(drawn, { phase, elapsed, toldAt });
          if (step.kind === 'wait') {
            elapsed = Math.max(elapsed, Math.min(step.until, 1e12)) + delay;
            continue;
          }
          steps.push(step.kind);
          if (step.kind === 'last-call') toldAt = elapsed;
          if (step.kind === 'cut') expect(elapsed).toBeGreaterThanOrEqual(toldAt!);
          phase = nextPhase(phase, events[step.kind]!);
        }
        expect(steps).toEqual(['leave', 'last-call', 'cut'].slice(0, steps.length));
        expect(phase).toBe('dead');
      }),
    );
  });
});

describe('the window for telling', () => {
  it('is what is wanted, or four fifths of what is left', () => {
    expect([5000, 20_000, 30_000].map((elapsed) => tellingWindow(plan, elapsed, 10_000))).toEqual([10_000, 4000, 0]);
    expect(tellingWindow({ preDrain: 0, drainTimeout: Infinity }, 1e9, 10_000)).toBe(10_000);
  });
});

describe('preDrain', () => {
  it('is left out where no probe came and nothing is open', () => {
    const preDrains = [true, false].flatMap((isProbed) =>
      [true, false].map((isEmpty) => effectivePlan(plan, { isProbed, isEmpty, isWatched: false }).preDrain),
    );
    expect(preDrains).toEqual([5000, 5000, 0, 5000]);
  });

  it('is left out under node --watch, and the rest is cut soon', () => {
    const surroundings = { isProbed: true, isEmpty: false, isWatched: true };
    expect(effectivePlan(plan, surroundings)).toEqual({ preDrain: 0, drainTimeout: 500 });
    expect(effectivePlan({ preDrain: 5, drainTimeout: 50 }, surroundings)).toEqual({ preDrain: 0, drainTimeout: 50 });
  });
});

describe('a signal', () => {
  it.each([
    [undefined, 1000, 'begin'],
    [0, 1000, 'ignore'],
    [999, 1000, 'ignore'],
    [1000, 1000, 'force'],
    [0, 0, 'force'],
    [1e9, Infinity, 'ignore'],
  ] as const)('%s ms after the first, with a forceAfter of %d: %s', (since, forceAfter, effect) => {
    expect(decideSignal(since, forceAfter)).toBe(effect);
  });
});
