import { spawnSync } from 'node:child_process';
import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BlockEncoder, deflate, gzip, type Tier, zstd } from '../../src/compress/index.ts';
import { segmentOf, SharedText } from '../../src/internal/seam/segment.ts';
import { decodeStrictly } from '../support/decoders.ts';
import { runs } from '../support/runs.ts';

// More cases and longer ones, for a change of the engine: SLUICE_SEGMENT_RUNS=1000.
const cases = Number(process.env['SLUICE_SEGMENT_RUNS'] ?? runs(40));

/** What a channel and its readers do. A reader is a number, modulo how many there are. */
type Step =
  | { readonly do: 'publish'; readonly text: string; readonly source: number; readonly misses: readonly number[] }
  | { readonly do: 'private'; readonly text: string; readonly reader: number }
  | { readonly do: 'join'; readonly kind: number }
  | { readonly do: 'leave'; readonly reader: number }
  | { readonly do: 'tune'; readonly to: Tier | 'stored'; readonly readers: number };

// Much of it repeats what came before, which a block then refers to: a wrong history gives another text.
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('data: ', '{"price":', '"volume":', '}\n\n', 'é', '🌊', 'AAPL') },
  { weight: 3, arbitrary: fc.nat(1e6).map(String) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
);
const short = fc.array(word, { minLength: 1, maxLength: 60 }).map((parts) => `${parts.join('')}\n`);
const long = fc.tuple(fc.constantFrom(1000, 1023, 1024, 1025, 16_400, 70_000), short).map(([length, text]) => {
  const counted = Array.from({ length: Math.ceil(length / text.length) }, (_, at) => `${at}${text}`);
  return counted.join('').slice(0, length);
});
const text = fc.oneof({ weight: 12, arbitrary: short }, { weight: 1, arbitrary: long }, fc.constant('\n'));

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      text,
      source: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constant(1)),
      misses: fc.oneof({ weight: 6, arbitrary: fc.constant([]) }, fc.array(fc.nat(9), { maxLength: 2 })),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('private' as const), text, reader: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('join' as const), kind: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), reader: fc.nat(9) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('tune' as const),
      to: fc.constantFrom<Tier | 'stored'>(0, 1, 2, 'stored'),
      readers: fc.nat(1023),
    }),
  },
);

const codecs = {
  gzip: gzip({ syncThreshold: '16kb' }),
  deflate: deflate({ syncThreshold: '16kb' }),
  narrow: gzip({ windowBits: 10, level: [9, 1, 1] }),
  zstd: zstd(),
  narrowZstd: zstd({ windowBits: 11, level: [9, 2, 1] }),
};

const codings = { gzip: 'gzip', deflate: 'deflate', narrow: 'gzip', zstd: 'zstd', narrowZstd: 'zstd' } as const;

const kinds: readonly { readonly codec: keyof typeof codecs; readonly history: number; readonly padding?: number }[] = [
  { codec: 'gzip', history: 1024 },
  { codec: 'gzip', history: 1024 },
  { codec: 'gzip', history: 1024, padding: 7 },
  { codec: 'deflate', history: 1024 },
  { codec: 'gzip', history: 4000 },
  { codec: 'gzip', history: 32_000 },
  { codec: 'narrow', history: 32_000 },
  { codec: 'gzip', history: 0 },
  { codec: 'zstd', history: 1024 },
  { codec: 'zstd', history: 1024 },
  { codec: 'zstd', history: 32_000, padding: 7 },
  { codec: 'narrowZstd', history: 32_000 },
  { codec: 'zstd', history: 0 },
];

class Reader {
  readonly coding: 'gzip' | 'deflate' | 'zstd';
  readonly codec: keyof typeof codecs;
  readonly encoder: BlockEncoder;
  readonly texts: Uint8Array[] = [];
  readonly padding: number;
  /** All bytes, where `gunzip` reads them. */
  wire: Buffer | undefined;
  #blocks: Uint8Array[] = [];

  constructor(kind: number) {
    const { codec, history, padding = 0 } = kinds[kind % kinds.length]!;
    this.codec = codec;
    this.padding = padding;
    this.coding = codings[codec];
    this.encoder = codecs[codec].createBlocks!({ tier: 0, size: undefined, padding, history });
  }

  async write(bytes: Buffer, last = false): Promise<void> {
    this.texts.push(bytes);
    this.#blocks.push(await this.encoder.encode(bytes, last));
  }

  /** The text that any decoder gets, and then that of one that checks. */
  async check(last: string): Promise<void> {
    await this.write(Buffer.from(last), true);
    const coded = Buffer.concat(this.#blocks);
    const expected = Buffer.concat(this.texts).toString();
    if (this.coding === 'zstd') {
      expect(decodeStrictly('zstd', coded).toString()).toBe(expected);
      return;
    }
    const [before, after] = this.coding === 'gzip' ? [10 + this.padding, 8] : [2, 4];
    // Without the checksum: Chromium does not look at it.
    expect(inflateRawSync(coded.subarray(before, coded.length - after)).toString()).toBe(expected);
    expect((this.coding === 'gzip' ? gunzipSync : inflateSync)(coded).toString()).toBe(expected);
    if (this.coding === 'gzip') this.wire = coded;
  }
}

/** Plays the steps, and returns the readers, which have checked what they got. */
async function play(steps: readonly Step[]): Promise<Reader[]> {
  const sources = [new SharedText(), new SharedText()];
  const readers = [0, 1, 2, 3, 8, 9].map((kind) => new Reader(kind));
  const all = [...readers];
  for (const step of steps) {
    if (step.do === 'publish') {
      const source = sources[step.source]!;
      const bytes = source.append(step.text);
      const before = source.compressions;
      const missing = step.misses.map((each) => readers[each % readers.length]);
      const present = readers.filter((each) => !missing.includes(each));
      for (const reader of present) await reader.write(bytes);
      // Twice for each way to compress, however many there are.
      const ways = new Set(present.map(({ codec, encoder }) => `${codec} ${encoder.memory}`));
      expect(source.compressions - before).toBeLessThanOrEqual(2 * ways.size);
      expect(segmentOf(bytes)).toBeDefined();
    } else if (step.do === 'private') {
      await readers[step.reader % readers.length]!.write(Buffer.from(step.text));
    } else if (step.do === 'join') {
      const reader = new Reader(step.kind);
      all.push(reader);
      readers.push(reader);
      await reader.write(Buffer.from(':ok\n'));
    } else if (step.do === 'leave') {
      if (readers.length > 2) readers.splice(step.reader % readers.length, 1);
    } else {
      for (const [index, reader] of readers.entries())
        if ((step.readers >> index) & 1)
          reader.encoder.retune?.(step.to === 'stored' ? 'stored' : { codec: codecs[reader.codec], tier: step.to });
    }
  }
  for (const [index, reader] of all.entries()) await reader.check(index % 2 === 0 ? '' : 'data: last\n\n');
  return all;
}

describe('segments of a shared text', () => {
  it('reach each reader as one valid member with exactly its text, compressed at most twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async (steps) => {
        await play(steps);
      }),
      { numRuns: cases },
    );
  });

  it('are read by the gunzip of the system', async () => {
    const [steps] = fc.sample(fc.array(step, { minLength: 150, maxLength: 150 }), 1);
    for (const { texts, wire } of await play(steps!)) {
      if (!wire) continue;
      const { stdout, status } = spawnSync('gunzip', { input: wire, maxBuffer: 2 ** 26 });
      expect([status, stdout.equals(Buffer.concat(texts))]).toEqual([0, true]);
    }
  });
});
