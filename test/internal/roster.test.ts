import { describe, expect, it } from 'vitest';
import { Roster } from '../../src/internal/roster.ts';

describe('a roster', () => {
  it('has what was added and not removed', () => {
    const roster = new Roster<string>();
    const [a, b, c] = ['a', 'b', 'c'].map((value) => roster.add(value));
    expect([...roster]).toEqual(['c', 'b', 'a']);
    for (const [entry, left] of [
      [b, ['c', 'a']],
      [c, ['a']],
      [a, []],
    ] as const) {
      expect(entry && roster.remove(entry)).toBe(true);
      expect([...roster]).toEqual(left);
      expect(roster.size).toBe(left.length);
    }
  });

  it('removes an entry once', () => {
    const roster = new Roster<string>();
    const first = roster.add('first');
    roster.add('second');
    expect(roster.remove(first)).toBe(true);
    expect(roster.remove(first)).toBe(false);
    expect(roster.size).toBe(1);
  });

  it('is walked as it was, while entries come and go', () => {
    const roster = new Roster<number>();
    const entries = [1, 2, 3].map((value) => roster.add(value));
    const seen: number[] = [];
    for (const value of roster) {
      seen.push(value);
      for (const entry of entries) roster.remove(entry);
      roster.add(4);
    }
    expect(seen).toEqual([3, 2, 1]);
    expect([...roster]).toEqual([4, 4, 4]);
  });

  it('leaves an entry that was removed with a way to no other', () => {
    const roster = new Roster<string>();
    const [, middle] = ['a', 'b', 'c'].map((value) => roster.add(value));
    if (middle) roster.remove(middle);
    expect(middle).toMatchObject({ previous: undefined, next: undefined });
  });
});
