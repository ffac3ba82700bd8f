import { describe, expect, it } from 'vitest';
import { allocateFramed, chunkOf, copyAsChunk } from '../../../src/internal/seam/framed-bytes.ts';

/** Around the sizes that take one more digit. */
const lengths = [1, 9, 15, 16, 17, 255, 256, 4095, 4096, 65_535, 65_536, 1_048_575, 1_048_576];

describe('bytes with room for the frame of a chunk', () => {
  it.each(lengths)('become the chunk of %d bytes without a copy', (length) => {
    const bytes = allocateFramed(length).fill(0x61);
    const chunk = chunkOf(bytes)!;
    expect(chunk.toString('latin1')).toBe(`${length.toString(16)}\r\n${'a'.repeat(length)}\r\n`);
    expect(chunk.buffer).toBe(bytes.buffer);
    expect(chunkOf(bytes)).toBe(chunk);
    expect(bytes.toString('latin1')).toBe('a'.repeat(length));
  });

  it.each(lengths)('are copied into a chunk of %d bytes where there is no room', (length) => {
    const bytes = Buffer.alloc(length, 'a');
    expect(chunkOf(bytes)).toBeUndefined();
    expect(copyAsChunk(bytes).toString('latin1')).toBe(`${length.toString(16)}\r\n${'a'.repeat(length)}\r\n`);
  });

  it('share no memory with each other', () => {
    const all = lengths.map((length) => allocateFramed(length).fill(length));
    const chunks = all.map((bytes) => chunkOf(bytes)!);
    for (const [index, length] of lengths.entries()) {
      const size = `${length.toString(16)}\r\n`;
      expect(
        chunks[index]!.equals(Buffer.concat([Buffer.from(size), Buffer.alloc(length, length), Buffer.from('\r\n')])),
      ).toBe(true);
    }
  });

  it('are those of the allocation alone: a part of them has no chunk', () => {
    expect(chunkOf(allocateFramed(10).subarray(1))).toBeUndefined();
  });
});
