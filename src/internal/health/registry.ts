import type { Socket } from 'node:net';
import { type CloseReason, InvalidOptionError } from '../../errors.ts';
import { captureScope } from '../context/async-scope.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import { Listeners } from '../listeners.ts';
import type { Hook, RoutedRequest } from '../http/framework.ts';
import type { HttpRequest } from '../http/message.ts';
import { type OptionNames, readFunction, readInteger, readOneOf, readOptions, requireFunction } from '../option.ts';
import { TimingWheel } from '../time/timing-wheel.ts';
import { AckProbe } from './ack-probe.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { clientOfAddress } from './policy/address.ts';
import { ConnectionLimit, type Limit } from './policy/connection-limit.ts';
import { RegistryCounters, type RegistryStats } from './policy/counters.ts';
import type { ConnectionEnd, ConnectionInfo, ConnectionStateChange, Monitored } from './connection-info.ts';
import type { HealthState } from './policy/liveness.ts';
import type { HealthPolicy } from './policy/judge.ts';
import { PingBackoff } from './policy/ping-backoff.ts';
import { type ConnectionHost, MonitoredConnection } from './connection.ts';
import { healthEvents, reportHeartbeatError } from './events.ts';
import type { ConnectionTransport } from './transport.ts';

/** Options of `createRegistry`. */
export interface RegistryOptions {
  /**
   * The most streams and WebSockets that may be open at once. A response counts from the moment its headers show that
   * it is a stream, whatever its request asked for. One more is refused, so that its client tries again later: an event
   * source is told when, any other request is answered 503, a WebSocket is closed with 1013. No connection is closed to
   * make room.
   * @defaultValue `Infinity`
   */
  maxConnections?: number | undefined;
  /** The same for each client. @defaultValue `Infinity` */
  maxPerClient?: number | undefined;
  /**
   * Names the client of a request. Called when its stream begins, and when it arrives if it asks for an event stream
   * while a limit is reached. If it returns `undefined`, the default counts; if it throws, too, and the error is
   * published on `sluice:heartbeat:error`.
   * @defaultValue the address of the connection; for an IPv6 address its /64, as `clientOfAddress` returns it
   */
  clientKey?: Hook<[req: RoutedRequest], string | undefined> | undefined;
}

const names: OptionNames<RegistryOptions> = { maxConnections: true, maxPerClient: true, clientKey: true };

const instead = { max: 'maxConnections', limit: 'maxConnections', key: 'clientKey', perClient: 'maxPerClient' };

/** All watched connections, whatever their transport. */
export interface ConnectionRegistry {
  /** The connections at this moment, the oldest first. */
  connections(): ConnectionInfo[];
  /** Counts. The cost does not depend on the number of connections. */
  stats(): RegistryStats;
  /**
   * Sends a client away, so that it reconnects: an event stream gets a retry hint, a WebSocket the code 1012, an HTTP/2
   * session a GOAWAY. A connection that is still open a second later is cut. A stream of `sse` or `records` has its
   * `closeTimeout` instead, and the streams of a session run to their end. An upstream of a proxy is ejected: it gets
   * no requests for a while, as after failures.
   * @param reason - the close reason, for the stream's `signal` and `stats().ended`. Any other text becomes the `cause`
   * of a `'draining'`. @defaultValue `'draining'`
   * @returns whether there was such a connection
   */
  evict(id: string, reason?: CloseReason | (string & {})): boolean;
  /**
   * Calls `listener` after each change of a connection's health, or at its end. Returns the undo. What a listener
   * throws is published on `sluice:heartbeat:error`.
   */
  on(event: 'state', listener: (change: ConnectionStateChange) => void): () => void;
  on(event: 'end', listener: (end: ConnectionEnd) => void): () => void;
  /** Stops watching. Closes no connection. */
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
 * Makes a registry. Pass it to `heartbeat` and the watchers to watch and count their connections in one place. Throws
 * `InvalidOptionError`.
 */
export function createRegistry(options?: RegistryOptions): ConnectionRegistry {
  return new Registry(options);
}

/** The registry behind `createRegistry`. */
export class Registry implements ConnectionRegistry, ConnectionHost {
  readonly wheel: TimingWheel;
  readonly limit: ConnectionLimit;
  readonly counters: RegistryCounters = new RegistryCounters();
  /** Remembered here, because the next session of a peer is another one. */
  readonly pingBackoff: PingBackoff = new PingBackoff();
  /** All that it watches, by number, the oldest first. */
  readonly members: Map<number, Monitored> = new Map();
  readonly #clock: Clock;
  readonly #exactClock: Clock;
  readonly #clientKey: ((req: HttpRequest) => unknown) | undefined;
  readonly #states = new Listeners<ConnectionStateChange>(reportHeartbeatError);
  readonly #ends = new Listeners<ConnectionEnd>(reportHeartbeatError);
  #endListeners = 0;
  /** The registry's own work runs there, and not in the async context of the request that evicts or has ended. */
  readonly #scope = captureScope();
  #probe: AckProbe | undefined;
  #lastNumber = 0;

