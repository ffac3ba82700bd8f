import { crc32 } from 'node:zlib';
import { isThenable } from '../../internal/deferred.ts';
import { allocateFramed } from '../../internal/seam/framed-bytes.ts';
import type { Segment } from '../../internal/seam/segment.ts';
import { combineAdler, combineCrc, crcShift } from '../format/combine-checksums.ts';
import { adler32 } from '../format/gzip-member.ts';
import type { BlockFormat, SharedChecksums } from './block-format.ts';

type Block = Uint8Array | Promise<Uint8Array>;

const noHistory = Buffer.alloc(0);

/**
 * The blocks that one segment of a shared text becomes, each made once for all streams that send it: those of deflate,
 * which are alike in gzip and zlib, and those of zstd.
 *
 * | block | for streams |
 * |---|---|
 * | in step | whose last text is that before the segment, as far back as they remember |
 * | fresh | whose last text is another: it refers to nothing before it |
 * | stored | whose compression is switched off |
 *
 * The level is that of the stream that comes first. At any level a block is right for all.
 */
export class SharedBlocks implements SharedChecksums {
  readonly #segment: Segment;
  /** By what they were made with: only streams of different codecs differ. */
  #inStep = new Map<number, Block>();
  #fresh = new Map<number, Block>();
  #stored = new Map<number, Uint8Array>();
  #crc: number | undefined;
  #crcShift = 0;
  #adler: number | undefined;

  constructor(segment: Segment) {
    this.#segment = segment;
  }

  /** CRC-32 of a stream that sends the segment. */
  crcAfter(before: number): number {
    const { text } = this.#segment;
    if (this.#crc === undefined) {
      this.#crc = crc32(text);
      this.#crcShift = crcShift(text.length);
    }
    return combineCrc(before, this.#crc, this.#crcShift);
  }

  /** Adler-32 of the same. */
  adlerAfter(before: number): number {
    const { text } = this.#segment;
    return combineAdler(before, (this.#adler ??= adler32(text, 1)), text.length);
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
   * @param level - of the stream that needs it first
   */
  make(key: number, reach: number, format: BlockFormat, level: number): Block {
    const { source, text, tail } = this.#segment;
    source.compressions += 1;
    const blocks = this.#blocksFor(reach);
    const made = format.block(text, reach > 0 ? tail.subarray(-reach) : noHistory, level);
    const block = isThenable(made) ? made.then(framed) : framed(made);
    blocks.set(key, block);
    // Made in another thread, it is a promise for those alone that come until then.
    if (isThenable(block)) block.then((bytes) => blocks.set(key, bytes)).catch(() => blocks.delete(key));
    return block;
  }

  stored(format: BlockFormat): Uint8Array {
    let block = this.#stored.get(format.key);
    if (!block) this.#stored.set(format.key, (block = framed(format.stored(this.#segment.text))));
    return block;
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
