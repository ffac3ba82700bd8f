import { constants, type Http2Session, type Http2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { CloseReason } from '../errors.ts';
import { givenBytes, writtenBytes } from '../internal/health/ack-probe.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import type { ResolvedHealthOptions } from '../internal/health/options.ts';
import { written } from '../internal/health/policy/note.ts';
import { type ConnectionTransport, isLateness, shortMove, type Transport } from '../internal/health/transport.ts';
import { callEach } from '../internal/listeners.ts';

/** The options of `watchHttp2` with every default filled in. */
export interface ResolvedWatchHttp2Options extends ResolvedHealthOptions {
  readonly minInterval: number;
  readonly whileIdle: boolean;
}

/** A stream of a session that is monitored itself, and ends with its session. */
export interface SessionMember {
  evict(reason: CloseReason): void;
  cut(reason: CloseReason): void;
}

/** The least time between two PINGs by default, in ms. */
export const defaultInterval = 10_000;

// The largest frame, by default (RFC 9113 6.5.2).
const progressStep = 16_384;

const transports = new WeakMap<Http2Session, SessionTransport>();

/** Watches the session of a stream, unless it is watched already. */
export function watchSession(
  session: Http2Session,
  options: ResolvedHealthOptions,
  member: SessionMember,
): SessionTransport {
  const found = transportOf(session, {
    ...options,
    idleProducer: Infinity,
    minInterval: defaultInterval,
    whileIdle: false,
  });
  found.add(member);
  return found;
}

/** The transport of a session, which is watched from now on. The options of the first call hold. */
export function transportOf(session: Http2Session, options: ResolvedWatchHttp2Options): SessionTransport {
  const found = transports.get(session);
  if (found) return found;
  const created = new SessionTransport(session, options);
  transports.set(session, created);
  return created;
}

/** An HTTP/2 session as the transport of a monitored connection. */
export class SessionTransport implements ConnectionTransport {
  readonly transport: Transport = 'http2';
  readonly answers: boolean = true;
  readonly quietBy = 'reads' as const;
  readonly label: undefined;
  readonly #session: Http2Session;
  /** `undefined` while the session of a client is not connected. */
  #below: Socket | undefined;
  readonly #options: ResolvedWatchHttp2Options;
  readonly #connection: MonitoredConnection;
  readonly #members = new Set<SessionMember>();
  #streams = 0;
  /** A question waits for its answer. */
  #isAsking = false;
  #askedAt = -Infinity;
  #taken = 0;

  constructor(session: Http2Session, options: ResolvedWatchHttp2Options) {
    this.#session = session;
    this.#options = options;
    this.#connection = options.registry.add(this, options, this.#socket);
    session.on('close', this.#sessionOnClose);
    session.on('stream', this.#sessionOnStream);
    session.on('goaway', this.#sessionOnGoaway);
    if (session.destroyed) this.#sessionOnClose();
  }

  get remoteAddress(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  /** Adds a stream that is monitored itself. */
  add(member: SessionMember): void {
    this.#members.add(member);
  }

  forget(member: SessionMember): void {
    this.#members.delete(member);
  }

  /** Bytes were written on the connection. */
  noteSent(now: number): void {
    this.#connection.note(written, now);
  }

  readonly undo = (): void => {
    this.#connection.release();
    this.#removeListeners();
  };

  received(): number | undefined {
    return this.#socket?.bytesRead;
  }

  queued(): number {
    // What waits, waits in a stream, or for the window of one.
    return 0;
  }

  taken(): number {
    if (!this.#socket) return this.#taken;
    const taken = writtenBytes(this.#socket);
    // Streams that are not monitored themselves write too.
    if (taken > this.#taken) this.#connection.note(written, this.#options.registry.now());
    return (this.#taken = taken);
  }

  given(): number {
    return this.#socket ? givenBytes(this.#socket) : this.#taken;
  }

  /**
   * Bytes that were sent on the connection, and arrived where that is known, in steps that are larger than heartbeats.
   * It is not known what of each stream is taken. So a stream whose reader stopped, while others on its session are
   * read, looks like one that is read slowly; `maxBuffered` limits it.
   */
  get progress(): number {
    return Math.floor((this.#taken + this.#connection.liveness.delivered) / progressStep) * progressStep;
  }

  ask(now: number): boolean {
    if (!this.#socket) return false;
    // A question may wait for its answer while other frames are signs of life. A destroyed session waits for its
    // connection to close, which may never happen if the peer is gone.
    if (this.#isAsking || this.#session.destroyed) return true;
    const { registry, minInterval } = this.#options;
    const interval = minInterval * registry.pingBackoff.factorOf(this.remoteAddress, now);
    if (!this.#isInUse() || now < this.#askedAt + interval || !this.#sendQuestion()) return false;
    this.#isAsking = true;
    this.#askedAt = now;
    registry.counters.heartbeats += 1;
    this.#connection.note(written, now);
    return true;
  }

  move(reason: CloseReason): void {
    if (isLateness(reason)) this.cut(reason);
    else {
      this.#callMembers((member) => member.evict(reason));
      if (this.#socket && !this.#session.destroyed) this.#session.close();
    }
  }

  moveTimeout(reason: CloseReason): number {
    // Responses that are under way run to their end.
    return isLateness(reason) ? shortMove : Infinity;
  }

  cut(reason: CloseReason): void {
    this.#callMembers((member) => member.cut(reason));
    // It sends a GOAWAY before.
    if (!this.#session.destroyed) this.#session.destroy();
    if (this.#socket) setTimeout(destroySocket, shortMove, this.#socket).unref();
  }

  get #socket(): Socket | undefined {
    return (this.#below ??= socketBelow(this.#session));
  }

  /**
   * Sends a PING. Node sends none on a session that is closing: there it sends SETTINGS without a parameter, which the
   * peer has to acknowledge too (RFC 9113 6.5.3).
   * @returns whether it was sent
   */
  #sendQuestion(): boolean {
    const session = this.#session;
    // False where too many are outstanding: also pings of others.
    if (!session.closed) return session.ping(this.#onAnswer);
    const sentAt = this.#options.registry.exactNow();
    session.settings({}, (error) => this.#onAnswer(error, this.#options.registry.exactNow() - sentAt));
    return true;
  }

  #callMembers(call: (member: SessionMember) => void): void {
    callEach([...this.#members], call, (error) => this.#options.registry.fail(error));
  }

  #isInUse(): boolean {
    // No event tells of the requests of a client.
    return (
      this.#options.whileIdle ||
      this.#streams + this.#members.size > 0 ||
      this.#session.type === constants.NGHTTP2_SESSION_CLIENT
    );
  }

  readonly #onAnswer = (error: Error | null, roundTrip: number): void => {
    this.#isAsking = false;
    // The session is over.
    if (error) return;
    this.#connection.note({ kind: 'answered', roundTrip }, this.#options.registry.now());
  };

  readonly #sessionOnStream = (stream: Http2Stream): void => {
    this.#streams += 1;
    stream.once('close', () => (this.#streams -= 1));
  };

  readonly #sessionOnGoaway = (code: number): void => {
    const { registry } = this.#options;
    if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM) registry.pingBackoff.slowDown(this.remoteAddress, registry.now());
  };

  readonly #sessionOnClose = (): void => {
    this.#connection.noteClosed('client-closed');
    this.#removeListeners();
  };

  #removeListeners(): void {
    transports.delete(this.#session);
    this.#session.off('close', this.#sessionOnClose);
    this.#session.off('stream', this.#sessionOnStream);
    this.#session.off('goaway', this.#sessionOnGoaway);
  }
}

/**
 * The socket itself. `session.socket` is a proxy that cannot be destroyed, and that throws once the session is over.
 * When a session is closed, Node ends its socket and waits for the peer to do the same.
 */
function socketBelow(session: Http2Session): Socket | undefined {
  if (session.destroyed || (session.socket as unknown) === undefined) return undefined;
  // An emitter returns itself from `off`, also where there was no such listener.
  return session.socket.off('close', destroySocket);
}

function destroySocket(socket: Socket): void {
  socket.destroy();
}