  /** @param clock - the clock of all connections */
  constructor(given?: RegistryOptions, clock: Clock = systemClock) {
    const options = readOptions('registry', given, names, { instead, call: 'createRegistry()' });
    this.#exactClock = clock;
    this.#clock = wholeMilliseconds(this.#exactClock);
    this.wheel = new TimingWheel(reportHeartbeatError, this.#clock);
    this.#clientKey = readFunction('registry.clientKey', options.clientKey) as
      ((req: HttpRequest) => unknown) | undefined;
    this.limit = new ConnectionLimit({
      total: readLimit('registry.maxConnections', options.maxConnections),
      perClient: readLimit('registry.maxPerClient', options.maxPerClient),
    });
  }

  /** Whole milliseconds. */
  now(): number {
    return this.#clock.now();
  }

  /** Milliseconds with fractions, for round trips. */
  exactNow(): number {
    return this.#exactClock.now();
  }

  connections(): ConnectionInfo[] {
    const now = this.now();
    return [...this.members.values()].map((member) => member.info(now));
  }

  stats(): RegistryStats {
    return this.counters.stats();
  }

  evict(id: string, reason = 'draining'): boolean {
    if (typeof reason !== 'string') throw new InvalidOptionError('evict.reason', 'a string', reason);
    const connection = this.#find(id);
    if (!connection?.isOpen) return false;
    const known = reasons.find((each) => each === reason);
    this.#scope.runInAsyncScope(() =>
      known ? connection.evict(known) : connection.evict('draining', new Error(reason)),
    );
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

  /** Watches a connection from now on. @param socket - the socket of this connection alone */
  add(transport: ConnectionTransport, policy: HealthPolicy, socket?: Socket): MonitoredConnection {
    return this.list((number) => new MonitoredConnection(this, { transport, policy, number, socket }));
  }

  /** Lists and counts from now on what `make` makes. Its number is unique in the registry. */
  list<Member extends Monitored>(make: (number: number) => Member): Member {
    const number = (this.#lastNumber += 1);
    const member = make(number);
    this.members.set(number, member);
    this.counters.added(member.transport.transport);
    if (healthEvents.open.isHeard) healthEvents.open.publish({ connection: member.info(this.now()) });
    return member;
  }

  remove(connection: Monitored, reason: CloseReason | undefined): void {
    const { transport, liveness } = connection;
    this.members.delete(connection.number);
    this.counters.removed(transport.transport, liveness.state, liveness.roundTrip, reason);
    if (reason === undefined || (this.#endListeners === 0 && !healthEvents.end.isHeard)) return;
    try {
      const end = { connection: connection.info(this.now()), reason };
      this.#scope.runInAsyncScope(() => healthEvents.end.publish(end));
      this.#ends.emit(end);
    } catch (error) {
      this.fail(error);
    }
  }

  noteState(connection: Monitored, previous: HealthState): void {
    const { state } = connection.liveness;
    this.counters.changed(connection.transport.transport, previous, state);
    const change = { connection: connection.info(this.now()), state, previous };
    healthEvents.state.publish(change);
    this.#states.emit(change);
  }

  noteRoundTrip(connection: Monitored, previous: number | undefined): void {
    const { roundTrip } = connection.liveness;
    this.counters.measured(previous, roundTrip);
    const event = healthEvents['round-trip'];
    if (roundTrip !== undefined && event.isHeard) event.publish({ connection: connection.info(this.now()), roundTrip });
  }

  probe(connection: MonitoredConnection): void {
    const { socket } = connection;
    if (!socket) return;
    this.#probe ??= new AckProbe({ onError: reportHeartbeatError, clock: this.#clock });
    this.#probe.add((connection.probed ??= new Acknowledgements(connection, socket)));
  }

  forgetProbe(connection: MonitoredConnection): void {
    if (connection.probed) this.#probe?.remove(connection.probed);
    connection.probed = undefined;
  }

  /** The limit that one more connection of a request's client would exceed. */
  findLimit(req: HttpRequest): Limit | undefined {
    return this.limit.mayBeFull ? this.limit.findLimit(this.#clientOf(req)) : undefined;
  }

  /** Counts a connection against the limits. @param req - `undefined`: the address counts. @returns the undo */
  count(req: HttpRequest | undefined, address?: string): () => void {
    if (!this.limit.isLimited) return () => undefined;
    return this.limit.count(req ? this.#clientOf(req) : clientOfAddress(address));
  }

  fail(error: unknown): void {
    reportHeartbeatError(error);
  }

  // The id may come from a client, at any length. A regular expression that looks for the digits at its end would start
  // anew at each digit.
  #find(id: string): Monitored | undefined {
    if (typeof id !== 'string') return undefined;
    const member = this.members.get(Number(id.slice(id.lastIndexOf('-') + 1)));
    return member?.id === id ? member : undefined;
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
      const key = this.#clientKey?.(req);
      if (typeof key === 'string') return key;
    } catch (error) {
      this.fail(error);
    }
    return clientOfAddress((req.socket as { remoteAddress?: string } | undefined)?.remoteAddress);
  }
}

/** Checks the registry of an option. Throws `InvalidOptionError`. */
export function requireRegistry(option: string, value: ConnectionRegistry): Registry {
  if (value instanceof Registry) return value;
  throw new InvalidOptionError(option, 'a registry: `heartbeat().registry`, or what `createRegistry` returns', value);
}

// V8 keeps whole numbers of up to 24 days in the object itself, and any other number in 16 bytes of its own. A
// connection remembers nine times.
function wholeMilliseconds(clock: Clock): Clock {
  return { now: () => Math.floor(clock.now()), startTimer: (delay, callback) => clock.startTimer(delay, callback) };
}

function readLimit(option: string, value: unknown): number {
  return value === undefined || value === Infinity ? Infinity : readInteger(option, value, { min: 1 });
}
