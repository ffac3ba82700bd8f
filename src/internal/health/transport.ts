import type { CloseReason } from '../../errors.ts';
import type { Transport } from './connection-info.ts';
import type { Readable } from 'node:stream';

/** What a peer needs of the transport that it is connected by. */
export interface Wire {
  readonly transport: Transport;
  /**
   * Whether the peer answers when it is asked, or sends something by itself as often. Else only what its kernel
   * acknowledges is life.
   */
  readonly answers: boolean;
  /** What makes a heartbeat superfluous: that something was written, or that something came. */
  readonly quietBy: 'writes' | 'reads';
  /** How often it has to be looked at, at least: for what no event tells. */
  readonly lookEvery?: number;
  readonly remoteAddress: string | undefined;
  /** The path of a request, or another name. */
  readonly label: string | undefined;
  /** Bytes that came so far; `undefined` where they are not counted. */
  received(): number | undefined;
  /** Bytes that wait in the process to be taken by the kernel. */
  queued(): number;
  /** Bytes, of those that were written, that the kernel took. */
  taken(): number;
  /** Asks for a sign of life, if that is possible just now. @returns whether it did */
  ask(now: number): boolean;
  /** Bytes that were written so far, wherever they are now: what is asked next stands behind them. */
  given?(): number;
  /** Whether what the peer sends is not read just now, because whoever should is not ready for it. */
  isHeld?(): boolean;
  /** Whether all was written, and it ends by itself. */
  isEnding?(): boolean;
  /** Sends the client away, so that it comes back, and closes; at once where nothing can be told any more. */
  move(reason: CloseReason, cause?: Error): void;
  /** How long that may take, in ms, before it is cut. `Infinity`: as long as it is well. */
  moveTimeout(reason: CloseReason): number;
  /** Closes at once. */
  cut(reason: CloseReason): void;
  /** When something other than a heartbeat was last written. */
  producedAt?(): number;
}

/** Whether a connection is given up, and not sent away for another reason. */
export function isLateness(reason: CloseReason): boolean {
  return reason === 'heartbeat-timeout' || reason === 'slow-consumer';
}

/** How long a client that is sent away may take to go. */
export const shortMove = 1_000;

/** The same in a drain, which has a limit of its own: as the streams of `sse` have it by default. */
export const longMove = 5_000;

/**
 * Whether a stream takes in nothing just now, since whoever reads it is not ready for more: it was paused, or is full.
 */
export function isUnread(stream: Readable): boolean {
  return stream.isPaused() || stream.readableLength >= stream.readableHighWaterMark;
}
