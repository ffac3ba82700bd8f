import { isThenable } from '../../internal/deferred.ts';
import { type Segment, segmentOf, type SharedText } from '../../internal/seam/segment.ts';
import type { BlockEncoder, BlockSettings, Tier, Tuning } from '../codec.ts';
import { levelAt, type TierLevels } from '../policy/tier.ts';
import type { BlockFormat } from './block-format.ts';
import { bitsFor } from './deflate-block.ts';
import { sharedBlocksOf } from './shared-blocks.ts';

/** How a history window encodes. */
export interface HistoryWindowSettings {
  readonly format: BlockFormat;
  /** Level for each of the tiers 0 to 2. */
  readonly levels: TierLevels;
  readonly tier: Tier;
  /** Bytes of text that later text can refer to, at most 32,000. */
  readonly history: number;
  readonly padding: number;
}

// What one costs while it waits, beside its history: the object, its buffer and the view on it.
const overhead = 400;

// One for all: a stream that has said nothing has no buffer of its own.
const noHistory = Buffer.alloc(0);

// As much text as two matches of a useful length need.
const leastHistory = 16;

/**
 * gzip, zlib or zstd without a compressor that lives between blocks: a connection keeps the end of what it sent, a
 * checksum and a length. Each block is made in one go, and refers to that history. A decoder has the same text in its
 * window, so that all blocks together are one valid coding.
 *
 * A zlib stream that lives takes some 256 kB per connection for 10 % fewer bytes.
 *
 * A segment of a shared text is not encoded here: its block is that of all streams that send it. Streams whose last
 * text is the shared one, as far back as they remember, share a block that refers to that text.
 */
export class HistoryWindow implements BlockEncoder {
  #settings: HistoryWindowSettings;
  /** `undefined`: stored. */
  #level: number | undefined;
  #history: Buffer = noHistory;
  #used = 0;
  #started = false;
  // Signed, of 32 bits: V8 keeps a larger number in an object of its own, for each stream.
  #checksum: number;
  #length = 0;
  /** What the last text was a segment of; `undefined` for text of this stream alone. */
  #source: SharedText | undefined;
  /** The index of the segment that follows it. */
  #nextIndex = 0;
  /** Bytes of the last segments that came one behind the other, and nothing else. Not more than what is remembered. */
  #sharedLength = 0;

  constructor(settings: HistoryWindowSettings) {
    const history = Math.min(settings.history, settings.format.reach);
    this.#settings = settings.history === history ? settings : { ...settings, history };
    this.#level = levelAt(settings.levels, settings.tier);
    this.#checksum = settings.format.firstChecksum;
  }

