import { describe, expect, it } from 'vitest';
import type { BodyKind, Tier } from '../../../src/compress/codec.ts';
import {
  addonWeight,
  builtInWeight,
  smallBody,
  smallZstdLevels,
  zstdLevels,
  zstdPoolThreshold,
} from '../../../src/compress/policy/coding-costs.ts';

const codings = ['zstd', 'br', 'gzip', 'deflate'];
const kinds: readonly BodyKind[] = ['complete', 'long', 'event-stream'];
const sizes = [undefined, 0, 1, 2_000, 32 * 1024 - 1, 32 * 1024, 10_000_000, Infinity];

function inOrder(kind: BodyKind, tier: Tier, size: number | undefined): string {
  const weight = (coding: string): number => builtInWeight(coding, { kind, tier, size });
  return codings.toSorted((a, b) => weight(b) - weight(a)).join(' ');
}

describe('the built-in weights', () => {
  it.each<[kind: BodyKind, tier: Tier, size: number | undefined, order: string]>([
    ['complete', 0, 1, 'zstd gzip br deflate'],
    ['complete', 0, 32 * 1024 - 1, 'zstd gzip br deflate'],
    ['complete', 0, 32 * 1024, 'zstd br gzip deflate'],
    ['complete', 0, undefined, 'zstd br gzip deflate'],
    ['complete', 1, 1, 'zstd gzip br deflate'],
    ['complete', 1, undefined, 'zstd gzip br deflate'],
    ['complete', 2, 1, 'zstd gzip deflate br'],
    ['long', 0, 1, 'br zstd gzip deflate'],
    ['long', 0, undefined, 'br zstd gzip deflate'],
    ['event-stream', 0, undefined, 'gzip zstd deflate br'],
    ['event-stream', 2, undefined, 'gzip zstd deflate br'],
  ])('of a body that is %s at tier %i, with %s bytes: %s', (kind, tier, size, order) => {
    expect(inOrder(kind, tier, size)).toBe(order);
  });

  it('lie within 0.7 to 1, and differ: half the weight of the client beats each', () => {
    for (const kind of kinds)
      for (const tier of [0, 1, 2, 3] as const)
        for (const size of sizes) {
          const weights = codings.map((coding) => builtInWeight(coding, { kind, tier, size }));
          expect(new Set(weights).size).toBe(codings.length);
          expect(weights.every((weight) => weight >= 0.7 && weight <= 1)).toBe(true);
        }
    expect(builtInWeight('acme-1', {})).toBe(0.7);
    expect(builtInWeight('GZIP', { size: 1 })).toBe(builtInWeight('gzip', { size: 1 }));
  });
});

describe('the weight of the addon of zstd', () => {
  const under = 16 * 1024 - 1;
  it.each<[kind: BodyKind, tier: Tier, size: number | undefined, isChosen: boolean, weight: number | undefined]>([
    ['complete', 0, under, false, 0.87],
    ['complete', 1, under, false, 0.93],
    ['complete', 2, under, false, 0.93],
    ['complete', 0, under + 1, false, undefined],
    ['complete', 0, undefined, false, undefined],
    ['complete', 0, under, true, undefined],
    ['long', 0, under, false, 0.8],
    ['long', 0, undefined, true, 0.8],
  ])(
    'of a body that is %s at tier %i, with %s bytes, its level chosen %s: %s',
    (kind, tier, size, isChosen, weight) => {
      expect(addonWeight({ kind, tier, size }, isChosen)).toBe(weight);
    },
  );

  it('is between gzip and brotli for short complete bodies, at each tier', () => {
    for (const tier of [0, 1, 2] as const) {
      const weight = addonWeight({ tier, size: under }, false);
      expect(weight).toBeGreaterThan(builtInWeight('br', { tier, size: under }));
      expect(weight).toBeLessThan(builtInWeight('gzip', { tier, size: under }));
    }
  });
});

describe('the levels of zstd', () => {
  it('are higher for small bodies while there is CPU to spend, and never rise with the load', () => {
    expect(smallZstdLevels[0]).toBeGreaterThan(zstdLevels[0]);
    expect(smallZstdLevels.slice(1)).toEqual(zstdLevels.slice(1));
    for (const levels of [zstdLevels, smallZstdLevels]) expect(levels).toEqual(levels.toSorted((a, b) => b - a));
  });

  it('go to the thread pool where they keep the event loop for long', () => {
    expect(zstdPoolThreshold(zstdLevels, false)).toBe(128 * 1024);
    expect(zstdPoolThreshold([2, 2, 1], false)).toBe(128 * 1024);
    expect(zstdPoolThreshold([4, 3, 1], false)).toBe(32 * 1024);
    expect(zstdPoolThreshold(zstdLevels, true)).toBe(512 * 1024);
    // Small bodies are always encoded at once.
    expect(smallBody).toBeLessThan(zstdPoolThreshold([19, 19, 19], false));
  });
});
