import { constants, crc32, deflateRaw, deflateRawSync, type ZlibOptions } from 'node:zlib';
import { isThenable } from '../../internal/deferred.ts';
import type { BlockEncoder, Tier, Tuning } from '../codec.ts';
import {
  adler32,
  type DeflateFrame,
  finalBlock,
  frameHeader,
  frameTrailer,
  storedBlocks,
} from '../format/gzip-member.ts';
import { levelAt, type TierLevels } from '../policy/tier.ts';

/** How a history window encodes. */
export interface HistoryWindowSettings {
  /** Level for each of the tiers 0 to 2. */
  readonly levels: TierLevels;
  readonly tier: Tier;
  /** Bytes of text that later text can refer to, at most 32,000. */
  readonly history: number;
  /** Bytes of text from which a block is made in the thread pool. */
  readonly syncThreshold: number;
  readonly padding: number;
  readonly strategy: number;
  /** log₂ of the largest window that a decoder needs, 9 to 15. */
  readonly windowBits: number;
}

// What one costs while it waits, beside its history: the object, its buffer and the view on it.
const overhead = 400;

// One for all: a stream that has said nothing has no buffer of its own.
const noHistory = Buffer.alloc(0);

// As much text as two matches of a useful length need.
const leastHistory = 16;

// zlib keeps this much of its window free for looking ahead (MIN_LOOKAHEAD in its deflate.h).
const lookAhead = 262;

/**
 * gzip or zlib without a compressor that lives between blocks: a connection keeps the end of what it sent, a checksum
 * and a length. Each block is raw deflate made in one go, with that history as the dictionary, up to a byte boundary; a
 * decoder has the same text in its window, so that all blocks together are one valid member.
 *
 *     header │ block block … │ final block │ trailer
 *
 * A zlib stream that lives takes some 256 kB per connection for 10 % fewer bytes.
 */
export class HistoryWindow implements BlockEncoder {
  #frame: DeflateFrame;
  #settings: HistoryWindowSettings;
  /** `undefined`: stored. */
  #level: number | undefined;
  #history: Buffer = noHistory;
  #used = 0;
  #started = false;
  #checksum: number;
  #length = 0;

  constructor(frame: DeflateFrame, settings: HistoryWindowSettings) {
    this.#frame = frame;
    const history = reachable(settings);
    this.#settings = settings.history === history ? settings : { ...settings, history };
    this.#level = levelAt(settings.levels, settings.tier);
    this.#checksum = frame === 'gzip' ? 0 : 1;
  }

  get memory(): number {
    return historyMemory(this.#settings);
  }

  encode(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array> {
    // Of nothing, `crc32` of Node 20 may return 0: where the empty array has no memory behind it.
    if (text.length > 0)
      this.#checksum = this.#frame === 'gzip' ? crc32(text, this.#checksum) : adler32(text, this.#checksum);
    this.#length = (this.#length + text.length) >>> 0;
    const block = this.#block(text, last);
    if (!isThenable(block)) return this.#finish(text, block, last);
    return block.then((bytes) => this.#finish(text, bytes, last));
  }

  /** What was sent stays what later text refers to, compressed or not. */
  retune(tuning: Tuning): void {
    this.#level = tuning === 'stored' ? undefined : levelAt(tuning.codec.levels ?? this.#settings.levels, tuning.tier);
  }

  close(): void {
    this.#history = noHistory;
    this.#used = 0;
  }

  #block(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array> {
    if (text.length === 0) return finalBlock;
    if (this.#level === undefined) return last ? Buffer.concat([storedBlocks(text), finalBlock]) : storedBlocks(text);
    const options = this.#options(text.length, this.#level, last);
    return text.length < this.#settings.syncThreshold ? deflateRawSync(text, options) : deflateInPool(text, options);
  }

  #options(length: number, level: number, last: boolean): ZlibOptions {
    const bits = bitsFor(this.#used + length + lookAhead);
    const options: ZlibOptions = {
      level,
      // No larger than what there is: a compressor is made and cleared for each block.
      windowBits: Math.min(Math.max(bits, 9), this.#settings.windowBits),
      memLevel: Math.min(Math.max(bits - 7, 1), 8),
      chunkSize: Math.min(length + 64, 65_536),
      strategy: this.#settings.strategy,
      finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
    };
    if (this.#used > 0) options.dictionary = this.#history.subarray(0, this.#used);
    return options;
  }

  #finish(text: Uint8Array, block: Uint8Array, last: boolean): Uint8Array {
    if (last) this.close();
    else this.#remember(text);
    if (this.#started && !last) return block;
    const parts = [block];
    if (!this.#started) parts.unshift(frameHeader(this.#frame, this.#settings.padding));
    if (last) parts.push(frameTrailer(this.#frame, this.#checksum, this.#length));
    this.#started = true;
    return Buffer.concat(parts);
  }

  #remember(text: Uint8Array): void {
    // The `:ok` with which a stream begins, and may then say nothing, is not worth a buffer.
    if (!this.#started && text.length < leastHistory) return;
    const limit = this.#settings.history;
    const kept = Math.min(this.#used, Math.max(0, limit - text.length));
    const added = Math.min(text.length, limit);
    this.#reserve(kept + added);
    this.#history.copyWithin(0, this.#used - kept, this.#used);
    this.#history.set(text.subarray(text.length - added), kept);
    this.#used = kept + added;
  }

  /** Grows with what is remembered: a stream that says nothing remembers nothing. */
  #reserve(size: number): void {
    if (size <= this.#history.length) return;
    // Not from the pool, where it would keep other slices alive for as long as the connection is open.
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#settings.history, Math.max(64, 2 ** bitsFor(size))));
    larger.set(this.#history.subarray(0, this.#used));
    this.#history = larger;
  }
}

/** Bytes of text that a history window keeps: no more than a decoder's window does. */
function reachable({ history, windowBits }: Pick<HistoryWindowSettings, 'history' | 'windowBits'>): number {
  return Math.min(history, 2 ** windowBits - lookAhead);
}

/** Estimate of what a history window holds, in bytes. */
export function historyMemory(settings: Pick<HistoryWindowSettings, 'history' | 'windowBits'>): number {
  return reachable(settings) + overhead;
}

/** The smallest power of two, as its exponent, that holds `size` values. */
export function bitsFor(size: number): number {
  if (size > 2 ** 31) return 32;
  return size <= 1 ? 0 : 32 - Math.clz32(size - 1);
}

function deflateInPool(text: Uint8Array, options: ZlibOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    deflateRaw(text, options, (error, block) => {
      if (error) reject(error);
      else resolve(block);
    });
  });
}
