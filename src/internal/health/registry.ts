import type { Socket } from 'node:net';
import { type CloseReason, InvalidOptionError } from '../../errors.ts';
import { captureScope } from '../context/async-scope.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import { Listeners } from '../listeners.ts';
import type { HttpRequest } from '../http/message.ts';
import { readBag, readFunction, readInteger, readOneOf, requireFunction } from '../option.ts';
import { TimingWheel } from '../time/timing-wheel.ts';
import { AckProbe } from './ack-probe.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import { clientOfAddress } from './policy/address.ts';
import { Census, type RegistryStats } from './policy/counters.ts';
import type { ConnectionEnd, ConnectionInfo, ConnectionStateChange } from './connection-info.ts';
import type { HealthState } from './policy/liveness.ts';
import type { HealthPolicy } from './policy/health-policy.ts';
import { type ConnectionHost, Peer } from './connection.ts';
import { hasEndObservers, reportEnd, reportHealth, reportHeartbeatError } from './events.ts';
import { type Limit, Seats } from './policy/connection-limit.ts';
import type { Wire } from './transport.ts';

/** Options of `createRegistry`. */
export interface RegistryOptions {
  /**
   * Streams and WebSockets that may be open at once. A response counts from the moment its headers show that it is a
   * stream, whatever its request asked for. One more is refused, so that it tries again later: an event source is told
   * when, any other request is answered 503, a WebSocket closed with 1013. No connection is closed to make room.
   * @defaultValue `Infinity`
   */
  maxConnections?: number;
  /** The same, of one client. @defaultValue `Infinity` */
  maxPerClient?: number;
  /**
   * Names the client of a request. Called when its stream begins; and when it arrives, if it asks for an event stream
   * while a limit is reached. What it throws is published on `sluice:heartbeat:error`, and the default counts.
   * @defaultValue the address of the connection; of an IPv6 address its /64, as `clientOfAddress` gives it
   */
  // A method, so that functions typed for a framework's request fit.
  clientKey?(req: HttpRequest): string;
}

/** Every connection that is watched, however it came, and what becomes of it. */
export interface ConnectionRegistry {
  /** The connections as they are now, the oldest first. */
  connections(): ConnectionInfo[];
  /** Numbers. Costs the same however many connections there are. */
  stats(): RegistryStats;
  /**
   * Sends a client away, so that it comes back: an event stream gets a retry hint, a WebSocket the code 1012, a session
   * of HTTP/2 a GOAWAY. What is not gone a second later is cut; a stream of `sse` or `records` has its `closeTimeout`,
   * and what is under way on a session runs to its end.
   * @param reason - the close reason, as the stream's `signal` and `stats().ended` have it. Any other text is the
   * `cause` of a `'draining'`, which is the default
   * @returns whether there was such a connection
   */
  evict(id: string, reason?: CloseReason | (string & {})): boolean;
  /**
   * Calls `listener` after each step of a connection's health, or at its end. Returns the undo. What a listener throws
   * is published on `sluice:heartbeat:error`.
   */
  on(event: 'state', listener: (change: ConnectionStateChange) => void): () => void;
  on(event: 'end', listener: (end: ConnectionEnd) => void): () => void;
  /** Stops watching. Ends no connection. */
  close(): void;
}

const reasons: readonly CloseReason[] = [
  'ended',
  'client-closed',
  'deadline',
  'idle',
  'draining',
  'slow-consumer',
  'heartbeat-timeout',
  'error',
];

/**
 * Makes a registry: hand it to `heartbeat` and the watchers, and their connections are counted in one place, by one
 * clock. Throws `InvalidOptionError`.
 */
export function createRegistry(options?: RegistryOptions): ConnectionRegistry {
  return new Registry(options);
}

/** The registry behind `createRegistry`. */
export class Registry implements ConnectionRegistry, ConnectionHost {
  readonly wheel: TimingWheel;
  readonly seats: Seats;
  readonly #census = new Census();
  readonly #clock: Clock;
  readonly #exactClock: Clock;
  readonly #clientKey: ((req: HttpRequest) => string) | undefined;
  readonly #peers = new Map<number, Peer>();
  readonly #states = new Listeners<ConnectionStateChange>(reportHeartbeatError);
  readonly #ends = new Listeners<ConnectionEnd>(reportHeartbeatError);
  #endListeners = 0;
  /**
   * What is the registry's own runs there, and not in the async context of the request that evicts, or that has ended.
   */
  readonly #scope = captureScope();
  #probe: AckProbe | undefined;
  #lastNumber = 0;

