import { constants, deflateRaw, deflateRawSync, type ZlibOptions } from 'node:zlib';
import { makeBlock } from '../format/block-deflate.ts';
import { copyBlock } from '../format/block-output.ts';
import { type Effort, efforts } from '../format/match-finder.ts';

/** What all blocks of a stream have in common. */
export interface DeflateBlockSettings {
  /** log₂ of the largest window that a decoder needs, 9 to 15. */
  readonly windowBits: number;
  /** `Z_DEFAULT_STRATEGY` (0) to `Z_FIXED` (4) of `zlib.constants`. */
  readonly strategy: number;
}

const plain: DeflateBlockSettings = { windowBits: 15, strategy: constants.Z_DEFAULT_STRATEGY };

/** zlib keeps this much of its window free for looking ahead (MIN_LOOKAHEAD in its deflate.h). */
export const lookAhead = 262;

// Up to here our own deflate takes half the time of zlib, which sets up a stream for each block. Beyond, the codes that
// zlib makes for a text pay: its blocks are 7 % shorter at 400 bytes of prose, and 13 % at 1,000.
const longestOwn = 400;
// Text and history together: beyond it, zlib is as fast and 1 % shorter.
const ownWindowBits = 14;

/**
 * One block of raw deflate, made at once. It ends in the mark of a flush, 00 00 ff ff: it can be decoded when it
 * arrives.
 * @param history - what the decoder has in its window: its last 32,768 bytes at most
 * @param level - 0 (stored) to 9 (smallest)
 */
export function deflateBlock(
  text: Uint8Array,
  history: Uint8Array,
  level: number,
  settings: DeflateBlockSettings = plain,
): Uint8Array {
  if (!isForOwn(text, history, level, settings))
    return deflateRawSync(text, zlibOptions(text, history, level, settings));
  const block = Buffer.allocUnsafe(makeBlock(text, history, effortAt(level)));
  copyBlock(block, 0);
  return block;
}

/** The same in the thread pool. */
export function deflateBlockInPool(
  text: Uint8Array,
  history: Uint8Array,
  level: number,
  settings: DeflateBlockSettings,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    deflateRaw(text, zlibOptions(text, history, level, settings), (error, block) => {
      if (error) reject(error);
      else resolve(block);
    });
  });
}

/** The smallest power of two, as its exponent, that holds `size` values. */
export function bitsFor(size: number): number {
  if (size > 2 ** 31) return 32;
  return size <= 1 ? 0 : 32 - Math.clz32(size - 1);
}

function isForOwn(
  text: Uint8Array,
  history: Uint8Array,
  level: number,
  { windowBits, strategy }: DeflateBlockSettings,
): boolean {
  return (
    text.length <= longestOwn &&
    level > 0 &&
    text.length + history.length <= 2 ** Math.min(windowBits, ownWindowBits) &&
    (strategy === constants.Z_DEFAULT_STRATEGY || strategy === constants.Z_FIXED)
  );
}

function effortAt(level: number): Effort {
  if (level < 4) return efforts.least;
  if (level < 6) return efforts.less;
  return level < 8 ? efforts.usual : efforts.most;
}

function zlibOptions(
  text: Uint8Array,
  history: Uint8Array,
  level: number,
  { windowBits, strategy }: DeflateBlockSettings,
): ZlibOptions {
  const bits = bitsFor(history.length + text.length + lookAhead);
  return {
    level,
    // No larger than what there is: a compressor is made and cleared for each block.
    windowBits: Math.min(Math.max(bits, 9), windowBits),
    memLevel: Math.min(Math.max(bits - 7, 1), 8),
    chunkSize: Math.min(text.length + 64, 65_536),
    strategy,
    finishFlush: constants.Z_SYNC_FLUSH,
    ...(history.length > 0 && { dictionary: history }),
  };
}
