import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Drain } from '../../src/lifecycle/drain.ts';
import type { DrainPart, CloseTask } from '../../src/lifecycle/drain-part.ts';
import { type LifecycleOptions, resolveLifecycleOptions } from '../../src/lifecycle/options.ts';
import type { LifecycleChange } from '../../src/lifecycle/events.ts';
import { useRandom } from '../support/random.ts';

/** A part that notes what it is asked to do, and is gone when it is told so. */
class Part implements DrainPart {
  readonly calls: string[] = [];
  readonly carries: boolean;
  isEmpty = false;
  farewells: CloseTask[] = [];

  constructor(carries = false) {
    this.carries = carries;
  }

  announce(): void {
    this.calls.push('announce');
  }
  leave(): readonly CloseTask[] {
    this.calls.push('leave');
    return this.farewells.splice(0);
  }
  tidy(): void {
    this.calls.push('tidy');
  }
  cut(): void {
    this.calls.push('cut');
  }
  release(): void {
    this.calls.push('release');
  }
}

function make(
  options: LifecycleOptions = {},
  part = new Part(),
): { drain: Drain; part: Part; changes: LifecycleChange[] } {
  useRandom(() => 0);
  const changes: LifecycleChange[] = [];
  const resolved = resolveLifecycleOptions({ preDrain: '5s', spread: '10s', drainTimeout: '25s', ...options });
  const drain = new Drain(resolved, (change) => changes.push(change));
  drain.add(part);
  return { drain, part, changes };
}

