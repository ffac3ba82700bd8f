import type { CloseReason } from '../../errors.ts';
import type { HealthState, Liveness } from './policy/liveness.ts';
import type { ConnectionTransport, Transport } from './transport.ts';

/** A connection at one moment. Times are in ms. */
export interface ConnectionInfo {
  /** A name, unique in its registry: for `evict`. */
  readonly id: string;
  /** The kind of connection. */
  readonly transport: Transport;
  /** Its health. */
  readonly state: HealthState;
  /** The address from which the connection was opened: often that of a proxy. */
  readonly remoteAddress: string | undefined;
  /** The path of the request, without its query. Of an `upstream` its origin. */
  readonly label: string | undefined;
  /** Time since the connection is watched. */
  readonly age: number;
  /** Time since the last sign of life of the peer; if the peer can give none, since the connection is watched. */
  readonly silence: number;
  /**
   * The round trip of the last heartbeat, or of an upstream's last health probe. For `http1` the estimate of TCP, to 10
   * ms and never too little. `undefined` before the first.
   */
  readonly roundTrip: number | undefined;
  /** Bytes that wait in this process. */
  readonly bufferedBytes: number;
  /** How often in a row it was found late. */
  readonly failures: number;
}

/** What a registry lists and counts. Who owns it judges its health, and tells the registry of changes. */
export interface Monitored {
  readonly number: number;
  /** Ends with a hyphen and the number. */
  readonly id: string;
  /** Whether it can be evicted. */
  readonly isOpen: boolean;
  readonly transport: Pick<ConnectionTransport, 'transport'>;
  readonly liveness: Readonly<Pick<Liveness, 'state' | 'roundTrip'>>;
  info(now: number): ConnectionInfo;
  evict(reason: CloseReason, cause?: Error): void;
}

/** A change of a connection's health. */
export interface ConnectionStateChange {
  /** The connection at this moment. */
  readonly connection: ConnectionInfo;
  /** Its health from now on. */
  readonly state: HealthState;
  /** Its health before. */
  readonly previous: HealthState;
}

/** The end of a connection. */
export interface ConnectionEnd {
  /** The connection at its end. */
  readonly connection: ConnectionInfo;
  /** Why it ended. */
  readonly reason: CloseReason;
}

/** A connection is monitored from now on; the message on `sluice:heartbeat:open`. */
export interface ConnectionOpen {
  /** The connection at its beginning. */
  readonly connection: ConnectionInfo;
}

/** The round trip was measured anew; the message on `sluice:heartbeat:round-trip`. */
export interface RoundTrip {
  /** The connection that answered. */
  readonly connection: ConnectionInfo;
  /** Milliseconds. */
  readonly roundTrip: number;
}
