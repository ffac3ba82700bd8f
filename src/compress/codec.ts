import type { Transform } from 'node:stream';
import type { ClientFamily } from './policy/fingerprint.ts';

/** The kind of a body, for the choice of a coding: whole in one `end`, in pieces, or a stream of small messages. */
export type BodyKind = 'complete' | 'long' | 'event-stream';

/** How loaded the machine is: 0 hardly, 1 somewhat, 2 busy, 3 nothing new is compressed. */
export type Tier = 0 | 1 | 2 | 3;

/** What a weight may depend on. */
export interface NegotiationContext {
  /** The kind of the body. @defaultValue `'complete'` */
  readonly kind?: BodyKind;
  /** How loaded the machine is. @defaultValue `0` */
  readonly tier?: Tier;
  /** Bytes of the body, where they are known. @defaultValue unknown */
  readonly size?: number | undefined;
  /** The client, by `fingerprint`. The built-in weights do not depend on it. */
  readonly family?: ClientFamily | undefined;
}

/** What an encoder is told about the body it is for. */
export interface EncodeSettings {
  /** How much CPU it may take: 0 the most, 2 the least. (At tier 3 nothing is encoded.) */
  readonly tier: Tier;
  /** Bytes of the body, when that is known: windows and tables need not be larger. */
  readonly size: number | undefined;
  /** Bytes to add that decode to nothing, so that the length says less about the text (BREACH). 0: none. */
  readonly padding: number;
}

/** Settings for a body of unknown size. */
export const unknownBody: EncodeSettings = Object.freeze({ tier: 0, size: undefined, padding: 0 });

/** `EncodeSettings` for an event stream. */
export interface BlockSettings extends EncodeSettings {
  /** Bytes of sent text that a stream remembers, for later text to refer to. */
  readonly history: number;
}

/**
 * A content-coding that `compress` can offer: what `gzip()`, `deflate()`, `brotli()`, `zstd()` and `webCodec()` make,
 * or your own. Which of the three methods it has says for which bodies it can be chosen. What one of your own gives is
 * checked; what it does not settle within 30 s has failed.
 */
export interface Codec {
  /** The token of `Content-Encoding` and `Accept-Encoding`, in lower case (RFC 9110 8.4.1). */
  readonly coding: string;
  /** `false` while what it needs is missing or not loaded: it is then not offered. Read at every decision. */
  readonly available: boolean;
  /**
   * Loads what it needs and settles whether it is available. What is merely not installed may leave it unavailable;
   * what should be there rejects with `CodecUnavailableError`, which says what to install. Called once by `compress`,
   * and awaited by `swap`, for 10 s at most, before the new profile is used.
   */
  load?(): Promise<void>;
  /** Estimate of the memory of a `createStream` for a body of unknown length, in bytes. @defaultValue `0` */
  readonly streamMemory?: number;
  /** Estimate of the memory of a `createBlocks` that remembers `history` bytes, in bytes. @defaultValue `0` */
  blockMemory?(history: number): number;
  /** Its levels at the tiers 0 to 2, for open streams that follow a change of profile. */
  readonly levels?: readonly [number, number, number];
  /**
   * The kinds of bodies for which it honours `padding`. With `randomPadding` it is not offered to others. Absent: none.
   */
  readonly pads?: readonly BodyKind[];
  /** The server's own weight, 0 to 1, over the built-in one; 0 refuses. `undefined` leaves it to the built-in one. */
  weight?(context: NegotiationContext): number | undefined;
  /** A body in one piece: at once, or from another thread. */
  encode?(body: Uint8Array, settings: EncodeSettings): Uint8Array | Promise<Uint8Array>;
  /** A body that comes in pieces, flushed now and then. */
  createStream?(settings: EncodeSettings): StreamEncoder;
  /** A stream of small messages. Each must arrive at once. */
  createBlocks?(settings: BlockSettings): BlockEncoder;
}

/** Encodes a long body. */
export interface StreamEncoder {
  /** Text in, coded bytes out. Destroyed by its user when the response closes. */
  readonly transform: Transform;
  /** Estimate of the memory that it holds, in bytes. */
  readonly memory: number;
  /** Makes it emit all that was written, without ending the coding. */
  flush(callback: () => void): void;
  /** What to make of the first bytes that come out; absent: leave them. */
  readonly start?: (first: Uint8Array) => Uint8Array;
}

/** What an open stream is encoded with: a codec's levels and a tier. `'stored'` passes text through uncompressed. */
export type Tuning = { readonly codec: Codec; readonly tier: Tier } | 'stored';

/** Encodes a stream block by block: each block can be decoded in full when it arrives. */
export interface BlockEncoder {
  /** Estimate of the memory that it holds, in bytes. */
  readonly memory: number;
  /**
   * The next block of the coding, of all text that came since the last one. Not called again before a promise is
   * settled.
   * @param text - only empty when `last`
   * @param last - ends the coding
   */
  encode(text: Uint8Array, last: boolean): Uint8Array | Promise<Uint8Array>;
  /**
   * Follows a switch that was thrown while the stream is open, from the next block on. Absent where that cannot be done
   * within one coding.
   */
  retune?(tuning: Tuning): void;
  /** Frees what it holds. */
  close(): void;
}
