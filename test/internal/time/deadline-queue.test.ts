import { describe, expect, it } from 'vitest';
import { DeadlineQueue, type Queued } from '../../../src/internal/time/deadline-queue.ts';
import { until } from '../../support/until.ts';

interface Entry extends Queued {
  readonly name: string;
}

function makeEntries(log: string[], names: readonly string[]): Entry[] {
  return names.map((name) => ({
    name,
    queued: undefined,
    expire: () => void log.push(name),
    fail: (error: unknown) => void log.push(String(error)),
  }));
}

describe('a queue of deadlines', () => {
  it('expires in order, without those that were removed', async () => {
    const log: string[] = [];
    const queue = new DeadlineQueue();
    const entries = makeEntries(log, ['a', 'b', 'c', 'd', 'e']);
    const now = performance.now();
    entries.forEach((entry, index) => queue.add(entry, now + 20 + index));
    for (const index of [0, 2, 4]) queue.remove(entries[index]!);
    queue.remove(entries[2]!);
    await until(() => log.length === 2);
    expect(log).toEqual(['b', 'd']);
    expect(entries.map(({ queued }) => queued)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });

  it('expires the others when one throws, now and later', async () => {
    const log: string[] = [];
    const queue = new DeadlineQueue();
    const entries = makeEntries(log, ['a', 'b', 'c', 'd']);
    const [first, , , last] = entries;
    first!.expire = last!.expire = () => {
      throw new Error('mine');
    };
    const now = performance.now();
    entries.forEach((entry, index) => queue.add(entry, now + 10 + index));
    const [later] = makeEntries(log, ['later']);
    queue.add(later!, now + 50);
    // All of them are due in the same turn.
    while (performance.now() < now + 20);
    await until(() => log.length === 5);
    expect(log).toEqual(['Error: mine', 'b', 'c', 'Error: mine', 'later']);
  });

  it('takes what comes after all that are in, and anything when it is empty', () => {
    const queue = new DeadlineQueue();
    const [first, second] = makeEntries([], ['first', 'second']);
    queue.add(first!, 100_000);
    expect([queue.takes(99_999), queue.takes(100_000)]).toEqual([false, true]);
    queue.remove(first!);
    expect(queue.takes(5)).toBe(true);
    queue.add(second!, 5);
    queue.remove(second!);
  });

  it('keeps to an earlier deadline that comes when a later one has gone', async () => {
    const log: string[] = [];
    const queue = new DeadlineQueue();
    const [late, early] = makeEntries(log, ['late', 'early']);
    queue.add(late!, performance.now() + 3_600_000);
    queue.remove(late!);
    queue.add(early!, performance.now() + 5);
    await until(() => log.length === 1);
    expect(log).toEqual(['early']);
  });

  it('goes on with what is added while it expires', async () => {
    const log: string[] = [];
    const queue = new DeadlineQueue();
    const [first, second] = makeEntries(log, ['first', 'second']);
    first!.expire = () => {
      log.push('first');
      queue.add(second!, performance.now() + 5);
    };
    queue.add(first!, performance.now() + 5);
    await until(() => log.length === 2);
    expect(log).toEqual(['first', 'second']);
  });
});
