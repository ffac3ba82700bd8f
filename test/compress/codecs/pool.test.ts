import { describe, expect, it } from 'vitest';
import { usableCores } from '../../../src/compress/codecs/cores.ts';
import { type Codec, deflate, gzip, type GzipOptions } from '../../../src/compress/index.ts';

const codings: readonly [string, (options?: GzipOptions) => Codec][] = [
  ['gzip', gzip],
  ['deflate', deflate],
];

function isInPool(codec: Codec, size: number): boolean {
  return codec.encode!(Buffer.alloc(size, 'x'), { tier: 0, size, padding: 0 }) instanceof Promise;
}

function isBlockInPool(codec: Codec, size: number): boolean {
  const blocks = codec.createBlocks!({ tier: 0, size: undefined, padding: 0, history: 1024 });
  return blocks.encode(Buffer.alloc(size, 'x'), false) instanceof Promise;
}

describe.each(codings)('%s encodes in the thread pool', (_coding, make) => {
  it('a complete body from 64 kB on: up to there the detour takes more than it spares', () => {
    expect([1000, 50_000, 65_535, 65_536].map((size) => isInPool(make(), size))).toEqual([false, false, false, true]);
  });

  it('a block of an event stream from 16 kB on, unless the process has one core: many streams may have one at once', () => {
    const threshold = usableCores() > 1 ? 16_384 : 65_536;
    expect([threshold - 1, threshold].map((size) => isBlockInPool(make(), size))).toEqual([false, true]);
  });

  it('both from the same size on, where it is given', () => {
    const codec = make({ syncThreshold: '2kb' });
    expect([2047, 2048].map((size) => isInPool(codec, size))).toEqual([false, true]);
    expect([2047, 2048].map((size) => isBlockInPool(codec, size))).toEqual([false, true]);
  });
});
