import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRefusing, nextPhase, type Phase, type PhaseEvent, stateOf } from '../../../src/lifecycle/policy/phase.ts';

const phases: readonly Phase[] = ['active', 'announcing', 'leaving', 'dead'];
const events: readonly PhaseEvent[] = ['drain', 'announced', 'emptied', 'cut'];
const anyPhase = fc.constantFrom(...phases);
const anyEvents = fc.array(fc.constantFrom(...events), { maxLength: 30 });

function run(sequence: readonly PhaseEvent[], from: Phase = 'active'): Phase {
  return sequence.reduce(nextPhase, from);
}

describe('nextPhase', () => {
  const rows: [from: Phase, event: PhaseEvent, to: Phase][] = [
    ['active', 'drain', 'announcing'],
    ['announcing', 'announced', 'leaving'],
    ['announcing', 'cut', 'dead'],
    ['leaving', 'emptied', 'dead'],
    ['leaving', 'cut', 'dead'],
  ];

  it.each(rows)('moves from %s by %s to %s', (from, event, to) => {
    expect(nextPhase(from, event)).toBe(to);
  });

  it('knows no other move', () => {
    for (const phase of phases) {
      for (const event of events) {
        if (!rows.some(([from, by]) => from === phase && by === event)) expect(nextPhase(phase, event)).toBe(phase);
      }
    }
  });

  it('never goes backwards, whatever happens in whatever order', () => {
    fc.assert(
      fc.property(anyEvents, (sequence) => {
        let at = 0;
        let phase: Phase = 'active';
        for (const event of sequence) {
          phase = nextPhase(phase, event);
          expect(phases.indexOf(phase)).toBeGreaterThanOrEqual(at);
          at = phases.indexOf(phase);
        }
      }),
    );
  });

  it('takes an event that was already taken as nothing', () => {
    fc.assert(
      fc.property(anyPhase, fc.constantFrom(...events), (phase, event) => {
        const after = nextPhase(phase, event);
        expect(nextPhase(after, event)).toBe(after);
      }),
    );
  });

  it('loses no drain: once asked, it gets to dead however often others ask', () => {
    fc.assert(
      fc.property(anyEvents, anyEvents, (before, between) => {
        expect(stateOf(run([...before, 'drain']))).not.toBe('active');
        expect(run([...before, 'drain', ...between, 'announced', 'emptied'])).toBe('dead');
        expect(run([...before, 'drain', ...between, 'cut'])).toBe('dead');
      }),
    );
  });

  it('stays dead', () => {
    fc.assert(fc.property(anyEvents, (sequence) => run(sequence, 'dead') === 'dead'));
  });
});

describe('what others see of a phase', () => {
  it('is three states', () => {
    expect(phases.map(stateOf)).toEqual(['active', 'draining', 'draining', 'dead']);
  });

  it('refuses only after the announcement', () => {
    expect(phases.map(isRefusing)).toEqual([false, false, true, true]);
  });
});