  /** @param clock - of all connections */
  constructor(given?: RegistryOptions, clock: Clock = systemClock) {
    const options = readBag('registry', given);
    this.#exactClock = clock;
    this.#clock = wholeMilliseconds(this.#exactClock);
    this.wheel = new TimingWheel(reportHeartbeatError, this.#clock);
    this.#clientKey = readFunction('registry.clientKey', options.clientKey);
    this.seats = new Seats({
      total: readLimit('registry.maxConnections', options.maxConnections),
      perClient: readLimit('registry.maxPerClient', options.maxPerClient),
    });
  }

  /** Whole milliseconds. */
  now(): number {
    return this.#clock.now();
  }

  /** With fractions: for what is shorter than that. */
  exactNow(): number {
    return this.#exactClock.now();
  }

  connections(): ConnectionInfo[] {
    const now = this.now();
    return [...this.#peers.values()].map((peer) => peer.info(now));
  }

  stats(): RegistryStats {
    return this.#census.stats();
  }

  evict(id: string, reason = 'draining'): boolean {
    if (typeof reason !== 'string') throw new InvalidOptionError('evict.reason', 'a string', reason);
    const peer = this.#find(id);
    if (!peer?.isOpen) return false;
    const known = reasons.find((each) => each === reason);
    this.#scope.runInAsyncScope(() => (known ? peer.evict(known) : peer.evict('draining', new Error(reason))));
    return true;
  }

  on(event: 'state', listener: (change: ConnectionStateChange) => void): () => void;
  on(event: 'end', listener: (end: ConnectionEnd) => void): () => void;
  on(
    event: 'state' | 'end',
    listener: ((change: ConnectionStateChange) => void) | ((end: ConnectionEnd) => void),
  ): () => void {
    readOneOf('registry.on', event, ['state', 'end']);
    requireFunction('registry.on.listener', listener);
    return event === 'state'
      ? this.#states.add(listener as (change: ConnectionStateChange) => void)
      : this.#onEnd(listener as (end: ConnectionEnd) => void);
  }

  close(): void {
    this.wheel.close();
    this.#probe?.close();
    this.#states.clear();
    this.#ends.clear();
  }

  /**
   * Watches a connection from now on.
   * @param socket - that carries it, and nothing else
   */
  add(wire: Wire, policy: HealthPolicy, socket?: Socket): Peer {
    const peer = new Peer(this, wire, policy, (this.#lastNumber += 1));
    this.#peers.set(peer.number, peer);
    this.#census.came(wire.transport);
    peer.start(socket);
    return peer;
  }

  /** The connection is over. @param reason - `undefined`: it is not watched any more */
  remove(peer: Peer, reason: CloseReason | undefined): void {
    this.wheel.cancel(peer);
    this.#peers.delete(peer.number);
    this.#census.left(peer.wire.transport, peer.state, peer.roundTrip, reason);
    if (reason === undefined || (this.#endListeners === 0 && !hasEndObservers())) return;
    try {
      const end = { connection: peer.info(this.now()), reason };
      this.#scope.runInAsyncScope(reportEnd, undefined, end);
      this.#ends.emit(end);
    } catch (error) {
      this.fail(error);
    }
  }

  noteState(peer: Peer, previous: HealthState): void {
    this.#census.moved(peer.wire.transport, previous, peer.state);
    const change = { connection: peer.info(this.now()), state: peer.state, previous };
    reportHealth(change);
    this.#states.emit(change);
  }

  noteRoundTrip(before: number | undefined, after: number | undefined): void {
    this.#census.measured(before, after);
  }

  noteHeartbeat(): void {
    this.#census.heartbeats += 1;
  }

  /** Looks up, soon and as long as it is not forgotten, what the kernel knows of a connection. */
  probe(acknowledgements: Acknowledgements): void {
    this.#probe ??= new AckProbe({ onError: reportHeartbeatError, clock: this.#clock });
    this.#probe.add(acknowledgements);
  }

  forgetProbe(acknowledgements: Acknowledgements): void {
    this.#probe?.remove(acknowledgements);
  }

  /** The limit that one more connection of a request's client would go over. */
  findLimit(req: HttpRequest): Limit | undefined {
    return this.seats.mayBeFull ? this.seats.findLimit(this.#clientOf(req)) : undefined;
  }

  /**
   * Counts a connection that is there.
   * @param req - `undefined` where it is not known: the address counts
   * @returns the function that gives its seat back
   */
  occupy(req: HttpRequest | undefined, address?: string): () => void {
    if (!this.seats.isLimited) return () => undefined;
    return this.seats.occupy(req ? this.#clientOf(req) : clientOfAddress(address));
  }

  noteRefused(limit: Limit): void {
    this.#census.refused[limit] += 1;
  }

  fail(error: unknown): void {
    reportHeartbeatError(error);
  }

  // The id may come from a client, at any length: no regular expression that looks for the digits at its end, which
  // starts anew at each digit.
  #find(id: string): Peer | undefined {
    const peer = typeof id === 'string' ? this.#peers.get(Number(id.slice(id.lastIndexOf('-') + 1))) : undefined;
    return peer?.id === id ? peer : undefined;
  }

  #onEnd(listener: (end: ConnectionEnd) => void): () => void {
    const undo = this.#ends.add(listener);
    this.#endListeners += 1;
    let isUndone = false;
    return () => {
      if (!isUndone) this.#endListeners -= 1;
      isUndone = true;
      undo();
    };
  }

  #clientOf(req: HttpRequest): string {
    try {
      const key: unknown = this.#clientKey?.(req);
      if (typeof key === 'string') return key;
    } catch (error) {
      this.fail(error);
    }
    return clientOfAddress((req.socket as { remoteAddress?: string } | undefined)?.remoteAddress);
  }
}

/** Checks a registry that a caller gave. Throws `InvalidOptionError`. */
export function requireRegistry(option: string, value: ConnectionRegistry): Registry {
  if (value instanceof Registry) return value;
  throw new InvalidOptionError(option, 'what `createRegistry` returns', value);
}

// V8 keeps whole numbers, up to those of 24 days, in the objects themselves, and any other in 16 bytes of its own. A
// connection has nine times to remember.
function wholeMilliseconds(clock: Clock): Clock {
  return { now: () => Math.floor(clock.now()), startTimer: (delay, callback) => clock.startTimer(delay, callback) };
}

function readLimit(option: string, value: unknown): number {
  return value === undefined || value === Infinity ? Infinity : readInteger(option, value, { min: 1 });
}
