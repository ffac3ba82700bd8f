import { describe, expect, it } from 'vitest';
import { WarningLimit } from '../../src/internal/unheard.ts';

function makeLimit(): { limit: WarningLimit; advance: (ms: number) => void } {
  let now = 5;
  return { limit: new WarningLimit(() => now), advance: (ms) => void (now += ms) };
}

const here = (message: string): Error => new Error(message);
const there = (message: string): Error => new Error(message);

/** An error as if it came from a place of its own. */
function errorAt(place: number): Error {
  return Object.assign(new Error('x'), {
    stack: `Error: x\n    at place${place} (file.js:${place}:1)\n    at other (other.js:1:1)`,
  });
}

describe('a warning', () => {
  it('is due once for each place and minute, whatever the message', () => {
    const { limit, advance } = makeLimit();
    expect([limit.isDue(here('one')), limit.isDue(here('two')), limit.isDue(there('three'))]).toEqual([
      true,
      false,
      true,
    ]);
    advance(59_999);
    expect([limit.isDue(here('one')), limit.isDue(there('two'))]).toEqual([false, false]);
    advance(1);
    expect([limit.isDue(here('one')), limit.isDue(there('two')), limit.isDue(here('three'))]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('is due for each place of the application, whatever failed in Node or in a package below it', () => {
    const { limit } = makeLimit();
    const failedAt = (line: number): Error =>
      Object.assign(new SyntaxError('x'), {
        stack:
          'SyntaxError: x\n    at JSON.parse (<anonymous>)\n    at parse (/srv/node_modules/p/index.js:1:1)\n' +
          `    at node:internal/x:1:1\n    at handler (/srv/app.js:${line}:1)`,
      });
    expect([limit.isDue(failedAt(1)), limit.isDue(failedAt(2)), limit.isDue(failedAt(1))]).toEqual([true, true, false]);
  });

  it('counts its minute from the last one that was given', () => {
    const { limit, advance } = makeLimit();
    const given: boolean[] = [];
    for (let seconds = 0; seconds <= 120; seconds += 20) {
      given.push(limit.isDue(here('again')));
      advance(20_000);
    }
    expect(given).toEqual([true, false, false, true, false, false, true]);
  });

  it('tells errors of one place apart by their names', () => {
    const { limit } = makeLimit();
    const named = (name: string): Error => Object.assign(errorAt(1), { name });
    expect([limit.isDue(named('A')), limit.isDue(named('B')), limit.isDue(named('A'))]).toEqual([true, true, false]);
  });

  it('is due once a minute for all that is thrown and is no error, by its type', () => {
    const { limit } = makeLimit();
    const thrown: unknown[] = ['a', 'b', undefined, undefined, null, {}, [], 5, 5n, Symbol('s'), Object.create(null)];
    expect(thrown.map((each) => limit.isDue(each))).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it.each([
    ['without a stack', { stack: undefined }],
    ['whose stack is no string', { stack: [1, 2] }],
    ['whose stack is empty', { stack: '' }],
    ['whose stack has no frame', { stack: 'Error: x' }],
    ['whose stack is nothing but spaces', { stack: ' \n'.repeat(100_000) }],
  ])('is due for an error %s', (_name, fields) => {
    const { limit } = makeLimit();
    const make = (): Error => Object.assign(new Error('x'), fields);
    expect([limit.isDue(make()), limit.isDue(make())]).toEqual([true, false]);
  });

  it('is due for no more than a hundred places in a minute, and again for others in the next', () => {
    const { limit, advance } = makeLimit();
    const due = (from: number): number =>
      Array.from({ length: 1000 }, (_, index) => limit.isDue(errorAt(from + index))).filter(Boolean).length;
    expect(due(0)).toBe(100);
    advance(30_000);
    expect(due(5000)).toBe(0);
    advance(30_000);
    expect(due(5000)).toBe(100);
  });
});
