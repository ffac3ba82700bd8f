import zlib from 'node:zlib';
import fc from 'fast-check';
import { decompress as fzstd } from 'fzstd';
import { afterEach, describe, expect, it } from 'vitest';
import { tickFor, tokenFor } from '../../../bench/support/tick.js';
import { copyBlock } from '../../../src/compress/format/block-output.ts';
import {
  countPlacesFrom,
  type Effort,
  efforts,
  longestHistory,
  longestText,
} from '../../../src/compress/format/match-finder.ts';
import { makeZstdBlock } from '../../../src/compress/format/zstd-block.ts';
import { lastZstdBlock, leaveOpen, rawBlocks, zstdHeader } from '../../../src/compress/format/zstd-frame.ts';
import { noise, prose } from '../../support/texts.ts';
import { runs } from '../../support/runs.ts';

const { zstdDecompressSync, zstdCompressSync } = zlib as {
  zstdDecompressSync?: (bytes: Uint8Array) => Buffer;
  zstdCompressSync?: (text: Uint8Array) => Buffer;
};
const { usual } = efforts;
const nothing = Buffer.alloc(0);

function block(text: Uint8Array, history: Uint8Array = nothing, effort: Effort = usual): Buffer {
  const made = Buffer.alloc(makeZstdBlock(text, history, effort));
  copyBlock(made, 0);
  return made;
}

/** The text of blocks behind a header, by each decoder that is here. */
function decode(...blocks: Uint8Array[]): Buffer {
  const frame = Buffer.concat([zstdHeader(16, 0), ...blocks, lastZstdBlock]);
  const text = Buffer.from(fzstd(frame));
  if (zstdDecompressSync) expect(zstdDecompressSync(frame).equals(text)).toBe(true);
  return text;
}

/** Whether a block behind a history decodes to the text. */
function isRight(made: Uint8Array, text: Uint8Array, history: Uint8Array = nothing): boolean {
  return decode(rawBlocks(history, 32_768), made).equals(Buffer.concat([history, text]));
}

/** Of few different bytes there are many matches, of many none. */
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .constantFrom(1, 2, 4, 30, 255)
    .chain((max) => fc.uint8Array({ max, maxLength, size: 'max' }))
    .map((drawn) => drawn.map((byte) => byte * 37));

const anyEffort = fc.record<Effort>({
  depth: fc.integer({ min: 1, max: 300 }),
  lazy: fc.integer({ min: 0, max: 258 }),
  enough: fc.integer({ min: 3, max: 258 }),
});

afterEach(() => countPlacesFrom(0));

