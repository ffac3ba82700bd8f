import { describe, expect, it } from 'vitest';
import { jittered, varied } from '../../../src/internal/time/clock.ts';

describe('jittered', () => {
  it('spreads from half to one and a half times', () => {
    expect([0, 0.5, 1].map((value) => jittered(2000, () => value))).toEqual([1000, 2000, 3000]);
  });
});

describe('varied', () => {
  it('spreads by a share up and down', () => {
    expect([0, 0.5, 1].map((value) => varied(1000, 0.1, () => value))).toEqual([900, 1000, 1100]);
  });

  it('leaves a span without an end as it is', () => {
    expect(varied(Infinity, 0.1, () => 0)).toBe(Infinity);
  });
});
