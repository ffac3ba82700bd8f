import type { Readable } from 'node:stream';
import type { CloseReason } from '../../errors.ts';

/**
 * What carries a connection: a stream on a connection of its own (`http1`), a session of HTTP/2 (`http2`), a stream of
 * such a session (`http2-stream`), a WebSocket, or another duplex (`socket`). All connections of a proxy to one server
 * are one `upstream`.
 */
export type Transport = 'http1' | 'http2' | 'http2-stream' | 'websocket' | 'socket' | 'upstream';

/** What a monitored connection needs of its transport. */
export interface ConnectionTransport {
  readonly transport: Transport;
  /**
   * Whether the peer answers when it is asked, or sends something by itself as often. If not, only what its kernel
   * acknowledges is a sign of life.
   */
  readonly answers: boolean;
  /** What makes a heartbeat superfluous: bytes that were written, or bytes that came. */
  readonly quietBy: 'writes' | 'reads';
  /** The longest time between two looks in ms, where no event tells of changes. */
  readonly lookEvery?: number;
  readonly remoteAddress: string | undefined;
  /** The path of the request, or another name. */
  readonly label: string | undefined;
  /** Bytes that came so far; `undefined` where they are not counted. */
  received(): number | undefined;
  /** Bytes that wait in the process for the kernel. */
  queued(): number;
  /** Bytes that the kernel took of those that were written. */
  taken(): number;
  /** Asks for a sign of life if that is possible now. @returns whether it did */
  ask(now: number): boolean;
  /** All bytes written so far, wherever they are now. The next question is behind them. */
  given?(): number;
  /** Whether this process does not read what the peer sends, because the reader of the stream is not ready. */
  isHeld?(): boolean;
  /** Whether all was written, so that the connection ends by itself. */
  isEnding?(): boolean;
  /** Tells the client to reconnect, and closes; closes at once if the client cannot be told any more. */
  move(reason: CloseReason, cause?: Error): void;
  /** How long `move` may take in ms before the connection is cut. `Infinity`: as long as it is healthy. */
  moveTimeout(reason: CloseReason): number;
  /** Closes at once. */
  cut(reason: CloseReason): void;
  /** When something other than a heartbeat was last written. */
  producedAt?(): number;
}

/** Whether a reason says that the peer was late. All others send away a peer that may be healthy. */
export function isLateness(reason: CloseReason): boolean {
  return reason === 'heartbeat-timeout' || reason === 'slow-consumer';
}

/** How long a client that is sent away may take to go, in ms. */
export const shortMove = 1_000;

/** The same in a drain, which has a limit of its own: the default of `sse` streams. */
export const longMove = 5_000;

/** Whether a stream takes in nothing now, because its reader is not ready: it is paused, or full. */
export function isUnread(stream: Readable): boolean {
  return stream.isPaused() || stream.readableLength >= stream.readableHighWaterMark;
}

/**
 * Counts what left a queue that keeps no such count: the bytes by which it was shorter from one look to the next.
 */
export class QueueGauge {
  #length = 0;
  #taken = 0;

  /** @returns a number that is higher than before if something has left since */
  look(length: number): number {
    if (length < this.#length) this.#taken += this.#length - length;
    this.#length = length;
    return this.#taken;
  }
}