describe('a block', () => {
  it('decodes to the text and is no longer than a raw one, whatever the history', () => {
    fc.assert(
      fc.property(bytes(1500), bytes(2500), anyEffort, fc.boolean(), (text, before, effort, overlaps) => {
        const history = overlaps ? Buffer.concat([before, text.subarray(text.length >> 2)]) : before;
        const made = block(text, history, effort);
        expect(isRight(made, text, history)).toBe(true);
        expect(made.length).toBeLessThanOrEqual(text.length + 3);
      }),
      { numRuns: runs(400) },
    );
  });

  it('follows others in one frame', () => {
    fc.assert(
      fc.property(
        fc.array(bytes(300), { maxLength: 30 }),
        anyEffort,
        fc.integer({ max: 900 }),
        (texts, effort, keep) => {
          const blocks = texts.map((text, index) => {
            const before = Buffer.concat(texts.slice(0, index));
            return block(text, before.subarray(Math.max(0, before.length - Math.abs(keep))), effort);
          });
          expect(decode(...blocks).equals(Buffer.concat(texts))).toBe(true);
        },
      ),
      { numRuns: runs(150) },
    );
  });

  // What is shared stands behind blocks of all kinds, each of which leaves other distances and tables behind.
  it('stands behind any block of the same text', () => {
    const words = Array.from({ length: 40 }, (_, seed) => `"${seed}":${noise(8, seed)},`);
    const texts = fc.array(fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 200 }), {
      minLength: 2,
      maxLength: 6,
    });
    const ways = fc.infiniteStream(fc.nat(4));
    fc.assert(
      fc.property(texts, ways, (parts, way) => {
        const all = parts.map((each) => Buffer.from(each.join('')));
        const blocks = all.map((text, index) => {
          const before = Buffer.concat(all.slice(0, index)).subarray(-longestHistory);
          switch (way.next().value) {
            case 0:
              return rawBlocks(text, 32_768);
            case 1:
              return block(text, nothing, efforts.least);
            case 2:
              return block(text, before.subarray(-100), efforts.most);
            default:
              return block(text, before);
          }
        });
        expect(decode(...blocks).equals(Buffer.concat(all))).toBe(true);
        if (!zstdCompressSync) return;
        // Node's own encoder, with its last distances and its tables.
        const [first = nothing, second = nothing] = all;
        const open = leaveOpen(zstdCompressSync(first), 17);
        const frame = Buffer.concat([open, block(second, first.subarray(-longestHistory)), lastZstdBlock]);
        expect(Buffer.from(fzstd(frame)).equals(Buffer.concat([first, second]))).toBe(true);
        expect(zstdDecompressSync!(frame).equals(Buffer.concat([first, second]))).toBe(true);
      }),
      { numRuns: runs(100) },
    );
  });

  it.each([0, 1, 2, 3, 4, 257, 258, 259, 260, 516, 517, 70, 1000, longestText])(
    'of %d equal bytes, with and without history',
    (length) => {
      const text = Buffer.alloc(length, 'a');
      for (const history of [nothing, Buffer.from('a'), Buffer.from('aa'), Buffer.alloc(300, 'a'), Buffer.from('ba')])
        expect(isRight(block(text, history), text, history)).toBe(true);
    },
  );

  it('has every length, every kind of distance and every count of literals', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const history = Buffer.concat([all, Buffer.from(all).reverse(), all]);
    for (let length = 3; length <= 258; length++) {
      const text = Buffer.concat([history.subarray(100, 100 + length), Buffer.from([7, 7])]);
      const made = block(text, history);
      expect(isRight(made, text, history)).toBe(true);
      // As a match, or raw where that is shorter.
      expect(made.length).toBeLessThanOrEqual(Math.min(length + 5, 17));
    }
    const key = Buffer.from('find this text!!');
    for (const distance of [16, 17, 255, 256, 257, 258, 511, 512, 513, 1025, 4097, 16_385, 24_577, longestHistory]) {
      const before = Buffer.concat([key, Buffer.alloc(distance - key.length)]);
      const made = block(key, before);
      expect(isRight(made, key, before)).toBe(true);
      expect(made.length).toBeLessThan(18);
    }
    for (const count of [0, 1, 15, 16, 17, 31, 32, 47, 63, 64, 65, 127, 128, 255, 256, 1023, 4096, 20_000]) {
      const text = Buffer.concat([Buffer.from(noise(count, count)), Buffer.alloc(300, 'find this ')]);
      expect(isRight(block(text), text)).toBe(true);
    }
  });

  it('with many matches has tables of its own, which pay', () => {
    for (const length of [400, 2000, 10_000, longestText]) {
      const text = Buffer.from(prose(length)).subarray(0, length);
      const made = block(text);
      expect(isRight(made, text)).toBe(true);
      expect(made.length / text.length).toBeLessThan(length < 1000 ? 0.8 : 0.55);
    }
  });

  it('refers no further back than a decoder can see', () => {
    const key = Buffer.from('find this text!!');
    const history = Buffer.concat([key, Buffer.alloc(longestHistory - key.length)]);
    // At its last place the text is one too far.
    const text = Buffer.concat([Buffer.from('-'), key]);
    expect(isRight(block(text, history), text, history)).toBe(true);
  });

  it('is raw where nothing is shorter', () => {
    const text = Buffer.from(noise(5000, 1));
    const made = block(text);
    expect(made.length).toBe(text.length + 3);
    expect(isRight(made, text)).toBe(true);
  });
});

describe.each([
  ['ticks', tickFor, 50.5],
  ['words of a model', tokenFor, 21.5],
])('a stream of %s', (_name, dataFor, most) => {
  it(`takes at most ${most} bytes for each`, () => {
    const events = Array.from({ length: 200 }, (_, number) =>
      Buffer.from(`event: tick\nid: ${number}\ndata: ${JSON.stringify(dataFor(7, number))}\n\n`),
    );
    const sent = Buffer.concat(events);
    const blocks = events.map((event, number) => {
      const start = Buffer.concat(events.slice(0, number)).length;
      return block(event, sent.subarray(Math.max(0, start - 1024), start));
    });
    expect(decode(...blocks).equals(sent)).toBe(true);
    const sum = blocks.slice(10).reduce((total, { length }) => total + length, 0);
    expect(sum / 190).toBeLessThanOrEqual(most);
  });
});
