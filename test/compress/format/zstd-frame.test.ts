import fc from 'fast-check';
import { decompress } from 'fzstd';
import { describe, expect, it } from 'vitest';
import { leaveOpen, rawBlock } from '../../../src/compress/format/zstd-frame.ts';
import { parseZstdFrames } from '../../support/zstd-addon.ts';

const magic = Buffer.from('28b52ffd', 'hex');
const checksum = Buffer.alloc(4, 7);

/**
 * The headers that a frame of 300 bytes of text can have: what says its size, in how many bytes, and whether a checksum
 * follows.
 */
const headers: [string, Buffer, Buffer?][] = [
  ['a window and no size', Buffer.from([0x00, 0x38])],
  ['a window and a size of 2 bytes', Buffer.from([0x40, 0x38, 44, 0])],
  ['a window and a size of 4 bytes', Buffer.from([0x80, 0x38, 44, 1, 0, 0])],
  ['a window and a size of 8 bytes', Buffer.from([0xc0, 0x38, 44, 1, 0, 0, 0, 0, 0, 0])],
  ['a size of 2 bytes', Buffer.from([0x60, 44, 0])],
  ['a size of 8 bytes', Buffer.from([0xe0, 44, 1, 0, 0, 0, 0, 0, 0])],
  ['a checksum', Buffer.from([0x64, 44, 0]), checksum],
];

/** A block of one byte, many times. */
function runBlock(byte: number, length: number, last: boolean): Buffer {
  const block = Buffer.alloc(4, byte);
  block.writeUIntLE((length << 3) | (1 << 1) | Number(last), 0, 3);
  return block;
}

function textOf(...coded: Uint8Array[]): string {
  return Buffer.from(decompress(Buffer.concat(coded))).toString();
}

describe('leaveOpen', () => {
  it.each(headers)('takes the end off a frame with %s', (_with, header, trailer = Buffer.alloc(0)) => {
    const frame = Buffer.concat([
      magic,
      header,
      rawBlock(Buffer.alloc(100, 'a'), false),
      runBlock(98, 199, false),
      rawBlock(Buffer.from('c'), true),
      trailer,
    ]);
    const text = `${'a'.repeat(100)}${'b'.repeat(199)}c`;
    expect(textOf(frame)).toBe(text);
    const open = leaveOpen(frame, 17);
    expect(() => parseZstdFrames(open)).toThrow(RangeError);
    const whole = Buffer.concat([open, rawBlock(Buffer.from('de'), false), rawBlock(Buffer.from('f'), true)]);
    expect(parseZstdFrames(whole)).toEqual([
      { kind: 'zstd', length: whole.length, windowSize: 2 ** 17, contentSize: undefined },
    ]);
    expect(textOf(whole)).toBe(`${text}def`);
  });

  it('takes the end off a frame whose last block is a run, and off an empty one', () => {
    const run = Buffer.concat([magic, Buffer.from([0x20, 50]), runBlock(97, 50, true)]);
    expect(textOf(leaveOpen(run, 17), rawBlock(Buffer.from('b'), true))).toBe(`${'a'.repeat(50)}b`);
    const empty = Buffer.concat([magic, Buffer.from([0x20, 0]), rawBlock(Buffer.alloc(0), true)]);
    expect(textOf(leaveOpen(empty, 17), rawBlock(Buffer.from('b'), true))).toBe('b');
  });

  it.each([10, 17, 20, 23])('says a window of %i bits', (bits) => {
    const frame = Buffer.concat([magic, Buffer.from([0x20, 1]), rawBlock(Buffer.from('a'), true)]);
    const whole = Buffer.concat([leaveOpen(frame, bits), rawBlock(Buffer.alloc(0), true)]);
    expect(parseZstdFrames(whole)).toMatchObject([{ windowSize: 2 ** bits }]);
  });

  it('leaves the frame that it was given as it was', () => {
    const frame = Buffer.concat([magic, Buffer.from([0x20, 1]), rawBlock(Buffer.from('a'), true)]);
    const before = Buffer.from(frame);
    leaveOpen(frame, 17);
    expect(frame).toEqual(before);
  });

  it('throws for what has no last block', () => {
    const frame = Buffer.concat([magic, Buffer.from([0x20, 1]), rawBlock(Buffer.from('a'), false)]);
    expect(() => leaveOpen(frame, 17)).toThrow(RangeError);
    expect(() => leaveOpen(Buffer.alloc(0), 17)).toThrow(RangeError);
  });
});

describe('rawBlock', () => {
  it('is any text of up to 128 kB as it is', () => {
    const head = Buffer.concat([magic, Buffer.from([0x00, 0x38])]);
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 1, 31, 32, 255, 8191, 8192, 65_536, 131_072), { maxLength: 4 }),
        (lengths) => {
          const texts = lengths.map((length, i) => Buffer.alloc(length, 65 + i));
          const blocks = texts.map((text) => rawBlock(text, false));
          expect(textOf(head, ...blocks, rawBlock(Buffer.alloc(0), true))).toBe(Buffer.concat(texts).toString());
        },
      ),
    );
  });
});
