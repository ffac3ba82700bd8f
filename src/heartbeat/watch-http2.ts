import { constants, type Http2SecureServer, type Http2Server, type Http2Session, type Http2Stream } from 'node:http2';
import { Server, type Socket } from 'node:net';
import { type CloseReason, InvalidOptionError } from '../errors.ts';
import { callEach } from '../internal/listeners.ts';
import { type Duration, readBag, readBoolean, readDuration } from '../internal/option.ts';
import { givenBytes, writtenBytes } from '../internal/health/ack-probe.ts';
import { type HealthOptions, type ResolvedHealthOptions, resolveHealthOptions } from '../internal/health/options.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import { written } from '../internal/health/policy/note.ts';
import { type ConnectionTransport, isLateness, shortMove, type Transport } from '../internal/health/transport.ts';

/** Options of `watchHttp2`. */
export interface WatchHttp2Options extends HealthOptions {
  /**
   * The least time between two PINGs, however short `every` is: peers may take more for an attack, and end the session
   * with ENHANCE_YOUR_CALM. Whoever does gets them half as often for ten minutes, also on its next session.
   * @defaultValue `'10s'`
   */
  minInterval?: Duration;
  /** Whether to ping sessions of a server without open streams too. @defaultValue `false` */
  whileIdle?: boolean;
}

interface ResolvedWatchHttp2Options extends ResolvedHealthOptions {
  readonly minInterval: number;
  readonly whileIdle: boolean;
}

/** A stream that is watched by itself, and ends with its session. */
export interface SessionMember {
  evict(reason: CloseReason): void;
  cut(reason: CloseReason): void;
}

/**
 * Watches the sessions of an HTTP/2 server, or one session, by PINGs: at most one is outstanding, and any frame is a
 * sign of life. The streams of a session that is given up are cut. Returns the undo, which ends nothing. `heartbeat`
 * watches the sessions of its streams by itself. Throws `InvalidOptionError`.
 */
export function watchHttp2(
  target: Http2Server | Http2SecureServer | Http2Session,
  given?: WatchHttp2Options,
): () => void {
  const options = resolveWatchHttp2Options(given);
  if (target instanceof Server && 'updateSettings' in target) return watchServer(target, options);
  if (isSession(target)) return watch(target, options).undo;
  throw new InvalidOptionError('watchHttp2.target', 'a server or a session of node:http2', target);
}

/** Watches the session of a stream, unless it is watched already. */
export function watchSession(
  session: Http2Session,
  options: ResolvedHealthOptions,
  member: SessionMember,
): SessionWatch {
  const found =
    watches.get(session) ??
    watch(session, { ...options, idleProducer: Infinity, minInterval: defaultInterval, whileIdle: false });
  found.add(member);
  return found;
}

const defaultInterval = 10_000;

// The largest frame, by default (RFC 9113 6.5.2).
const progressStep = 16_384;

const watches = new WeakMap<Http2Session, SessionWatch>();

function resolveWatchHttp2Options(given: WatchHttp2Options | undefined): ResolvedWatchHttp2Options {
  const options = readBag('watchHttp2', given);
  return {
    ...resolveHealthOptions('watchHttp2', options),
    minInterval: readDuration('watchHttp2.minInterval', options.minInterval ?? defaultInterval),
    whileIdle: readBoolean('watchHttp2.whileIdle', options.whileIdle ?? false),
  };
}

function watchServer(server: Server, options: ResolvedWatchHttp2Options): () => void {
  const undos = new Set<() => void>();
  const serverOnSession = (session: Http2Session): void => {
    const watched = watch(session, options);
    const sessionOnClose = (): void => void undos.delete(undo);
    const undo = (): void => {
      session.off('close', sessionOnClose);
      watched.undo();
    };
    undos.add(undo);
    session.once('close', sessionOnClose);
  };
  server.on('session', serverOnSession);
  return () => {
    server.off('session', serverOnSession);
    callEach(
      undos,
      (undo) => undo(),
      (error) => options.registry.fail(error),
    );
    undos.clear();
  };
}

