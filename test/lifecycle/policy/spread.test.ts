import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StaggeredQueue } from '../../../src/lifecycle/staggered-queue.ts';
import { departureTimes } from '../../../src/lifecycle/policy/schedule.ts';
import { useRandom } from '../../support/random.ts';

const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('departureTimes', () => {
  it('gives each an equal part of the window, and a random moment in it', () => {
    expect(departureTimes(4, 1000, () => 0)).toEqual([0, 250, 500, 750]);
    expect(departureTimes(4, 1000, () => 0.5)).toEqual([125, 375, 625, 875]);
    expect(departureTimes(0, 1000, Math.random)).toEqual([]);
    expect(departureTimes(3, 0, Math.random)).toEqual([0, 0, 0]);
  });

  it('leaves no part of the window crowded', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 1, max: 60_000 }),
        fc.array(anyRandom, { minLength: 1, maxLength: 50 }),
        (count, window, values) => {
          let calls = 0;
          const times = departureTimes(count, window, () => values[calls++ % values.length]!);
          expect(times).toEqual(times.toSorted((one, other) => one - other));
          expect(times.every((time) => time >= 0 && time <= window)).toBe(true);
          for (let tenth = 0; tenth < 10; tenth++) {
            const inTenth = times.filter(
              (time) => time >= (tenth * window) / 10 && time < ((tenth + 1) * window) / 10,
            ).length;
            expect(inTenth).toBeLessThanOrEqual(count / 10 + 2);
          }
        },
      ),
    );
  });
});

describe('StaggeredQueue', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function make(): {
    departures: StaggeredQueue;
    gone: string[];
    errors: unknown[];
    empty: () => number;
    named: (...names: string[]) => (() => void)[];
  } {
    const gone: string[] = [];
    let empty = 0;
    useRandom(() => 0);
    const errors: unknown[] = [];
    const departures = new StaggeredQueue(
      () => empty++,
      (error) => errors.push(error),
    );
    return {
      departures,
      gone,
      errors,
      empty: () => empty,
      named: (...names) => names.map((name) => () => gone.push(name)),
    };
  }

  it('sends the others away when one throws', () => {
    const { departures, gone, errors, empty, named } = make();
    const fail = (): never => {
      throw new Error('mine');
    };
    departures.add([...named('a'), fail, ...named('b')], 0);
    departures.add([...named('c'), fail], 1000);
    vi.advanceTimersByTime(1000);
    expect([gone, errors.length, empty(), departures.isEmpty]).toEqual([['a', 'b', 'c'], 2, 1, true]);
  });

  it('sends each away at its time, and says when the last has gone', () => {
    const { departures, gone, empty, named } = make();
    departures.add(named('a', 'b', 'c', 'd'), 1000);
    expect([gone, departures.isEmpty]).toEqual([[], false]);
    vi.advanceTimersByTime(1);
    expect(gone).toEqual(['a']);
    vi.advanceTimersByTime(499);
    expect([gone, empty()]).toEqual([['a', 'b', 'c'], 0]);
    vi.advanceTimersByTime(500);
    expect([gone, empty(), departures.isEmpty]).toEqual([['a', 'b', 'c', 'd'], 1, true]);
  });

  it('spreads several kinds over the same window, each evenly', () => {
    const { departures, gone, named } = make();
    departures.add(named('a', 'b'), 1000);
    departures.add(named('x', 'y', 'z', 'w'), 1000);
    vi.advanceTimersByTime(499);
    expect(gone.toSorted()).toEqual(['a', 'x', 'y']);
    vi.advanceTimersByTime(501);
    expect(gone).toHaveLength(6);
  });

  it('holds one timer, and none when it is cleared', () => {
    const { departures, gone, named } = make();
    departures.add(named('a', 'b', 'c'), 1000);
    departures.add(named('d'), 10);
    expect(vi.getTimerCount()).toBe(1);
    departures.clear();
    expect([vi.getTimerCount(), departures.isEmpty]).toEqual([0, true]);
    vi.advanceTimersByTime(2000);
    expect(gone).toEqual([]);
  });

  it('takes nobody as nothing to do', () => {
    const { departures } = make();
    departures.add([], 1000);
    expect([vi.getTimerCount(), departures.isEmpty]).toEqual([0, true]);
  });

  it('may be cleared by one who leaves', () => {
    const { departures, gone, named } = make();
    departures.add([() => departures.clear(), ...named('never')], 0);
    vi.advanceTimersByTime(100);
    expect([gone, vi.getTimerCount()]).toEqual([[], 0]);
  });
});
