import { setImmediate as nextTurn } from 'node:timers/promises';
import { copyBlock } from '../format/block-output.ts';
import { type Effort, efforts, longestText } from '../format/match-finder.ts';
import { makeZstdBlock } from '../format/zstd-block.ts';
import { lastZstdBlock, rawBlocks, zstdHeader } from '../format/zstd-frame.ts';
import type { BlockFormat } from './block-format.ts';

/** log₂ of the largest window that is of use: half of it for the text of a block, half for the text before. */
export const largestZstdWindow: number = Math.log2(longestText) + 1;

const noTrailer = new Uint8Array();

/**
 * zstd, in one frame: a decoder of Node 22 loses the frame that comes in one piece with the end of another
 * (nodejs/node#64741). Its blocks are made by this library, since those of an encoder refer to what it made before.
 *
 *     header │ block block … │ final block
 */
export class ZstdFormat implements BlockFormat {
  readonly key: number;
  readonly reach: number;
  readonly finalBlock: Uint8Array = lastZstdBlock;
  readonly firstChecksum = 0;
  readonly #windowBits: number;

  /** @param windowBits - log₂ of the window of a decoder, 10 to `largestZstdWindow` */
  constructor(windowBits: number) {
    this.#windowBits = windowBits;
    // Above those of deflate.
    this.key = 128 + windowBits;
    this.reach = 2 ** (windowBits - 1);
  }

  header(padding: number): Uint8Array {
    return zstdHeader(this.#windowBits, padding);
  }

  trailer(): Uint8Array {
    return noTrailer;
  }

  checksum(): number {
    return 0;
  }

  sharedChecksum(): number {
    return 0;
  }

  stored(text: Uint8Array): Uint8Array {
    return rawBlocks(text, this.reach);
  }

  block(text: Uint8Array, history: Uint8Array, level: number): Uint8Array | Promise<Uint8Array> {
    const effort = effortAt(level);
    return text.length <= longestText
      ? this.#makeBlocks(text, history, effort)
      : this.#makeInTurns(text, history, effort);
  }

  #makeBlocks(text: Uint8Array, history: Uint8Array, effort: Effort): Uint8Array {
    const { reach } = this;
    if (text.length <= reach) return makeBlock(text, history, effort);
    const blocks: Uint8Array[] = [];
    for (let from = 0; from < text.length; from += reach) {
      const before = from === 0 ? history : text.subarray(from - reach, from);
      blocks.push(makeBlock(text.subarray(from, from + reach), before, effort));
    }
    return Buffer.concat(blocks);
  }

  /** A long text would hold the event loop up: 1 MB takes some 30 ms. */
  async #makeInTurns(text: Uint8Array, history: Uint8Array, effort: Effort): Promise<Uint8Array> {
    const blocks: Uint8Array[] = [];
    for (let from = 0; from < text.length; from += longestText) {
      if (from > 0) await nextTurn();
      const before = from === 0 ? history : text.subarray(from - this.reach, from);
      blocks.push(this.#makeBlocks(text.subarray(from, from + longestText), before, effort));
    }
    return Buffer.concat(blocks);
  }
}

function makeBlock(text: Uint8Array, history: Uint8Array, effort: Effort): Uint8Array {
  const block = Buffer.allocUnsafe(makeZstdBlock(text, history, effort));
  copyBlock(block, 0);
  return block;
}

function effortAt(level: number): Effort {
  if (level < 2) return efforts.least;
  if (level < 3) return efforts.less;
  return level < 9 ? efforts.usual : efforts.most;
}
