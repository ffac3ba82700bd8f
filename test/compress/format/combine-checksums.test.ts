import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineAdler, combineCrc, crcShift } from '../../../src/compress/format/combine-checksums.ts';
import { adler32 } from '../../../src/compress/format/gzip-member.ts';

const lengths = fc.oneof(fc.nat(20), fc.nat(5000), fc.constantFrom(65_520, 65_521, 65_522, 70_000, 200_000));
const texts = fc.tuple(lengths, fc.nat(255), fc.nat(255)).map(([length, first, step]) => {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = first + at * step + (at >> 8);
  return bytes;
});

// `crc32` of Node 20 may return 0 for an empty array.
const crcOf = (bytes: Buffer): number => (bytes.length > 0 ? crc32(bytes) : 0);

describe('the checksum of two texts', () => {
  it('is that of both in one, for CRC-32', () => {
    fc.assert(
      fc.property(texts, texts, (first, second) => {
        const combined = combineCrc(crcOf(first), crcOf(second), crcShift(second.length));
        expect(combined).toBe(crcOf(Buffer.concat([first, second])));
      }),
    );
  });

  it('is that of both in one, for Adler-32', () => {
    fc.assert(
      fc.property(texts, texts, (first, second) => {
        const combined = combineAdler(adler32(first, 1), adler32(second, 1), second.length);
        expect(combined).toBe(adler32(Buffer.concat([first, second]), 1));
      }),
    );
  });

  it('is right for Adler-32 at the ends of its range', () => {
    const full = Buffer.alloc(257, 0xff);
    for (const first of [Buffer.alloc(0), full, Buffer.alloc(70_000, 0xff), Buffer.of(0), Buffer.alloc(65_520, 1)])
      for (const second of [Buffer.alloc(0), full, Buffer.alloc(65_521, 0xff), Buffer.alloc(131_042), Buffer.of(1)])
        expect(combineAdler(adler32(first, 1), adler32(second, 1), second.length)).toBe(
          adler32(Buffer.concat([first, second]), 1),
        );
  });

  it('is right for CRC-32 of texts that fit in no memory', () => {
    // Shifts add up, whatever the lengths: by 3 × 2³⁰ and by 2³² + 5 bytes.
    const lengths = [2 ** 30, 2 ** 30, 2 ** 30, 2 ** 32 + 5];
    const byParts = lengths.reduce((crc, length) => combineCrc(crc, 0, crcShift(length)), 0x12345678);
    const total = lengths.reduce((sum, length) => sum + length);
    expect(combineCrc(0x12345678, 0, crcShift(total))).toBe(byParts);
  });
});