  get memory(): number {
    return historyMemory(this.#settings.history, this.#settings.format);
  }

  encode(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array> {
    const segment = last ? undefined : segmentOf(text);
    if (segment) return this.#encodeSegment(segment);
    this.#leaveSource();
    // Of nothing, `crc32` of Node 20 may return 0: where the empty array has no memory behind it.
    if (text.length > 0) this.#checksum = this.#settings.format.checksum(text, this.#checksum);
    this.#length = (this.#length + text.length) | 0;
    const block = this.#block(text, last);
    return isThenable(block) ? this.#finishLater(text, block, last) : this.#finish(text, block, last);
  }

  /** What was sent stays what later text refers to, compressed or not. */
  retune(tuning: Tuning): void {
    this.#level = tuning === 'stored' ? undefined : levelAt(tuning.codec.levels ?? this.#settings.levels, tuning.tier);
  }

  close(): void {
    this.#forget();
    this.#source = undefined;
  }

  #encodeSegment(segment: Segment): Uint8Array | Promise<Uint8Array> {
    const blocks = sharedBlocksOf(segment);
    const { source, index, text, tail } = segment;
    const { history, format } = this.#settings;
    this.#checksum = format.sharedChecksum(blocks, this.#checksum);
    this.#length = (this.#length + text.length) | 0;
    if (this.#source !== source || this.#nextIndex !== index) {
      this.#leaveSource();
      this.#source = source;
      this.#sharedLength = 0;
      source.remember(history);
    }
    const whole = Math.min(history, tail.length);
    const reach = this.#sharedLength >= whole ? whole : 0;
    this.#nextIndex = index + 1;
    if (this.#sharedLength < history) {
      this.#sharedLength = Math.min(this.#sharedLength + text.length, history);
      if (this.#sharedLength === history) this.#forget();
    }
    const level = this.#level;
    if (level === undefined) return this.#start(blocks.stored(format));
    const key = history * 256 + format.key;
    const block = blocks.find(key, reach) ?? blocks.make(key, reach, format, level);
    return isThenable(block) ? this.#startLater(block) : this.#start(block);
  }

  /** Other text follows the segments: from here on this stream has a history of its own. */
  #leaveSource(): void {
    const source = this.#source;
    if (!source) return;
    this.#source = undefined;
    const { tail } = source;
    // The end of the shared text is that of this stream too, unless it missed a segment since.
    const shared = source.length === this.#nextIndex ? Math.min(this.#sharedLength, tail.length) : 0;
    // What came before the segments ends where they begin.
    if (shared < this.#sharedLength) this.#used = 0;
    this.#remember(tail.subarray(tail.length - shared));
  }

  #forget(): void {
    this.#history = noHistory;
    this.#used = 0;
  }

  // In methods of their own, as all that comes later: a function that is made within one that each event calls takes
  // memory at each call, whether it is made or not.
  #startLater(block: Promise<Uint8Array>): Promise<Uint8Array> {
    return block.then((bytes) => this.#start(bytes));
  }

  #start(block: Uint8Array): Uint8Array {
    if (this.#started) return block;
    this.#started = true;
    return Buffer.concat([this.#header, block]);
  }

  get #header(): Uint8Array {
    const { format, padding } = this.#settings;
    return format.header(padding);
  }

  #block(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array> {
    const { format } = this.#settings;
    const { finalBlock } = format;
    if (text.length === 0) return finalBlock;
    const level = this.#level;
    const block = level === undefined ? format.stored(text) : format.block(text, this.#remembered, level);
    if (!last) return block;
    return isThenable(block) ? endLater(block, finalBlock) : Buffer.concat([block, finalBlock]);
  }

  /** What is made for an event is what an event costs: of a history that is full there is no view. */
  get #remembered(): Uint8Array {
    return this.#used === this.#history.length ? this.#history : this.#history.subarray(0, this.#used);
  }

  #finishLater(text: Uint8Array, block: Promise<Uint8Array>, last: boolean): Promise<Uint8Array> {
    return block.then((bytes) => this.#finish(text, bytes, last));
  }

  #finish(text: Uint8Array, block: Uint8Array, last: boolean): Uint8Array {
    if (last) this.close();
    else this.#remember(text);
    if (this.#started && !last) return block;
    const parts = [block];
    if (!this.#started) parts.unshift(this.#header);
    if (last) parts.push(this.#settings.format.trailer(this.#checksum, this.#length));
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
    this.#history.set(added < text.length ? text.subarray(text.length - added) : text, kept);
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

function endLater(block: Promise<Uint8Array>, end: Uint8Array): Promise<Uint8Array> {
  return block.then((bytes) => Buffer.concat([bytes, end]));
}

/** Estimate of what a history window holds, in bytes. @param history - as it is asked for */
export function historyMemory(history: number, { reach }: BlockFormat): number {
  return Math.min(history, reach) + overhead;
}

/** Makes the `createBlocks` of a codec. */
export function makeHistoryWindows(
  format: BlockFormat,
  levels: TierLevels,
): (settings: BlockSettings) => HistoryWindow {
  // One for all streams that are alike: it would be a tenth of what each takes.
  let shared: HistoryWindowSettings = { format, levels, tier: 0, history: 0, padding: 0 };
  return ({ tier, history: asked, padding }) => {
    const history = Math.min(asked, format.reach);
    if (shared.tier !== tier || shared.history !== history || shared.padding !== padding)
      shared = { format, levels, tier, history, padding };
    return new HistoryWindow(shared);
  };
}
