import { AsyncLocalStorage } from 'node:async_hooks';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startTimer } from '../../../src/internal/time/clock.ts';
import { type Timed, TimingWheel, type Timing } from '../../../src/internal/time/timing-wheel.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

// A slot, and what a timer of whole milliseconds is rounded up by.
const latest = 15.625 + 1;

const turn = 16_000;

interface Call {
  readonly name: string;
  readonly at: number;
}

interface Entry extends Timed {
  readonly name: string;
  readonly calls: readonly number[];
}

/** No entry of these tests throws. */
function fail(error: unknown): never {
  throw error;
}

function bench(start = 0) {
  const errors: unknown[] = [];
  const clock = new FakeClock(start);
  const wheel = new TimingWheel((error) => errors.push(error), clock);
  const calls: Call[] = [];
  return {
    clock,
    wheel,
    calls,
    errors,
    entry(name: string, onTime: (entry: Entry, now: number) => void = () => undefined): Entry {
      const own: number[] = [];
      const entry: Entry = {
        name,
        calls: own,
        timing: undefined as Timing | undefined,
        onTime(now) {
          own.push(now);
          calls.push({ name, at: now });
          onTime(entry, now);
        },
      };
      return entry;
    },
  };
}

describe('a wheel', () => {
  it.each([1, 15, 15.625, 15.626, 16, 31.25, 100, 999.9, 15_999, 16_000, 16_000.5, 31_999, 100_000, 3_600_000])(
    'calls what is due in %d ms once, not before, and no later than a slot and the millisecond of its timer',
    (delay) => {
      for (const start of [0, 7.3, 15.625, 1e6 + 0.1, 1e10]) {
        const { clock, wheel, entry } = bench(start);
        const entered = entry('a');
        wheel.schedule(entered, start + delay);
        clock.advance(delay - 0.001);
        expect(entered.calls).toEqual([]);
        expect(wheel.size).toBe(1);
        clock.advance(2 * turn);
        expect(entered.calls).toHaveLength(1);
        expect(entered.calls[0]).toBeGreaterThanOrEqual(start + delay);
        expect(entered.calls[0]! - start - delay).toBeLessThan(latest);
        expect([wheel.size, entered.timing, clock.timers]).toEqual([0, undefined, 0]);
      }
    },
  );

  it.each([0, -1, -20_000])('calls what was due %d ms ago in the next slot, not at once', (delay) => {
    const { clock, wheel, entry } = bench(50_000);
    const late = entry('late');
    wheel.schedule(late, 50_000 + delay);
    expect(late.calls).toEqual([]);
    clock.advance(latest);
    expect(late.calls).toHaveLength(1);
  });

  it('calls in the order of the slots, however they were entered', () => {
    const { clock, wheel, entry, calls } = bench();
    for (const at of [5000, 100, 15_900, 3000, 16_100, 40_000, 1]) wheel.schedule(entry(String(at)), at);
    clock.advance(50_000);
    expect(calls.map(({ name }) => Number(name))).toEqual([1, 100, 3000, 5000, 15_900, 16_100, 40_000]);
  });

  it('never calls at Infinity, and takes that for a cancel', () => {
    const { clock, wheel, entry } = bench();
    const [never, moved] = [entry('never'), entry('moved')];
    wheel.schedule(never, Infinity);
    expect([wheel.size, never.timing, clock.timers]).toEqual([0, undefined, 0]);
    wheel.schedule(moved, 100);
    wheel.schedule(moved, Infinity);
    expect([wheel.size, moved.timing]).toEqual([0, undefined]);
    clock.advance(10 * turn);
    expect([never.calls, moved.calls]).toEqual([[], []]);
  });

  it.each([
    ['later', 1000, 5000],
    ['earlier', 5000, 1000],
    ['within a slot', 1001, 1005],
    ['a turn later, into the same slot', 1000, 1000 + turn],
    ['a turn earlier, into the same slot', 1000 + turn, 1000],
    ['from a later turn to another', 3 * turn, 2 * turn + 500],
  ])('moves an entry %s', (_name, from, to) => {
    const { clock, wheel, entry } = bench();
    const moved = entry('moved');
    wheel.schedule(moved, from);
    wheel.schedule(moved, to);
    expect(wheel.size).toBe(1);
    clock.advance(5 * turn);
    expect(moved.calls).toHaveLength(1);
    expect(moved.calls[0]! - to).toBeGreaterThanOrEqual(0);
    expect(moved.calls[0]! - to).toBeLessThan(latest);
  });

  it('takes an entry out, wherever it is in its list, and others of the list stay', () => {
    for (const out of [0, 1, 2]) {
      const { clock, wheel, entry } = bench();
      const entries = ['a', 'b', 'c'].map((name) => entry(name));
      for (const each of entries) wheel.schedule(each, 100);
      wheel.cancel(entries[out]!);
      wheel.cancel(entries[out]!);
      expect([wheel.size, entries[out]!.timing]).toEqual([2, undefined]);
      clock.advance(200);
      expect(entries.map(({ calls }) => calls.length)).toEqual([0, 1, 2].map((index) => Number(index !== out)));
    }
  });

  it('has one timer however many wait, and none when nothing does', () => {
    const { clock, wheel, entry } = bench();
    const entries = Array.from({ length: 1000 }, (_, index) => entry(String(index)));
    for (const [index, each] of entries.entries()) wheel.schedule(each, ((index * 7919) % 30_000) + 1);
    expect([wheel.size, clock.timers]).toEqual([1000, 1]);
    clock.advance(10_000);
    expect(clock.timers).toBe(1);
    for (const each of entries) wheel.cancel(each);
    clock.advance(2 * turn);
    expect([wheel.size, clock.timers]).toEqual([0, 0]);
  });

  it('wakes no more often than 64 times a second', () => {
    const { clock, wheel, entry } = bench();
    for (let at = 0.5; at < 1000; at += 0.5) wheel.schedule(entry(String(at)), at);
    let wakes = 0;
    const startTimer = clock.startTimer.bind(clock);
    clock.startTimer = (delay, callback) =>
      startTimer(delay, () => {
        wakes += 1;
        callback();
      });
    clock.advance(2000);
    expect(wheel.size).toBe(0);
    // The first one was set before they were counted.
    expect(wakes).toBeGreaterThan(50);
    expect(wakes).toBeLessThanOrEqual(64);
  });

  describe('from within a call', () => {
    it('takes the same entry again, for a time to come or one that has passed', () => {
      const { clock, wheel, entry } = bench();
      const delays = [50, 0, -1000, turn, 20];
      const again = entry('again', (self, now) => {
        const delay = delays.shift();
        if (delay !== undefined) wheel.schedule(self, now + delay);
      });
      wheel.schedule(again, 100);
      clock.advance(50 + turn + 300);
      expect(again.calls).toHaveLength(6);
      // One at a time: a slot is never emptied twice for whom it calls.
      for (const [index, at] of again.calls.slice(1).entries()) expect(at).toBeGreaterThan(again.calls[index]!);
      expect(wheel.size).toBe(0);
    });

    it.each(['cancelled', 'moved away', 'moved to where it is'] as const)('another of the same slot is %s', (how) => {
      const { clock, wheel, entry } = bench();
      const entries: Entry[] = [];
      const act = (self: Entry, now: number): void => {
        for (const other of entries) {
          if (other === self || other.calls.length > 0) continue;
          if (how === 'cancelled') wheel.cancel(other);
          else wheel.schedule(other, how === 'moved away' ? now + 500 : 100);
        }
      };
      entries.push(...['a', 'b', 'c'].map((name) => entry(name, act)));
      for (const each of entries) wheel.schedule(each, 100);
      clock.advance(120);
      const called = entries.filter(({ calls }) => calls.length > 0).length;
      expect(called).toBe(how === 'moved to where it is' ? 3 : 1);
      clock.advance(5000);
      expect(entries.map(({ calls }) => calls.length)).toEqual(
        how === 'cancelled' ? expect.arrayContaining([0, 0, 1]) : [1, 1, 1],
      );
      expect(wheel.size).toBe(0);
    });

    it('a newcomer of the slot at hand waits for the next', () => {
      const { clock, wheel, calls, entry } = bench();
      const newcomer = entry('newcomer');
      wheel.schedule(
        entry('first', (_self, now) => wheel.schedule(newcomer, now)),
        100,
      );
      clock.advance(200);
      expect(calls.map(({ name }) => name)).toEqual(['first', 'newcomer']);
      expect(newcomer.calls[0]! - calls[0]!.at).toBeGreaterThan(0);
      expect(newcomer.calls[0]! - calls[0]!.at).toBeLessThanOrEqual(latest);
    });

    it('all may be forgotten', () => {
      const { clock, wheel, calls, entry } = bench();
      const rest = ['b', 'c'].map((name) => entry(name));
      wheel.schedule(entry('later'), 5000);
      for (const each of rest) wheel.schedule(each, 100);
      wheel.schedule(
        entry('a', () => wheel.clear()),
        100,
      );
      clock.advance(turn);
      expect(calls.map(({ name }) => name)).toEqual(['a']);
      expect([wheel.size, clock.timers, ...rest.map(({ timing }) => timing)]).toEqual([0, 0, undefined, undefined]);
    });
  });

  describe('after the process stood still', () => {
    it.each([20, 1000, turn - 1, turn, turn + 20, turn + 1, 5 * turn + 7, 86_400_000])(
      'for %d ms it calls once whatever was due meanwhile, and nothing else',
      (pause) => {
        const { clock, wheel, entry } = bench(1234.5);
        const due = [1, 10, 500, 15_000, 15_999, 20_000, 79_000]
          .filter((delay) => delay <= pause - latest)
          .map((delay) => ({ delay, entry: entry(String(delay)) }));
        const pending = [1, 100, turn, 3 * turn].map((delay) => ({
          delay: pause + delay,
          entry: entry(`pending ${delay}`),
        }));
        for (const { delay, entry: each } of [...due, ...pending]) wheel.schedule(each, 1234.5 + delay);
        clock.pause(pause);
        expect(due.map((each) => each.entry.calls.length)).toEqual(due.map(() => 1));
        expect(pending.map((each) => each.entry.calls.length)).toEqual(pending.map(() => 0));
        clock.advance(4 * turn);
        for (const { delay, entry: each } of pending) {
          expect(each.calls).toHaveLength(1);
          expect(each.calls[0]! - 1234.5 - delay).toBeLessThan(latest);
        }
      },
    );

    it('goes on where it was empty meanwhile', () => {
      const { clock, wheel, entry } = bench();
      const [first, second] = [entry('first'), entry('second')];
      wheel.schedule(first, 10);
      clock.advance(100);
      clock.advance(1e9);
      wheel.schedule(second, clock.now() + 5);
      clock.advance(5 + latest);
      expect([first.calls.length, second.calls.length]).toEqual([1, 1]);
    });
  });

  it('forgets all, and takes new ones', () => {
    const { clock, wheel, entry } = bench();
    const entries = [50, 50, 5000, 3 * turn].map((at) => ({ at, entry: entry(String(at)) }));
    for (const { at, entry: each } of entries) wheel.schedule(each, at);
    wheel.clear();
    expect([wheel.size, clock.timers, ...entries.map((each) => each.entry.timing)]).toEqual([
      0,
      0,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    clock.advance(turn);
    wheel.schedule(entries[0]!.entry, clock.now() + 50);
    expect([wheel.size, clock.timers]).toEqual([1, 1]);
    clock.advance(4 * turn);
    expect(entries.map((each) => each.entry.calls.length)).toEqual([1, 0, 0, 0]);
  });

  it('calls the others when one throws, and says what it was', () => {
    const { wheel, clock, calls, errors, entry } = bench();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) {
      const each = entry(name, () => {
        if (name < 'c') throw new Error(name);
      });
      wheel.schedule(each, 100);
      // In a slot after that.
      wheel.schedule(entry(`${name} later`), 200);
    }
    clock.advance(300);
    expect(calls.map(({ name }) => name).sort()).toEqual([
      'a',
      'a later',
      'b',
      'b later',
      'c',
      'c later',
      'd',
      'd later',
    ]);
    expect(errors.map(String).sort()).toEqual(['Error: a', 'Error: b']);
    expect([wheel.size, clock.timers]).toEqual([0, 0]);
  });

  it('is not the context of the code that happens to set its timer', async () => {
    const storage = new AsyncLocalStorage<string>();
    const wheel = new TimingWheel(fail, { now: () => performance.now(), startTimer });
    const seen: unknown[] = [];
    const entered: Timed = { timing: undefined, onTime: () => void seen.push(storage.getStore()) };
    storage.run('a request', () => wheel.schedule(entered, performance.now()));
    await until(() => seen.length === 1);
    expect(seen).toEqual([undefined]);
  });

  it('is right on the clock of the system too', async () => {
    const wheel = new TimingWheel(fail);
    const early: number[] = [];
    let called = 0;
    for (let index = 0; index < 100; index++) {
      const at = performance.now() + index * 1.7;
      wheel.schedule(
        {
          timing: undefined,
          onTime: (now) => {
            called += 1;
            if (now < at || performance.now() < at) early.push(index);
          },
        },
        at,
      );
    }
    await until(() => called === 100);
    expect([wheel.size, early]).toEqual([0, []]);
  });
});

type Step =
  | { readonly kind: 'schedule'; readonly entry: number; readonly delay: number }
  | { readonly kind: 'cancel'; readonly entry: number }
  | { readonly kind: 'advance' | 'pause'; readonly duration: number }
  | { readonly kind: 'clear' };

const span = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.double({ min: 0, max: 3 * turn, noNaN: true }),
  fc.integer({ min: 0, max: 40 }).map((count) => count * 15.625),
  fc.integer({ min: -3, max: 3 }).map((offset) => Math.max(0, turn + offset * 15.625)),
);
const which = fc.integer({ min: 0, max: 7 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('schedule' as const),
        entry: which,
        delay: fc.oneof({ weight: 8, arbitrary: span }, { weight: 1, arbitrary: fc.constantFrom(-5000, Infinity) }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), entry: which }) },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constantFrom('advance' as const, 'pause' as const), duration: span }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  ),
  { maxLength: 60 },
);