function watch(session: Http2Session, options: ResolvedWatchHttp2Options): SessionWatch {
  const found = watches.get(session);
  if (found) return found;
  const created = new SessionWatch(session, options);
  watches.set(session, created);
  return created;
}

/** One session. */
export class SessionWatch implements ConnectionTransport {
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

  /** A stream that is watched by itself. */
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
    // By streams that are not watched by themselves, too.
    if (taken > this.#taken) this.#connection.note(written, this.#options.registry.now());
    return (this.#taken = taken);
  }

  given(): number {
    return this.#socket ? givenBytes(this.#socket) : this.#taken;
  }

  /**
   * Bytes that went out on the connection, and arrived where that is known, in steps that heartbeats do not make: what
   * of its streams is taken is not told of each. So a stream whose reader stopped while others on its session are read
   * is not told from one that is read slowly; `maxBuffered` bounds it.
   */
  get progress(): number {
    return Math.floor((this.#taken + this.#connection.liveness.delivered) / progressStep) * progressStep;
  }

  ask(now: number): boolean {
    if (!this.#socket) return false;
    // Other frames were life, and the question waits for its answer still. A session that is destroyed waits for its
    // connection to close, which one whose peer is gone may never do.
    if (this.#isAsking || this.#session.destroyed) return true;
    const interval = this.#options.minInterval * this.#options.registry.pingBackoff.factorOf(this.remoteAddress, now);
    if (!this.#isInUse() || now < this.#askedAt + interval || !this.#sendQuestion()) return false;
    this.#isAsking = true;
    this.#askedAt = now;
    this.#options.registry.counters.heartbeats += 1;
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
    // It says GOAWAY before.
    if (!this.#session.destroyed) this.#session.destroy();
    if (this.#socket) setTimeout(destroySocket, shortMove, this.#socket).unref();
  }

  get #socket(): Socket | undefined {
    return (this.#below ??= socketBelow(this.#session));
  }

  /**
   * A PING; on a session that is closing, where Node sends none any more, SETTINGS without a parameter, which have to
   * be acknowledged too (RFC 9113 6.5.3).
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
    // The requests of a client are not told by events.
    return (
      this.#options.whileIdle ||
      this.#streams + this.#members.size > 0 ||
      this.#session.type === constants.NGHTTP2_SESSION_CLIENT
    );
  }

  readonly #onAnswer = (error: Error | null, duration: number): void => {
    this.#isAsking = false;
    // The session is over.
    if (error) return;
    this.#connection.note({ kind: 'answered', roundTrip: duration }, this.#options.registry.now());
  };

  readonly #sessionOnStream = (stream: Http2Stream): void => {
    this.#streams += 1;
    stream.once('close', () => (this.#streams -= 1));
  };

  readonly #sessionOnGoaway = (code: number): void => {
    if (code === constants.NGHTTP2_ENHANCE_YOUR_CALM)
      this.#options.registry.pingBackoff.slowDown(this.remoteAddress, this.#options.registry.now());
  };

  readonly #sessionOnClose = (): void => {
    this.#connection.noteClosed('client-closed');
    this.#removeListeners();
  };

  #removeListeners(): void {
    watches.delete(this.#session);
    this.#session.off('close', this.#sessionOnClose);
    this.#session.off('stream', this.#sessionOnStream);
    this.#session.off('goaway', this.#sessionOnGoaway);
  }
}

/**
 * The socket itself: `session.socket` is a proxy of it that cannot be destroyed, and that throws once the session is
 * over. Node ends the socket of a session that was closed, and waits for its peer to do the same.
 */
function socketBelow(session: Http2Session): Socket | undefined {
  if (session.destroyed || (session.socket as unknown) === undefined) return undefined;
  // An emitter returns itself from `off`, also where there was no such listener.
  return session.socket.off('close', destroySocket);
}

function destroySocket(socket: Socket): void {
  socket.destroy();
}

function isSession(value: unknown): value is Http2Session {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { ping?: unknown }).ping === 'function' &&
    typeof (value as { goaway?: unknown }).goaway === 'function'
  );
}
