// The frames around raw deflate data: gzip (RFC 1952) and zlib (RFC 1950), and the two blocks of RFC 1951 that need no
// compressor.

/** Which frame is around the deflate data. The content-coding `deflate` is the zlib format (RFC 9110 8.4.1.2). */
export type DeflateFrame = 'gzip' | 'zlib';

// RFC 1952 2.3.1: FLG.FCOMMENT.
const hasComment = 0x10;
const gzipFixedHeader = 10;

/** The last block of a coding: final, fixed codes, empty (RFC 1951 3.2.6). */
export const finalBlock: Uint8Array = Uint8Array.of(0x03, 0x00);

// RFC 1951 3.2.4: final bit 0, type 00, then LEN and its complement. At a byte boundary, where every flush ends.
const emptyStoredBlock = [0x00, 0x00, 0x00, 0xff, 0xff];
const longestStoredBlock = 0xffff;

/** The bytes before the first block. */
export function frameHeader(frame: DeflateFrame, padding: number): Uint8Array {
  // gzip: no time, no system (RFC 1952 2.3). zlib: a window of 32 kB, which is the most that may follow, and the
  // default level.
  const plain = frame === 'gzip' ? Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff) : Uint8Array.of(0x78, 0x9c);
  return padHeader(frame, plain, padding);
}

/**
 * Puts padding into a coding that starts with its header: a comment (gzip), or empty blocks of 5 bytes each (zlib).
 * @param coded - the header and whatever follows it
 */
export function padHeader(frame: DeflateFrame, coded: Uint8Array, padding: number): Uint8Array {
  if (padding === 0) return coded;
  const length = frame === 'gzip' ? gzipFixedHeader : 2;
  const filler = frame === 'gzip' ? commentOf(padding) : emptyBlocks(padding);
  const padded = new Uint8Array(coded.length + filler.length);
  padded.set(coded.subarray(0, length));
  padded.set(filler, length);
  padded.set(coded.subarray(length), length + filler.length);
  if (frame === 'gzip') padded[3] = (padded[3] ?? 0) | hasComment;
  return padded;
}

function commentOf(length: number): Uint8Array {
  const comment = new Uint8Array(length).fill(0x20);
  comment[length - 1] = 0;
  return comment;
}

function emptyBlocks(length: number): Uint8Array {
  const blocks = Math.ceil(length / emptyStoredBlock.length);
  return Uint8Array.from(
    { length: blocks * emptyStoredBlock.length },
    (_, at) => emptyStoredBlock[at % emptyStoredBlock.length] ?? 0,
  );
}

/**
 * The bytes after the last block.
 * @param checksum - CRC-32 (gzip) or Adler-32 (zlib) of the text
 * @param length - bytes of text, modulo 2³²
 */
export function frameTrailer(frame: DeflateFrame, checksum: number, length: number): Uint8Array {
  const trailer = new DataView(new ArrayBuffer(frame === 'gzip' ? 8 : 4));
  if (frame === 'gzip') {
    trailer.setUint32(0, checksum, true);
    trailer.setUint32(4, length, true);
  } else {
    trailer.setUint32(0, checksum, false);
  }
  return new Uint8Array(trailer.buffer);
}

/**
 * Text as it is, in the blocks of a coding: what a stream sends while its compression is switched off. An empty block
 * follows, as at a flush: the decoder of Go delivers what came before at no other.
 */
export function storedBlocks(text: Uint8Array): Uint8Array {
  const count = Math.ceil(text.length / longestStoredBlock);
  const blocks = new Uint8Array(text.length + (count + 1) * emptyStoredBlock.length);
  let at = 0;
  for (let from = 0; from < text.length; from += longestStoredBlock) {
    const piece = text.subarray(from, from + longestStoredBlock);
    blocks.set([0, piece.length & 0xff, piece.length >> 8, ~piece.length & 0xff, (~piece.length >> 8) & 0xff], at);
    blocks.set(piece, at + emptyStoredBlock.length);
    at += emptyStoredBlock.length + piece.length;
  }
  blocks.set(emptyStoredBlock, at);
  return blocks;
}

// RFC 1950 9. The largest count of bytes for which the sums stay below 2³² without a reduction.
const adlerBase = 65521;
const adlerRun = 5552;

/** Adler-32 of a text that goes on. @param before - the checksum so far, 1 at the start */
export function adler32(text: Uint8Array, before: number): number {
  let low = before & 0xffff;
  let high = before >>> 16;
  for (let from = 0; from < text.length; from += adlerRun) {
    const to = Math.min(from + adlerRun, text.length);
    for (let at = from; at < to; at++) {
      low += text[at] ?? 0;
      high += low;
    }
    low %= adlerBase;
    high %= adlerBase;
  }
  return ((high << 16) | low) >>> 0;
}
