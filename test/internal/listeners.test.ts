import { describe, expect, it } from 'vitest';
import { callEach, Listeners } from '../../src/internal/listeners.ts';

interface Step {
  readonly n: number;
}

describe('the listeners of an event', () => {
  it('are called for each event in the order of registration, and in the order of events', () => {
    const seen: string[] = [];
    const listeners = new Listeners<Step>(() => undefined);
    listeners.add(({ n }) => {
      seen.push(`first ${n}`);
      if (n === 1) listeners.emit({ n: 2 });
    });
    listeners.add(({ n }) => seen.push(`second ${n}`));
    listeners.emit({ n: 1 });
    expect(seen).toEqual(['first 1', 'second 1', 'first 2', 'second 2']);
  });

  it('are not called for an event that waited when all were removed', () => {
    const seen: number[] = [];
    const listeners = new Listeners<Step>(() => undefined);
    listeners.add(() => {
      listeners.emit({ n: 2 });
      listeners.clear();
      listeners.add(({ n }) => seen.push(n));
    });
    listeners.emit({ n: 1 });
    listeners.emit({ n: 3 });
    expect(seen).toEqual([3]);
  });

  it('are two where one function is registered twice, each with an undo that may be called again', () => {
    let calls = 0;
    const count = (): void => void (calls += 1);
    const listeners = new Listeners<Step>(() => undefined);
    const undo = listeners.add(count);
    listeners.add(count);
    undo();
    undo();
    listeners.emit({ n: 1 });
    expect(calls).toBe(1);
  });

  it('are called though one throws, and what it throws is told', () => {
    const errors: unknown[] = [];
    const seen: number[] = [];
    const listeners = new Listeners<Step>((error) => errors.push(error));
    listeners.add(() => {
      throw new Error('of the first');
    });
    listeners.add(({ n }) => seen.push(n));
    listeners.emit({ n: 1 });
    listeners.emit({ n: 2 });
    expect([errors.map(String), seen]).toEqual([Array(2).fill('Error: of the first'), [1, 2]]);
  });

  it('that remove one another are not called for the event at hand', () => {
    const seen: string[] = [];
    const listeners = new Listeners<Step>(() => undefined);
    listeners.add(() => undo());
    const undo = listeners.add(() => seen.push('removed'));
    listeners.emit({ n: 1 });
    expect(seen).toEqual([]);
  });
});

it('callEach goes on behind an item that throws, and tells which it was', () => {
  const [seen, errors]: [number[], unknown[]] = [[], []];
  callEach(
    [1, 2, 3],
    (n) => {
      seen.push(n);
      if (n === 2) throw new Error('two');
    },
    (error, n) => errors.push([String(error), n]),
  );
  expect([seen, errors]).toEqual([[1, 2, 3], [['Error: two', 2]]]);
});
