import type { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';
import type { Server, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { callEach } from '../internal/listeners.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import type { DrainPart, DrainHost, CloseTask } from './drain-part.ts';
import { closeListener, isIdle } from './http-socket.ts';
import { isLeaving } from './policy/phase.ts';

/** A server of `node:http`, `node:https` or `node:http2`. */
export type AttachableServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer;

type Closers = Partial<Pick<HttpServer, 'closeAllConnections'>>;

/** `session.socket` is a proxy, which hides some members. The real socket is under this key. */
const socketKey = Symbol('sluice.socket');

interface KeyedSocket extends Socket {
  [socketKey]?: Socket;
}

type Listener = Parameters<EventEmitter['on']>[1];

/**
 * The connections of one server. It also tells of each request.
 *
 * It does not listen for `'upgrade'`: such a listener stops Node from answering upgrades that the application does not
 * handle. An upgraded connection is one in use like any other. It listens for `'request'` only once the application
 * does: an HTTP/2 server that works with streams would else answer requests.
 */
export class Connections implements DrainPart {
  readonly carries: boolean = true;
  readonly #host: DrainHost;
  readonly #server: Server & Closers;
  readonly #track: (res: HttpResponse) => void;
  readonly #sockets = new Set<Socket>();
  /** TCP connections under TLS, before and after the handshake. */
  readonly #raw = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Sockets of sessions that had no stream when they were closed. */
  readonly #fresh = new Set<Socket>();
  readonly #listeners = new Map<string, Listener>();
  readonly #socketOnClose: (this: Socket) => void;
  readonly #sessionOnClose = makeOnClose([this.#sessions]);
  #closing = false;

  /** @param track - gets each response, before other listeners see its request */
  constructor(host: DrainHost, server: Server, track: (res: HttpResponse) => void) {
    this.#host = host;
    this.#server = server;
    this.#track = track;
    this.#socketOnClose = makeOnClose([this.#sockets, this.#raw, this.#fresh], host);
    const isTls = server instanceof TlsServer;
    this.#listen('connection', (socket: Socket) => this.#take(socket, isTls ? this.#raw : this.#sockets));
    if (isTls) this.#listen('secureConnection', (socket: Socket) => this.#take(socket, this.#sockets));
    this.#listen('session', (session: ServerHttp2Session) => this.#takeSession(session));
    this.#followRequests();
    if (isLeaving(host.phase)) this.leave();
  }

  get isEmpty(): boolean {
    return !this.#closing && this.#sockets.size === 0;
  }

  announce(): void {
    this.#callEach(this.#sessions, sendGoaway);
  }

  leave(): readonly CloseTask[] {
    // First: from Node 24 on the server closes them itself, and their state is lost.
    this.#callEach(this.#sessions, (session) => this.#closeSession(session));
    this.#close();
    this.#closeIdle();
    return [];
  }

  tidy(freed: ReadonlySet<Socket>): void {
    for (const socket of freed) if (this.#sockets.has(socket) && isIdle(socket)) socket.destroy();
  }

  cut(): void {
    this.#close();
    this.#closeIdle();
    const left = [...this.#sockets].filter((socket) => !socket.destroyed);
    const sessions = [...this.#sessions].filter((session) => !session.destroyed);
    // Streams of a session count as requests, if the server has a `'request'` listener.
    const counted = this.#listeners.has('request') ? sessions.length : 0;
    for (let count = left.length - counted; count > 0; count--) this.#host.counters.add('cut', 'sockets');
    this.#callEach(sessions, (session) => session.destroy());
    // Not at once: a session still sends its GOAWAY.
    setImmediate(destroyAll, [...left, ...this.#raw]);
    this.#server.closeAllConnections?.();
  }

  release(): void {
    for (const [event, listener] of this.#listeners) this.#server.off(event, listener);
    this.#listeners.clear();
    for (const socket of [...this.#sockets, ...this.#raw]) socket.off('close', this.#socketOnClose);
    for (const session of this.#sessions) session.off('close', this.#sessionOnClose);
  }

  #callEach<T>(items: Iterable<T>, call: (item: T) => void): void {
    callEach(items, call, (error) => this.#host.fail(error));
  }

  #listen(event: string, listener: Listener): void {
    this.#listeners.set(event, listener);
    // First in line: a request must be known before it is answered.
    this.#server.prependListener(event, listener);
  }

  #followRequests(): void {
    const serverOnRequest = (_req: HttpRequest, res: HttpResponse): void => this.#track(res);
    if (this.#server.listenerCount('request') > 0) {
      this.#listen('request', serverOnRequest);
      return;
    }
    const serverOnNewListener = (event: string): void => {
      if (event !== 'request') return;
      this.#server.off('newListener', serverOnNewListener);
      this.#listeners.delete('newListener');
      this.#listen('request', serverOnRequest);
    };
    // Last in line: Node's own listener for HTTP/2 has to run first.
    this.#listeners.set('newListener', serverOnNewListener);
    this.#server.on('newListener', serverOnNewListener);
  }

  #take(socket: Socket, open: Set<Socket>): void {
    open.add(socket);
    (socket as KeyedSocket)[socketKey] = socket;
    socket.on('close', this.#socketOnClose);
  }

  #takeSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on('close', this.#sessionOnClose);
    if (isLeaving(this.#host.phase)) this.#closeSession(session);
    else if (this.#host.phase === 'announcing') session.once('stream', () => setImmediate(sendGoaway, session));
  }

  #closeSession(session: ServerHttp2Session): void {
    if (session.closed || session.destroyed) return;
    const socket = (session.socket as KeyedSocket)[socketKey];
    if (socket && session.state.lastProcStreamID === 0) this.#fresh.add(socket);
    session.close();
  }

  #close(): void {
    if (!this.#server.listening) {
      // The process is told to stop while it starts: a server that listens later would keep it alive.
      this.#server.once('listening', serverOnLateListening);
      return;
    }
    this.#closing = true;
    closeListener(this.#server, () => {
      this.#closing = false;
      this.#host.settleSoon();
    });
  }

  #closeIdle(): void {
    for (const socket of this.#sockets) if (isIdle(socket)) socket.destroy();
    // The session has sent its GOAWAY, and Node waits for the client to close.
    for (const socket of this.#fresh) if (socket.writableFinished) socket.destroy();
    this.#closeHandshakes();
  }

  #closeHandshakes(): void {
    const secured = new Set([...this.#sockets].map(({ remotePort }) => remotePort));
    for (const socket of this.#raw) if (!secured.has(socket.remotePort)) socket.destroy();
  }
}

/**
 * Tells a client to use another connection. The GOAWAY names the last stream that was processed, and not the highest id
 * as in the warning of RFC 9113 6.8: after any GOAWAY Node ignores new streams, and a client would wait for them. It
 * may send again those above the named id.
 */
function sendGoaway(session: ServerHttp2Session): void {
  if (!session.destroyed && !session.closed) session.goaway();
}

function makeOnClose<T>(open: readonly Set<T>[], host?: DrainHost): (this: T) => void {
  return function onClose() {
    for (const each of open) each.delete(this);
    host?.settleSoon();
  };
}

function destroyAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy();
}

function serverOnLateListening(this: Server): void {
  closeListener(this);
}
