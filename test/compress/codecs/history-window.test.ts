import { spawnSync } from 'node:child_process';
import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tickFor } from '../../../bench/support/tick.js';
import { type BlockEncoder, type Codec, deflate, gzip } from '../../../src/compress/index.ts';
import { IncrementalDecoder } from '../../support/decoders.ts';
import { until } from '../../support/until.ts';

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
const mark = Buffer.from([0x00, 0x00, 0xff, 0xff]);

function openBlocks(codec: Codec, history = 1000): BlockEncoder {
  return codec.createBlocks!({ tier: 0, size: undefined, padding: 0, history });
}

/** Small ones, large ones, and one that nothing makes shorter. */
const mixed = Array.from({ length: 40 }, (_, number) =>
  number === 20
    ? Buffer.from(Array.from({ length: 300 }, (_each, at) => (at * at * 2654435761) >>> 24))
    : Buffer.from(`data: ${JSON.stringify(tickFor(number % 3, number))}\n\n`.repeat(number % 7 === 6 ? 12 : 1)),
);

async function encodeAll(encoder: BlockEncoder, texts: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const blocks: Uint8Array[] = [];
  for (const text of texts) blocks.push(await encoder.encode(text, false));
  return blocks;
}

/** Says after each piece how many bytes came out so far, as other decoders than zlib's in Node do. */
const decodeInPython = `
import sys, zlib
decoder = zlib.decompressobj(47)
sum = 0
for line in sys.stdin:
    sum += len(decoder.decompress(bytes.fromhex(line)))
    print(sum)
print(decoder.eof)
`;

const has = (command: string): boolean => {
  if (spawnSync(command, ['--version']).status === 0) return true;
  if (process.env['SLUICE_REQUIRE_ALL'] === '1')
    throw new Error(`${command} is required (SLUICE_REQUIRE_ALL=1) and is not here`);
  console.warn(`Skipped: blocks read by ${command}, since there is none here.`);
  return false;
};
const [hasPython, hasGzip] = [has('python3'), has('gzip')];

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

  it.each(sizes)('of small events refers no further back than a window of %d bits', async (windowBits) => {
    const words = fc.sample(fc.string({ minLength: 9, maxLength: 9, unit: 'binary-ascii' }), { numRuns: 150, seed: 2 });
    const events = Array.from({ length: 200 }, (_, number) =>
      Array.from({ length: 30 }, (_each, at) => words[(number * 31 + at * 7) % words.length]!).join(''),
    );
    const encoder = openBlocks(make(windowBits), 32_000);
    const blocks = await encodeAll(
      encoder,
      events.map((event) => Buffer.from(event)),
    );
    blocks.push(await encoder.encode(new Uint8Array(), true));
    expect(decode(coding, windowBits, blocks)).toBe(events.join(''));
  });

  // Go's decoder delivers at nothing else.
  it('ends each block in the mark of a flush: small, large, in the pool, not compressible, stored', async () => {
    const inPool = coding === 'gzip' ? gzip({ syncThreshold: 1000 }) : deflate({ syncThreshold: 1000 });
    const stored = openBlocks(make(15));
    stored.retune!('stored');
    for (const encoder of [openBlocks(make(15)), openBlocks(inPool), stored])
      for (const block of await encodeAll(encoder, mixed)) expect(Buffer.from(block).subarray(-4)).toEqual(mark);
  });

  it('is decoded as each block comes', async () => {
    const encoder = openBlocks(make(15));
    const decoder = new IncrementalDecoder(coding);
    let text = '';
    for (const [number, event] of mixed.entries()) {
      if (number === 10) encoder.retune!('stored');
      if (number === 14) encoder.retune!({ codec: make(15), tier: 2 });
      decoder.push(Buffer.from(await encoder.encode(event, false)));
      text += event.toString();
      await until(() => decoder.text === text);
    }
    decoder.destroy();
  });

  it.runIf(hasPython)('is decoded by Python as each block comes', async () => {
    const encoder = openBlocks(make(15));
    const blocks = await encodeAll(encoder, mixed);
    blocks.push(await encoder.encode(Buffer.from('data: last\n\n'), true));
    const { stdout } = spawnSync('python3', ['-c', decodeInPython], {
      input: blocks.map((block) => `${Buffer.from(block).toString('hex')}\n`).join(''),
      encoding: 'utf8',
    });
    let sum = 0;
    const sums = [...mixed, { length: 12 }].map((event) => (sum += event.length));
    expect(stdout.trim().split('\n')).toEqual([...sums.map(String), 'True']);
  });

  it('takes no more than zlib for events of 230 bytes at each level', async () => {
    const texts = Array.from({ length: 60 }, (_, number) =>
      Buffer.from(`id: ${number}\ndata: ${JSON.stringify(tickFor(1, number))}\n\n`),
    );
    const bytes = async (level: number, strategy: number): Promise<number> => {
      const codec = coding === 'gzip' ? gzip({ level, strategy }) : deflate({ level, strategy });
      return Buffer.concat(await encodeAll(openBlocks(codec), texts)).length;
    };
    // Z_FILTERED is zlib's.
    for (const level of [1, 4, 6, 9]) expect(await bytes(level, 0)).toBeLessThanOrEqual(await bytes(level, 1));
    expect(await bytes(0, 0)).toBeGreaterThan(Buffer.concat(texts).length);
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

it.runIf(hasGzip)('an event stream in gzip is read by gzip', async () => {
  const encoder = openBlocks(gzip());
  const blocks = await encodeAll(encoder, mixed);
  blocks.push(await encoder.encode(new Uint8Array(), true));
  const { stdout, status } = spawnSync('gzip', ['-dc'], { input: Buffer.concat(blocks) });
  expect(status).toBe(0);
  expect(stdout.equals(Buffer.concat(mixed))).toBe(true);
});
