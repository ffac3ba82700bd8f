import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Codec, deflate, gzip } from '../../../src/compress/index.ts';

/** Bytes of the frame before the first block and after the last. */
const frames = { gzip: [10, 8], deflate: [2, 4] } as const;

/** Decodes with a window of that size, and throws where a block reaches further back. */
function decode(coding: keyof typeof frames, windowBits: number, blocks: readonly Uint8Array[]): string {
  const [before, after] = frames[coding];
  const coded = Buffer.concat(blocks);
  // Within one piece of output zlib finds what is further back, too.
  return inflateRawSync(coded.subarray(before, coded.length - after), { windowBits, chunkSize: 64 }).toString();
}

const sizes = [9, 10, 12];

describe.each<[keyof typeof frames, (windowBits: number) => Codec]>([
  ['gzip', (windowBits) => gzip({ windowBits })],
  ['deflate', (windowBits) => deflate({ windowBits })],
])('an event stream in %s', (coding, make) => {
  it.each(sizes)('refers no further back than a window of %d bits', async (windowBits) => {
    // What repeats is further back than the window, and within the history.
    const words = fc.sample(fc.string({ minLength: 40, maxLength: 40, unit: 'binary-ascii' }), {
      numRuns: 120,
      seed: 1,
    });
    const events = [words.join(''), words.join(''), words.slice(0, 60).join(''), words.slice(60).join('')];
    const encoder = make(windowBits).createBlocks!({ tier: 0, size: undefined, padding: 0, history: 32_000 });
    const blocks: Uint8Array[] = [];
    for (const event of events) blocks.push(await encoder.encode(Buffer.from(event), false));
    blocks.push(await encoder.encode(new Uint8Array(), true));
    expect(decode(coding, windowBits, blocks)).toBe(events.join(''));
  });

  it('holds no more history than its window', () => {
    const memoryAt = (windowBits: number): number => make(windowBits).blockMemory!(32_000);
    expect(memoryAt(9)).toBeLessThan(memoryAt(12));
    expect(memoryAt(12)).toBeLessThan(memoryAt(15));
  });

  it('has the right checksum where the end comes as an empty array without memory', async () => {
    const nothing = new Uint8Array();
    // Asked for its buffer, the array has no memory of its own from here on.
    expect(nothing.buffer.byteLength).toBe(0);
    const encoder = make(15).createBlocks!({ tier: 0, size: undefined, padding: 0, history: 1000 });
    const blocks = [await encoder.encode(Buffer.from('data: hello\n\n'), false), await encoder.encode(nothing, true)];
    const decodeAll = coding === 'gzip' ? gunzipSync : inflateSync;
    expect(String(decodeAll(Buffer.concat(blocks)))).toBe('data: hello\n\n');
  });
});
