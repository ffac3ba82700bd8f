import { getMaxListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backgroundContext, DeadlineExceededError, InvalidOptionError } from '../../src/index.ts';
import { Context } from '../../src/internal/context/context.ts';
import { DeadlineQueue } from '../../src/internal/time/deadline-queue.ts';
import { until } from '../support/until.ts';

describe('a context', () => {
  beforeEach(() => void vi.useFakeTimers());

  afterEach(() => void vi.useRealTimers());

  it('has what is left, and a deadline by the clock on the wall', () => {
    const context = new Context(undefined, 1000);
    expect(context.remaining()).toBe(1000);
    expect(Math.abs(context.deadline - Date.now() - 1000)).toBeLessThan(2000);
    vi.advanceTimersByTime(400);
    expect(context.remaining()).toBe(600);
    vi.advanceTimersByTime(5000);
    expect(context.remaining()).toBe(0);
  });

  it('does not call an abort listener whose undo was called', () => {
    const context = new Context(undefined, Infinity);
    const [kept, undone] = [vi.fn(), vi.fn()];
    context.onAbort(kept);
    context.onAbort(undone)();
    context.abort();
    expect([kept, undone].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
  });

  it('has a signal that takes any number of listeners', () => {
    expect(getMaxListeners(new Context(undefined, 1000).signal)).toBe(Infinity);
  });

  it('without a deadline has Infinity', () => {
    const context = new Context(undefined, Infinity);
    expect([context.remaining(), context.deadline, context.child().remaining()]).toEqual([
      Infinity,
      Infinity,
      Infinity,
    ]);
    expect(context.signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has no timer until somebody waits', () => {
    const context = new Context(undefined, 1000);
    const child = context.child({ timeout: 500 });
    expect(vi.getTimerCount()).toBe(0);
    void context.signal;
    expect(vi.getTimerCount()).toBe(1);
    void child.signal;
    expect(vi.getTimerCount()).toBe(2);
    // The parent's timer does for a child with a longer one.
    const longer = context.child({ timeout: 5000 });
    void longer.signal;
    expect(vi.getTimerCount()).toBe(2);
    child.dispose();
    expect(vi.getTimerCount()).toBe(1);
    // It goes on without its parent.
    context.dispose();
    expect(vi.getTimerCount()).toBe(1);
    longer.dispose();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('aborts at its deadline, with one reason for all below', () => {
    const context = new Context(undefined, 1000);
    const [child, grandchild] = [context.child(), context.child().child({ timeout: '1m' })];
    const signals = [context.signal, child.signal, grandchild.signal];
    vi.advanceTimersByTime(999);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, false, false]);
    vi.advanceTimersByTime(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
    expect(new Set(signals.map(({ reason }) => reason as unknown)).size).toBe(1);
    expect(context.signal.reason).toBeInstanceOf(DeadlineExceededError);
  });

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 90 * 86_400_000])('of %d ms aborts no sooner', (timeout) => {
    const warned = vi.fn();
    process.on('warning', warned);
    const makers = [
      () => new Context(undefined, timeout),
      () => new Context(undefined, timeout, { queue: new DeadlineQueue() }),
      () => new Context(undefined, Infinity).child({ timeout }),
    ];
    for (const make of makers) {
      const { signal } = make();
      vi.advanceTimersByTime(timeout - 1);
      expect(signal.aborted).toBe(false);
      vi.advanceTimersByTime(2);
      expect(signal.aborted).toBe(true);
    }
    process.off('warning', warned);
    expect(warned).not.toHaveBeenCalled();
  });

  it('made under an aborted one is aborted from the start', () => {
    const context = new Context(undefined, Infinity);
    const reason = new Error('mine');
    context.abort(reason);
    const child = context.child({ timeout: 5 });
    expect([child.signal.aborted, child.signal.reason, child.isLive]).toEqual([true, reason, false]);
    expect(() => child.throwIfAborted()).toThrow(reason);
  });

  it("made under a disposed one goes on to that one's deadline", () => {
    const context = new Context(undefined, 1000);
    context.dispose();
    const child = context.child({ timeout: 5000 });
    const { signal } = child;
    expect(child.remaining()).toBe(1000);
    vi.advanceTimersByTime(1000);
    expect([signal.aborted, context.signal.aborted]).toEqual([true, false]);
  });

  it('is aborted once, for the first reason', () => {
    const context = new Context(undefined, 1000);
    const calls: unknown[] = [];
    context.signal.addEventListener('abort', () => calls.push(context.signal.reason));
    context.abort(1);
    context.abort(2);
    context.dispose();
    vi.advanceTimersByTime(5000);
    expect(calls).toEqual([1]);
  });

  it('that is aborted without a reason has an AbortError', () => {
    const context = new Context(undefined, Infinity);
    context.abort();
    expect(context.signal.reason).toBeInstanceOf(DOMException);
    expect(context.signal.reason).toHaveProperty('name', 'AbortError');
  });

  it('throws from the moment that the deadline has passed, before any timer', () => {
    const context = new Context(undefined, 1000);
    const child = context.child();
    expect(() => child.throwIfAborted()).not.toThrow();
    vi.setSystemTime(Date.now());
    vi.advanceTimersByTime(1000);
    expect(() => child.throwIfAborted()).toThrow(DeadlineExceededError);
    expect(child.signal.aborted).toBe(true);
  });

  it('that is disposed does not abort, and still tells of its deadline', () => {
    const context = new Context(undefined, 1000);
    const { signal } = context;
    context.dispose();
    vi.advanceTimersByTime(2000);
    expect(signal.aborted).toBe(false);
    expect(context.remaining()).toBe(0);
    expect(() => context.throwIfAborted()).toThrow(DeadlineExceededError);
  });

  it.each([
    [-1, '-1 (number)'],
    ['', '"" (string)'],
    ['soon', '"soon" (string)'],
    [NaN, 'NaN (number)'],
    [null, 'null'],
    [{}, 'Object (object)'],
  ])('refuses a child with a timeout of %o', (timeout, got) => {
    for (const context of [new Context(undefined, 5), backgroundContext]) {
      expect(() => context.child({ timeout: timeout as never })).toThrow(InvalidOptionError);
      expect(() => context.child({ timeout: timeout as never })).toThrow(
        `Expected \`child.timeout\` to be a duration: milliseconds or a string like "30s", >= 0, got ${got}`,
      );
    }
  });

  it.each([null, 5, '5s', []])("refuses %o in place of a child's options", (options) => {
    expect(() => backgroundContext.child(options as never)).toThrow('Expected `child` to be an object');
  });

  it('takes 0 as a timeout: it is over at once', () => {
    const child = backgroundContext.child({ timeout: 0 });
    expect(child.remaining()).toBe(0);
    expect(() => child.throwIfAborted()).toThrow(DeadlineExceededError);
  });

  it('that trades its deadline brings back those that it stood for, at any depth', () => {
    const context = new Context(undefined, 1000);
    const [longer, deep] = [context.child({ timeout: 2000 }), context.child().child({ timeout: 3000 })];
    const signals = [context.signal, longer.signal, deep.signal];
    const aborted = (): boolean[] => signals.map((signal) => signal.aborted);
    context.reschedule(Infinity);
    vi.advanceTimersByTime(1999);
    expect(aborted()).toEqual([false, false, false]);
    vi.advanceTimersByTime(1);
    expect(aborted()).toEqual([false, true, false]);
    vi.advanceTimersByTime(1000);
    expect(aborted()).toEqual([false, true, true]);
    context.reschedule(500);
    vi.advanceTimersByTime(500);
    expect(aborted()).toEqual([true, true, true]);
  });

  it('that is disposed leaves its deadline to those below, at any depth', () => {
    const context = new Context(undefined, 1000);
    const grandchild = context.child().child({ timeout: 5000 });
    const { signal } = grandchild;
    context.dispose();
    vi.advanceTimersByTime(1000);
    expect(signal.reason).toBeInstanceOf(DeadlineExceededError);
  });

  it('calls every listener when one of them throws, which is an uncaught exception as with any signal', () => {
    const context = new Context(undefined, Infinity);
    const child = context.child();
    const calls: string[] = [];
    const nextTick = vi.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        calls.push((error as Error).message);
      }
    });
    child.onAbort(() => {
      throw new Error('mine');
    });
    child.onAbort(() => calls.push('child'));
    context.onAbort(() => calls.push('parent'));
    context.abort();
    nextTick.mockRestore();
    expect(calls).toEqual(['mine', 'child', 'parent']);
    expect(context.signal.aborted).toBe(true);
  });

  it('shares one timer in a queue with all whose deadlines come in order', () => {
    const queue = new DeadlineQueue();
    const contexts = Array.from({ length: 100 }, () => new Context(undefined, 1000, { queue }));
    const signals = contexts.map(({ signal }) => signal);
    expect(vi.getTimerCount()).toBe(1);
    for (const context of contexts.slice(0, 99)) context.dispose();
    vi.advanceTimersByTime(1001);
    expect(signals.filter(({ aborted }) => aborted)).toEqual([signals[99]]);
  });
});

describe('a parent that lives on', () => {
  it('keeps no child that was disposed or aborted, nor its listeners', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const root = new Context(undefined, 3_600_000);
    void root.signal;
    const references: WeakRef<object>[] = [];
    const use = (n: number): void => {
      const child = root.child({ timeout: '30m' });
      const listener = (): void => void n;
      child.onAbort(listener);
      child.signal.addEventListener('abort', listener);
      references.push(new WeakRef(child), new WeakRef(listener));
      if (n % 2 === 0) child.dispose();
      else child.abort();
    };
    for (let n = 0; n < 1000; n++) use(n);
    await until(
      () => {
        collect();
        return references.every((reference) => !reference.deref());
      },
      () => `${references.filter((reference) => reference.deref()).length} are left`,
    );
    root.dispose();
  });
});
