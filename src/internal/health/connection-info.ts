import type { CloseReason } from '../../errors.ts';
import type { HealthState } from './policy/liveness.ts';

/**
 * By what a connection runs: a stream on a connection of its own (`http1`), a session of HTTP/2 (`http2`), a stream of
 * such a session (`http2-stream`), a WebSocket, or another duplex (`socket`).
 */
export type Transport = 'http1' | 'http2' | 'http2-stream' | 'websocket' | 'socket';

/** A connection as it is at one moment. Times are in ms. */
export interface ConnectionInfo {
  /** A name, unique in its registry: for `evict`. */
  readonly id: string;
  readonly transport: Transport;
  readonly state: HealthState;
  /** The address of whoever opened the connection: often that of a proxy. */
  readonly remoteAddress: string | undefined;
  /** The path of the request, without its query. */
  readonly label: string | undefined;
  /** Since it is watched. */
  readonly age: number;
  /** Since the last sign of life of the peer. Without a way to hear of one, since it is watched. */
  readonly silence: number;
  /**
   * Of the last heartbeat; for `http1` what TCP reckons it to be, to 10 ms and never too little. `undefined` before the
   * first.
   */
  readonly roundTrip: number | undefined;
  /** Bytes that wait in this process. */
  readonly bufferedBytes: number;
  /** How often in a row it was found late. */
  readonly failures: number;
}

/** A step of a connection's health. */
export interface ConnectionStateChange {
  readonly connection: ConnectionInfo;
  readonly state: HealthState;
  readonly previous: HealthState;
}

/** The end of a connection. */
export interface ConnectionEnd {
  readonly connection: ConnectionInfo;
  readonly reason: CloseReason;
}
