import { crc32 } from 'node:zlib';
import { isThenable } from '../../internal/deferred.ts';
import { allocateFramed } from '../../internal/seam/framed-bytes.ts';
import type { Segment } from '../../internal/seam/segment.ts';
import { combineAdler, combineCrc, crcShift } from '../format/combine-checksums.ts';
import { adler32, type DeflateFrame, storedBlocks } from '../format/gzip-member.ts';

type Block = Uint8Array | Promise<Uint8Array>;

const noHistory = Buffer.alloc(0);

/**
 * The blocks of deflate that one segment of a shared text becomes, each made once for all streams that send it. Blocks
 * are alike in gzip and zlib.
 *
 * | block | for streams |
 * |---|---|
 * | in step | whose last text is that before the segment, as far back as they remember |
 * | fresh | whose last text is another: it refers to nothing before it |
 * | stored | whose compression is switched off |
 *
 * The level is that of the stream that comes first. At any level a block is right for all.
 */
export class SharedBlocks {
  readonly #segment: Segment;
  /** By what they were made with: only streams of different codecs differ. */
  #inStep = new Map<number, Block>();
  #fresh = new Map<number, Block>();
  #stored: Uint8Array | undefined;
  #crc: number | undefined;
  #crcShift = 0;
  #adler: number | undefined;

  constructor(segment: Segment) {
    this.#segment = segment;
  }

  /** The checksum of a stream that sends the segment. */
  checksumAfter(frame: DeflateFrame, before: number): number {
    const { text } = this.#segment;
    if (frame === 'zlib') return combineAdler(before, (this.#adler ??= adler32(text, 1)), text.length);
    if (this.#crc === undefined) {
      this.#crc = crc32(text);
      this.#crcShift = crcShift(text.length);
    }
    return combineCrc(before, this.#crc, this.#crcShift);
  }

  /**
   * The block that was made, if it was.
   * @param key - stands for what it is made with
   * @param reach - how far back it refers; 0 for a fresh one
   */
  find(key: number, reach: number): Block | undefined {
    return this.#blocksFor(reach).get(key);
  }

  /**
   * Makes the block for all.
   * @param deflate - compresses the text, which may refer to the history
   */
  make(key: number, reach: number, deflate: (text: Uint8Array, history: Uint8Array) => Block): Block {
    const { source, text, tail } = this.#segment;
    source.compressions += 1;
    const blocks = this.#blocksFor(reach);
    const made = deflate(text, reach > 0 ? tail.subarray(-reach) : noHistory);
    const block = isThenable(made) ? made.then(framed) : framed(made);
    blocks.set(key, block);
    // Made in another thread, it is a promise for those alone that come until then.
    if (isThenable(block)) block.then((bytes) => blocks.set(key, bytes)).catch(() => blocks.delete(key));
    return block;
  }

  get stored(): Uint8Array {
    return (this.#stored ??= framed(storedBlocks(this.#segment.text)));
  }

  #blocksFor(reach: number): Map<number, Block> {
    return reach > 0 ? this.#inStep : this.#fresh;
  }
}

/** The blocks of a segment, for all streams. */
export function sharedBlocksOf(segment: Segment): SharedBlocks {
  return segment.once(SharedBlocks, makeSharedBlocks);
}

function makeSharedBlocks(segment: Segment): SharedBlocks {
  return new SharedBlocks(segment);
}

function framed(bytes: Uint8Array): Uint8Array {
  const copy = allocateFramed(bytes.length);
  copy.set(bytes);
  return copy;
}
