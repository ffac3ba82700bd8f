import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { tickFor, tokenFor } from '../../../bench/support/tick.js';
import { makeBlock } from '../../../src/compress/format/block-deflate.ts';
import { copyBlock } from '../../../src/compress/format/block-output.ts';
import {
  countPlacesFrom,
  type Effort,
  longestHistory,
  longestText,
} from '../../../src/compress/format/match-finder.ts';

const mark = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const usual: Effort = { depth: 16, lazy: 32, enough: 128 };
const nothing = Buffer.alloc(0);

function block(text: Uint8Array, history: Uint8Array = nothing, effort = usual): Buffer {
  const made = Buffer.alloc(makeBlock(text, history, effort));
  copyBlock(made, 0);
  return made;
}

/** Decodes with a window of that size, and throws where a block reaches further back. */
function inflate(coded: Uint8Array, history: Uint8Array = nothing, windowBits = 15): Buffer {
  return inflateRawSync(coded, {
    finishFlush: constants.Z_SYNC_FLUSH,
    windowBits,
    // Within one piece of output zlib finds what is further back, too.
    chunkSize: 64,
    ...(history.length > 0 && { dictionary: history }),
  });
}

/** Of few different bytes there are many matches, of many none. */
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc
    .constantFrom(1, 2, 4, 30, 255)
    .chain((max) => fc.uint8Array({ max, maxLength, size: 'max' }))
    .map((drawn) => drawn.map((byte) => byte * 37));

const efforts = fc.record<Effort>({
  depth: fc.integer({ min: 1, max: 300 }),
  lazy: fc.integer({ min: 0, max: 258 }),
  enough: fc.integer({ min: 3, max: 258 }),
});

afterEach(() => countPlacesFrom(0));

describe('a block', () => {
  it('inflates to the text, ends in the mark and is no longer than stored, whatever the history', () => {
    fc.assert(
      fc.property(bytes(1500), bytes(2500), efforts, fc.boolean(), (text, before, effort, overlaps) => {
        const history = overlaps ? Buffer.concat([before, text.subarray(text.length >> 2)]) : before;
        const made = block(text, history, effort);
        expect(inflate(made, history).equals(text)).toBe(true);
        expect(made.subarray(-4)).toEqual(mark);
        expect(made.length).toBeLessThanOrEqual(text.length + 10);
      }),
      { numRuns: 600 },
    );
  });

  it('follows others in one stream', () => {
    fc.assert(
      fc.property(fc.array(bytes(300), { maxLength: 30 }), efforts, fc.integer({ max: 900 }), (texts, effort, keep) => {
        const blocks = texts.map((text, index) => {
          const before = Buffer.concat(texts.slice(0, index));
          return block(text, before.subarray(Math.max(0, before.length - Math.abs(keep))), effort);
        });
        expect(inflate(Buffer.concat(blocks)).equals(Buffer.concat(texts))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it.each([0, 1, 2, 3, 4, 257, 258, 259, 260, 516, 517, 70, 1000, longestText])(
    'of %d equal bytes, with and without history',
    (length) => {
      const text = Buffer.alloc(length, 'a');
      for (const history of [nothing, Buffer.from('a'), Buffer.from('aa'), Buffer.alloc(300, 'a'), Buffer.from('ba')])
        expect(inflate(block(text, history), history).equals(text)).toBe(true);
    },
  );

  it('has every literal, length and distance', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    expect(inflate(block(all)).equals(all)).toBe(true);
    for (let length = 3; length <= 258; length++) {
      const history = Buffer.concat([all, Buffer.from(all).reverse(), all]);
      const text = Buffer.concat([history.subarray(100, 100 + length), Buffer.from([7, 7])]);
      const made = block(text, history);
      expect(inflate(made, history).equals(text)).toBe(true);
      expect(made.length).toBeLessThan(15);
    }
    // In front of a run of zeros, from the start of the run back.
    for (const distance of [16, 17, 255, 256, 257, 258, 511, 512, 513, 1025, 4097, 16_385, 24_577, longestHistory]) {
      const key = Buffer.from('find this text!!');
      const history = Buffer.concat([key, Buffer.alloc(distance - key.length)]);
      const made = block(key, history);
      expect(inflate(made, history).equals(key)).toBe(true);
      expect(made.length).toBeLessThan(15);
    }
  });

  it('refers no further back than a decoder can see', () => {
    const key = Buffer.from('find this text!!');
    const history = Buffer.concat([key, Buffer.alloc(longestHistory - key.length)]);
    // At its last place the text is one too far.
    const text = Buffer.concat([Buffer.from('-'), key]);
    expect(inflate(block(text, history), history).equals(text)).toBe(true);
  });

  it('is stored where nothing is shorter', () => {
    const noise = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * at * 2654435761) >>> 24));
    const made = block(noise);
    expect(made.length).toBe(noise.length + 10);
    expect(made.includes(noise)).toBe(true);
    expect(inflate(made).equals(noise)).toBe(true);
  });

  it('is right when the count of places starts anew', () => {
    const text = Buffer.from('event: tick\ndata: 12345\n\n');
    for (const place of [2 ** 29, 2 ** 30, 2 ** 31 - 200_000, 2 ** 31 - 140_000, 2 ** 31 - 131_073]) {
      countPlacesFrom(place);
      let history = nothing;
      for (let number = 0; number < 1000; number++) {
        expect(inflate(block(text, history), history).equals(text)).toBe(true);
        history = Buffer.concat([history, text]).subarray(-600);
      }
    }
  });

  it('leaves what it is given as it is, and keeps none of it', () => {
    const [text, history] = [Buffer.from('the text of one'), Buffer.from('the history of one')];
    const first = block(text, history);
    expect([String(text), String(history)]).toEqual(['the text of one', 'the history of one']);
    // What another stream had in the window is not there for this one.
    const other = block(Buffer.from('the history of one'));
    expect(String(inflate(other))).toBe('the history of one');
    expect(block(text, history)).toEqual(first);
  });

  it('refuses what does not fit the window', () => {
    expect(() => block(Buffer.alloc(longestText + 1), Buffer.alloc(longestHistory))).toThrow(RangeError);
  });
});

describe.each([
  ['ticks', tickFor, 49],
  ['words of a model', tokenFor, 20.5],
])('a stream of %s', (_name, dataFor, most) => {
  const events = Array.from({ length: 200 }, (_, number) =>
    Buffer.from(`event: tick\nid: ${number}\ndata: ${JSON.stringify(dataFor(7, number))}\n\n`),
  );
  const sent = Buffer.concat(events);
  const starts = events.map((_, number) => Buffer.concat(events.slice(0, number)).length);
  const historyOf = (number: number): Buffer => sent.subarray(Math.max(0, starts[number]! - 1024), starts[number]);
  const sizes = (encode: (text: Buffer, history: Buffer) => Uint8Array): number =>
    events.reduce((sum, text, number) => sum + (number < 10 ? 0 : encode(text, historyOf(number)).length), 0) / 190;

  it('takes no more bytes than by zlib, and fewer the more time it may take', () => {
    const zlib = sizes((text, dictionary) =>
      deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH, level: 6, dictionary }),
    );
    const own = [4, 8, 16, 64].map((depth) =>
      sizes((text, history) => block(text, history, { depth, lazy: 2 * depth, enough: 258 })),
    );
    expect(own).toEqual(own.toSorted((one, other) => other - one));
    expect(own[2]).toBeLessThanOrEqual(zlib);
    expect(own[2]).toBeLessThanOrEqual(most);
  });
});
