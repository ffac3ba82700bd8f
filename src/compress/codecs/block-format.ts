/** The checksums of a text that many streams send, added to those of what they sent before. */
export interface SharedChecksums {
  /** CRC-32. @param before - of the text before */
  crcAfter(before: number): number;
  /** Adler-32. */
  adlerAfter(before: number): number;
}

/** A content-coding that is put together from blocks, each made in one go from a text and the text before it. */
export interface BlockFormat {
  /** What blocks are made with, 0 to 255: formats with the same key make the same blocks. */
  readonly key: number;
  /** Bytes of the text before a block to which it may refer. */
  readonly reach: number;
  /** The block that ends a coding. It has no text. */
  readonly finalBlock: Uint8Array;
  /** The checksum of no text. */
  readonly firstChecksum: number;
  /** The bytes before the first block. @param padding - bytes to add that decode to nothing */
  header(padding: number): Uint8Array;
  /** The bytes after the last block. */
  trailer(checksum: number, length: number): Uint8Array;
  /** The checksum of a text that goes on with this one. Signed, of 32 bits, as all checksums here. */
  checksum(text: Uint8Array, before: number): number;
  /** The same for a text that many streams send. */
  sharedChecksum(text: SharedChecksums, before: number): number;
  /** Text as it is. */
  stored(text: Uint8Array): Uint8Array;
  /**
   * A block that every decoder delivers when it has come.
   * @param history - at most `reach` bytes
   */
  block(text: Uint8Array, history: Uint8Array, level: number): Uint8Array | Promise<Uint8Array>;
}
