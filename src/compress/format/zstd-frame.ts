// Frames of zstd that are put together from blocks (RFC 8878 3.1.1).

const magic = [0x28, 0xb5, 0x2f, 0xfd] as const;

/** Bytes before each block. */
export const blockHeaderLength = 3;

/** Types of blocks (RFC 8878 3.1.1.2.2). */
export const blockKind = { raw: 0, run: 1, compressed: 2 } as const;

/** The last block of a frame: raw, and empty. */
export const lastZstdBlock: Uint8Array = Uint8Array.of(1, 0, 0);

/**
 * The bytes before the first block of a frame of unknown length, without a checksum.
 * @param windowBits - log₂ of its window; no block may be longer
 */
export function zstdHeader(windowBits: number, padding: number): Uint8Array {
  // Descriptor 0: a window descriptor follows, and neither a size of the content nor a checksum.
  return padFrame(Uint8Array.of(...magic, 0, (windowBits - 10) << 3), padding);
}

/**
 * A frame that goes on: the one given, without its end. What follows has to be raw blocks, which refer to nothing
 * before them: an encoder that started anew took its offsets and tables to be those of the start of a frame.
 * @param frame - with a window of at most `windowBits`, and no dictionary
 * @param windowBits - log₂ of the window of the open frame; no block of it may be longer than the window
 */
export function leaveOpen(frame: Uint8Array, windowBits: number): Uint8Array {
  const start = headerLength(frame);
  const last = lastBlock(frame, start);
  const blocks = frame.subarray(start, blockEnd(frame, last));
  const header = zstdHeader(windowBits, 0);
  const open = new Uint8Array(header.length + blocks.length);
  open.set(header);
  open.set(blocks, header.length);
  const at = header.length + last - start;
  open[at] = byteOf(open, at) & ~1;
  return open;
}

/** Text as it is, as a block of an open frame: at most 128 kB, and no more than the frame's window. */
export function rawBlock(text: Uint8Array, last: boolean): Uint8Array {
  const block = new Uint8Array(blockHeaderLength + text.length);
  const header = (text.length << 3) | Number(last);
  block.set([header & 0xff, (header >> 8) & 0xff, header >> 16]);
  block.set(text, blockHeaderLength);
  return block;
}

/** Text as it is, in blocks of an open frame. @param longest - bytes of text of each */
export function rawBlocks(text: Uint8Array, longest: number): Uint8Array {
  const blocks = new Uint8Array(text.length + blockHeaderLength * Math.ceil(text.length / longest));
  let at = 0;
  for (let from = 0; from < text.length; from += longest) {
    const block = rawBlock(text.subarray(from, from + longest), false);
    blocks.set(block, at);
    at += block.length;
  }
  return blocks;
}

/**
 * Puts padding into a frame: empty raw blocks of 3 bytes each, after its header. Not a skippable frame before it: Node
 * 22 and 24 then take the body for empty (nodejs/node#64741).
 * @param coded - the header and whatever follows it
 */
export function padFrame(coded: Uint8Array, padding: number): Uint8Array {
  if (padding === 0) return coded;
  const length = headerLength(coded);
  const filler = Math.ceil(padding / blockHeaderLength) * blockHeaderLength;
  const padded = new Uint8Array(coded.length + filler);
  padded.set(coded.subarray(0, length));
  padded.set(coded.subarray(length), length + filler);
  return padded;
}

/** Bytes of a frame before its first block. */
function headerLength(frame: Uint8Array): number {
  const descriptor = byteOf(frame, magic.length);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  return magic.length + 1 + Number(!isSingleSegment) + (sizeFlag === 0 ? Number(isSingleSegment) : 1 << sizeFlag);
}

function lastBlock(frame: Uint8Array, first: number): number {
  let at = first;
  while ((byteOf(frame, at) & 1) === 0) at = blockEnd(frame, at);
  return at;
}

function blockEnd(frame: Uint8Array, at: number): number {
  const header = byteOf(frame, at) | (byteOf(frame, at + 1) << 8) | (byteOf(frame, at + 2) << 16);
  const isRun = ((header >> 1) & 3) === blockKind.run;
  return at + blockHeaderLength + (isRun ? 1 : header >> 3);
}

function byteOf(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError('A zstd frame ends before its last block');
  return byte;
}