/** What an entry does when it is called: to itself and to others. */
const reactions = fc.array(fc.option(fc.record({ other: which, delay: fc.oneof(span, fc.constant(undefined)) })), {
  minLength: 8,
  maxLength: 8,
});

describe('a wheel and a list that is searched from end to end', () => {
  it('agree on who is called and when', () => {
    fc.assert(
      fc.property(steps, reactions, fc.double({ min: 0, max: 1e6, noNaN: true }), (all, reacts, start) => {
        const clock = new FakeClock(start);
        const wheel = new TimingWheel(fail, clock);
        /** Who waits: for when, since when. */
        const model = new Map<number, { readonly at: number; readonly since: number }>();
        let budget = 200;
        const schedule = (index: number, at: number): void => {
          wheel.schedule(entries[index]!, at);
          if (at === Infinity) model.delete(index);
          else model.set(index, { at, since: clock.now() });
        };
        const cancel = (index: number): void => {
          wheel.cancel(entries[index]!);
          model.delete(index);
        };
        const entries = reacts.map((react, index): Timed => ({
          timing: undefined,
          onTime(now) {
            const waiting = model.get(index);
            expect(waiting).toBeDefined();
            expect(waiting!.at).toBeLessThanOrEqual(now);
            expect(now).toBe(clock.now());
            model.delete(index);
            if (!react || budget-- <= 0) return;
            if (react.delay === undefined) cancel(react.other);
            else schedule(react.other, now + react.delay);
          },
        }));
        for (const step of all) {
          if (step.kind === 'schedule') schedule(step.entry, clock.now() + step.delay);
          else if (step.kind === 'cancel') cancel(step.entry);
          else if (step.kind === 'clear') {
            wheel.clear();
            model.clear();
          } else clock[step.kind](step.duration);
          expect(wheel.size).toBe(model.size);
          expect(entries.map(({ timing }) => timing?.at)).toEqual(entries.map((_, index) => model.get(index)?.at));
          expect(clock.timers).toBeLessThanOrEqual(1);
          // No entry is forgotten: one that waits is not due, or not for longer than a slot, or was entered when it was
          // due already.
          for (const { at, since } of model.values())
            expect(clock.now() - Math.max(at, since)).toBeLessThanOrEqual(latest);
        }
        budget = 0;
        clock.advance(5 * turn);
        expect([wheel.size, model.size, clock.timers]).toEqual([0, 0, 0]);
      }),
      { numRuns: 400 },
    );
  });
});
