import { crc32 } from 'node:zlib';
import {
  adler32,
  type DeflateFrame,
  finalBlock,
  frameHeader,
  frameTrailer,
  storedBlocks,
} from '../format/gzip-member.ts';
import type { BlockFormat, SharedChecksums } from './block-format.ts';
import { deflateBlock, deflateBlockInPool, type DeflateBlockSettings, lookAhead } from './deflate-block.ts';

/** How blocks of deflate are made. */
export interface DeflateFormatSettings extends DeflateBlockSettings {
  /** Bytes of text from which a block is made in the thread pool. */
  readonly syncThreshold: number;
}

/**
 * gzip or zlib, in one member. Their blocks are alike. Each ends as a flush does, so that all decoders deliver it.
 *
 *     header │ block block … │ final block │ trailer
 */
export class DeflateFormat implements BlockFormat {
  readonly key: number;
  readonly reach: number;
  readonly finalBlock: Uint8Array = finalBlock;
  readonly firstChecksum: number;
  readonly #frame: DeflateFrame;
  readonly #settings: DeflateFormatSettings;

  constructor(frame: DeflateFrame, settings: DeflateFormatSettings) {
    const { windowBits, strategy } = settings;
    this.#frame = frame;
    this.#settings = settings;
    this.key = strategy * 16 + windowBits;
    // No more than a decoder's window holds.
    this.reach = 2 ** windowBits - lookAhead;
    this.firstChecksum = frame === 'gzip' ? 0 : 1;
  }

  header(padding: number): Uint8Array {
    return frameHeader(this.#frame, padding);
  }

  trailer(checksum: number, length: number): Uint8Array {
    return frameTrailer(this.#frame, checksum, length);
  }

  checksum(text: Uint8Array, before: number): number {
    return (this.#frame === 'gzip' ? crc32(text, before >>> 0) : adler32(text, before)) | 0;
  }

  sharedChecksum(text: SharedChecksums, before: number): number {
    return (this.#frame === 'gzip' ? text.crcAfter(before) : text.adlerAfter(before)) | 0;
  }

  stored(text: Uint8Array): Uint8Array {
    return storedBlocks(text);
  }

  block(text: Uint8Array, history: Uint8Array, level: number): Uint8Array | Promise<Uint8Array> {
    const make = text.length < this.#settings.syncThreshold ? deflateBlock : deflateBlockInPool;
    return make(text, history, level, this.#settings);
  }
}
