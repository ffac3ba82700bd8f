import { describe, expect, it } from 'vitest';
import { EncoderBudget } from '../../../src/compress/policy/budget.ts';

describe('EncoderBudget', () => {
  it('starts empty', () => {
    const budget = new EncoderBudget({ encoders: 2, bytes: 100 });
    expect([budget.activeEncoders, budget.encoderBytes, budget.hasRoom()]).toEqual([0, 0, true]);
  });

  it('counts what is taken, until it is released', () => {
    const budget = new EncoderBudget({ encoders: 9, bytes: 1000 });
    const releases = [budget.take(10), budget.take(300)];
    expect([budget.activeEncoders, budget.encoderBytes]).toEqual([2, 310]);
    releases[0]!();
    expect([budget.activeEncoders, budget.encoderBytes]).toEqual([1, 300]);
    releases[1]!();
    expect([budget.activeEncoders, budget.encoderBytes]).toEqual([0, 0]);
  });

  it('releases once, however often it is told', () => {
    const budget = new EncoderBudget({ encoders: 9, bytes: 1000 });
    const release = budget.take(10);
    budget.take(10);
    release();
    release();
    expect([budget.activeEncoders, budget.encoderBytes]).toEqual([1, 10]);
  });

  it('has no room past the number of encoders', () => {
    const budget = new EncoderBudget({ encoders: 2, bytes: Infinity });
    const release = budget.take(0);
    expect(budget.hasRoom(1e9)).toBe(true);
    budget.take(0);
    expect(budget.hasRoom()).toBe(false);
    release();
    expect(budget.hasRoom()).toBe(true);
  });

  it.each([
    [40, true],
    [60, true],
    [61, false],
    [Infinity, false],
  ])('with 40 bytes of 100 taken, room for %d is %s', (bytes, room) => {
    const budget = new EncoderBudget({ encoders: Infinity, bytes: 100 });
    budget.take(40);
    expect(budget.hasRoom(bytes)).toBe(room);
  });

  it('never has room when it may hold nothing', () => {
    expect(new EncoderBudget({ encoders: 0, bytes: Infinity }).hasRoom()).toBe(false);
    expect(new EncoderBudget({ encoders: Infinity, bytes: 0 }).hasRoom(1)).toBe(false);
  });

  it('counts past its bounds, for who did not ask', () => {
    const budget = new EncoderBudget({ encoders: 1, bytes: 10 });
    const releases = [budget.take(20), budget.take(20)];
    expect([budget.activeEncoders, budget.encoderBytes, budget.hasRoom()]).toEqual([2, 40, false]);
    for (const release of releases) release();
    expect(budget.hasRoom(10)).toBe(true);
  });

  it('ends empty after ten thousand in any order', () => {
    const budget = new EncoderBudget({ encoders: Infinity, bytes: Infinity });
    const releases = Array.from({ length: 10_000 }, (_each, index) => budget.take(index));
    expect(budget.activeEncoders).toBe(10_000);
    // 7919 has no factor in common with their number: each of them, once.
    for (let index = 0; index < releases.length; index++) releases[(index * 7919) % releases.length]!();
    expect([budget.activeEncoders, budget.encoderBytes]).toEqual([0, 0]);
  });
});