describe('a drain', () => {
  beforeEach(() => {
    vi.useFakeTimers({
      toFake: [
        'setTimeout',
        'clearTimeout',
        'setInterval',
        'clearInterval',
        'setImmediate',
        'clearImmediate',
        'performance',
      ],
    });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('announces, leaves after preDrain, and is over when its parts are empty', async () => {
    const { drain, part, changes } = make();
    drain.begin(true);
    expect([drain.phase, part.calls]).toEqual(['announcing', ['announce']]);
    vi.advanceTimersByTime(4999);
    expect(drain.phase).toBe('announcing');
    vi.advanceTimersByTime(1);
    expect([drain.phase, part.calls[1]]).toEqual(['leaving', 'leave']);
    vi.advanceTimersByTime(3000);
    expect(drain.phase).toBe('leaving');
    part.isEmpty = true;
    drain.settleSoon();
    vi.advanceTimersByTime(1);
    expect([drain.phase, part.calls.at(-1)]).toEqual(['dead', 'release']);
    expect(await drain.over).toMatchObject({ duration: 8001, forced: false, reason: 'complete' });
    expect(changes).toEqual([
      { state: 'draining', previous: 'active' },
      { state: 'dead', previous: 'draining' },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('serves for preDrain with nothing to wait for, where probes are asked: load balancers learn late', () => {
    const { drain, part } = make();
    part.isEmpty = true;
    drain.begin(true);
    drain.settleSoon();
    vi.advanceTimersByTime(4999);
    expect(drain.phase).toBe('announcing');
    vi.advanceTimersByTime(2);
    expect(drain.phase).toBe('dead');
  });

  it('serves for preDrain where something is open, also without probes', () => {
    const { drain } = make();
    drain.begin(false);
    vi.advanceTimersByTime(4999);
    expect(drain.phase).toBe('announcing');
  });

  it('leaves at once where nothing is open and no probe was asked', () => {
    const { drain, part } = make();
    part.isEmpty = true;
    drain.begin(false);
    vi.advanceTimersByTime(1);
    expect([drain.phase, part.calls.slice(0, 2)]).toEqual(['dead', ['announce', 'leave']]);
  });

  describe('whose timers come late', () => {
    /** The process stands still for that long, from now on. */
    function pauseFor(duration: number): void {
      const now = performance.now.bind(performance);
      const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + duration);
      onTestFinished(() => void spy.mockRestore());
    }

    it('tells all before it cuts, and gives them the time to hear it', async () => {
      const { drain, part } = make();
      const gone: string[] = [];
      part.farewells = ['a', 'b', 'c'].map((name) => () => gone.push(name));
      drain.begin(true);
      pauseFor(60_000);
      vi.advanceTimersByTime(5000);
      expect([drain.phase, gone, part.calls.includes('cut')]).toEqual(['parting', ['a', 'b', 'c'], false]);
      vi.advanceTimersByTime(999);
      expect([drain.phase, part.calls.includes('cut')]).toEqual(['parting', false]);
      vi.advanceTimersByTime(1);
      expect([drain.phase, part.calls.includes('cut')]).toEqual(['dead', true]);
      expect(await drain.over).toMatchObject({ reason: 'timeout', forced: true });
    });

    it('is over as soon as all are gone', async () => {
      const { drain, part } = make();
      part.farewells = [() => (part.isEmpty = true)];
      drain.begin(true);
      pauseFor(60_000);
      vi.advanceTimersByTime(5001);
      expect(drain.phase).toBe('dead');
      expect(await drain.over).toMatchObject({ reason: 'complete', forced: false });
    });

    it('tells those that are in the middle of their window', () => {
      const { drain, part } = make();
      const gone: string[] = [];
      part.farewells = ['a', 'b', 'c', 'd'].map((name) => () => gone.push(name));
      drain.begin(true);
      vi.advanceTimersByTime(5001);
      expect(gone).toEqual(['a']);
      pauseFor(60_000);
      vi.advanceTimersByTime(2500);
      expect(gone).toEqual(['a', 'b', 'c', 'd']);
      expect(drain.phase).not.toBe('dead');
    });

    it('cuts at once where there is no one to tell', () => {
      const { drain, part } = make();
      drain.begin(true);
      pauseFor(60_000);
      vi.advanceTimersByTime(5000);
      expect([drain.phase, part.calls]).toEqual(['dead', ['announce', 'leave', 'leave', 'cut', 'release']]);
    });
  });

  it('tells one that comes to it last before it cuts', () => {
    const { drain, part } = make();
    const gone: string[] = [];
    drain.begin(true);
    vi.advanceTimersByTime(24_990);
    part.farewells = [() => gone.push('late')];
    vi.advanceTimersByTime(20);
    expect([drain.phase, gone]).toEqual(['parting', ['late']]);
    vi.advanceTimersByTime(1000);
    expect(drain.phase).toBe('dead');
  });

  it('takes any number of waits on its signal', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const { drain } = make();
    for (let wait = 0; wait < 20; wait++) drain.signal.addEventListener('abort', () => wait);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
  });

  it('sends away over the window, and looks for latecomers every second', () => {
    const { drain, part } = make();
    const gone: string[] = [];
    part.farewells = ['a', 'b', 'c', 'd'].map((name) => () => gone.push(name));
    drain.begin(true);
    vi.advanceTimersByTime(5001);
    expect(gone).toEqual(['a']);
    vi.advanceTimersByTime(2500);
    expect(gone).toEqual(['a', 'b']);
    part.farewells = [() => gone.push('late')];
    vi.advanceTimersByTime(1000);
    expect(gone).toEqual(['a', 'b', 'late']);
    vi.advanceTimersByTime(10_000);
    expect(gone).toEqual(['a', 'b', 'late', 'c', 'd']);
  });

  it('is over once every client has left, though some were still to be told', () => {
    const { drain, part } = make();
    const gone: number[] = [];
    part.farewells = [() => gone.push(1), () => gone.push(2)];
    drain.begin(true);
    vi.advanceTimersByTime(9999);
    expect([drain.phase, gone]).toEqual(['leaving', [1]]);
    part.isEmpty = true;
    drain.settleSoon();
    vi.advanceTimersByTime(1);
    expect([drain.phase, gone]).toEqual(['dead', [1]]);
  });

  it('shortens the window to what drainTimeout leaves', () => {
    const { drain, part } = make({ preDrain: '20s', spread: undefined as never });
    const gone: number[] = [];
    part.farewells = Array.from({ length: 5 }, (_, index) => () => gone.push(index));
    drain.begin(true);
    vi.advanceTimersByTime(24_999);
    expect([drain.phase, gone.length]).toEqual(['leaving', 5]);
  });

  it('cuts at drainTimeout, those first that run over others', async () => {
    const { drain, part } = make();
    const order: string[] = [];
    const carrier = new Part(true);
    carrier.cut = () => order.push('carrier');
    part.cut = () => order.push('part');
    const later = new Part();
    later.cut = () => order.push('later');
    drain.add(carrier);
    drain.add(later);
    drain.begin(true);
    vi.advanceTimersByTime(25_000);
    expect([drain.phase, order]).toEqual(['dead', ['part', 'later', 'carrier']]);
    expect(await drain.over).toMatchObject({ duration: 25_000, forced: true, reason: 'timeout' });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('cuts nothing by time when drainTimeout is Infinity', () => {
    const { drain } = make({ drainTimeout: Infinity });
    drain.begin(true);
    vi.advanceTimersByTime(3_600_000);
    expect(drain.phase).toBe('leaving');
    drain.force('signal');
    expect(drain.phase).toBe('dead');
  });

  it('is not forced before it has begun', () => {
    const { drain, part } = make();
    drain.force('signal');
    expect([drain.phase, part.calls]).toEqual(['active', []]);
  });

  it('may be forced while it is announced', async () => {
    const { drain, part } = make();
    drain.begin(true);
    drain.force('signal');
    expect([drain.phase, part.calls]).toEqual(['dead', ['announce', 'cut', 'release']]);
    expect(await drain.over).toMatchObject({ reason: 'signal', forced: true });
  });

  it('lets go of a part that is removed', () => {
    const { drain, part } = make({ preDrain: 0 });
    const other = new Part();
    const remove = drain.add(other);
    part.isEmpty = true;
    drain.begin(true);
    vi.advanceTimersByTime(10);
    expect(drain.phase).toBe('leaving');
    remove();
    remove();
    vi.advanceTimersByTime(0);
    expect([drain.phase, other.calls.filter((call) => call === 'release')]).toEqual(['dead', ['release']]);
  });

  it('aborts its signal when it begins, once', () => {
    const { drain } = make();
    const reasons: unknown[] = [];
    drain.signal.addEventListener('abort', () => reasons.push(drain.signal.reason));
    drain.begin(true);
    drain.begin(true);
    expect(reasons).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_DRAINING' })]);
  });

  it('is one, with one report, in whatever order callers, time and force come', async () => {
    const step = fc.oneof(
      fc.constant('begin'),
      fc.constant('force'),
      fc.constant('empty'),
      fc.integer({ min: 0, max: 8000 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const { drain, part, changes } = make();
        const ranks = ['active', 'announcing', 'leaving', 'parting', 'dead'];
        let at = 0;
        for (const each of [...steps, 'begin', 'empty', 30_000]) {
          if (each === 'begin') drain.begin(true);
          else if (each === 'force') drain.force('signal');
          else if (each === 'empty') part.isEmpty = true;
          else vi.advanceTimersByTime(each as number);
          expect(ranks.indexOf(drain.phase)).toBeGreaterThanOrEqual(at);
          at = ranks.indexOf(drain.phase);
        }
        expect(changes.map(({ state }) => state)).toEqual(['draining', 'dead']);
        expect(part.calls.filter((call) => call === 'announce')).toHaveLength(1);
        expect(part.calls.filter((call) => call === 'release')).toHaveLength(1);
        expect(part.calls.filter((call) => call === 'cut').length).toBeLessThanOrEqual(1);
        expect(await drain.over).toBe(await drain.over);
        expect(vi.getTimerCount()).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
