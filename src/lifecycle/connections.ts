import type { EventEmitter } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';
import type { Server, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { callEach } from '../internal/listeners.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import type { Drainable, DrainSite, Farewell } from './drainable.ts';
import { closeListener, isIdle } from './http-socket.ts';
import { isLeaving } from './policy/phase.ts';

/** A server of `node:http`, `node:https` or `node:http2`. */
export type AttachableServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer;

type Closers = Partial<Pick<HttpServer, 'closeAllConnections'>>;

/** What a session calls its socket is a stand-in, which hands out all but what would disturb the session. */
const socketKey = Symbol('sluice.socket');

interface KeyedSocket extends Socket {
  [socketKey]?: Socket;
}

type Listener = Parameters<EventEmitter['on']>[1];

/**
 * The connections of one server, and the way to its requests.
 *
 * There is no listener for `'upgrade'`: with one, Node no longer answers by itself who asks for an upgrade that nobody
 * does. What was upgraded is a connection in use like any other. Nor is there one for `'request'` before somebody else
 * has one: it would make a server of HTTP/2 that works with streams answer them.
 */
export class Connections implements Drainable {
  readonly carries: boolean = true;
  readonly #site: DrainSite;
  readonly #server: Server & Closers;
  readonly #track: (res: HttpResponse) => void;
  readonly #sockets = new Set<Socket>();
  /** TCP connections under TLS, with a handshake or without. */
  readonly #raw = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Those of sessions that had no stream when they were closed: what they may still send is lost to nobody. */
  readonly #fresh = new Set<Socket>();
  readonly #listeners = new Map<string, Listener>();
  readonly #socketOnClose: (this: Socket) => void;
  readonly #sessionOnClose = makeOnClose([this.#sessions]);
  #closing = false;

  /** @param track - told of each response, before anybody else hears of its request */
  constructor(site: DrainSite, server: Server, track: (res: HttpResponse) => void) {
    this.#site = site;
    this.#server = server;
    this.#track = track;
    this.#socketOnClose = makeOnClose([this.#sockets, this.#raw, this.#fresh], site);
    const isTls = server instanceof TlsServer;
    this.#listen('connection', (socket: Socket) => this.#take(socket, isTls ? this.#raw : this.#sockets));
    if (isTls) this.#listen('secureConnection', (socket: Socket) => this.#take(socket, this.#sockets));
    this.#listen('session', (session: ServerHttp2Session) => this.#takeSession(session));
    this.#followRequests();
    if (isLeaving(site.phase)) this.leave();
  }

  get isEmpty(): boolean {
    return !this.#closing && this.#sockets.size === 0;
  }

  announce(): void {
    this.#callEach(this.#sessions, sendGoaway);
  }

  leave(): readonly Farewell[] {
    // First: from Node 24 on the server closes them itself, and what they were is not seen any more.
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
    // What runs over a session is counted as requests, where the server knows any.
    const counted = this.#listeners.has('request') ? sessions.length : 0;
    for (let count = left.length - counted; count > 0; count--) this.#site.tally.cut('sockets');
    this.#callEach(sessions, (session) => session.destroy());
    // Not at once: a session still has to say why.
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
    callEach(items, call, (error) => this.#site.fail(error));
  }

  #listen(event: string, listener: Listener): void {
    this.#listeners.set(event, listener);
    // First, so that a request is known before anybody answers it.
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
    // Last: HTTP/2's own must have made its way before it hears of a second listener.
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
    if (isLeaving(this.#site.phase)) this.#closeSession(session);
    else if (this.#site.phase === 'announcing') session.once('stream', () => setImmediate(sendGoaway, session));
  }

  #closeSession(session: ServerHttp2Session): void {
    if (session.closed || session.destroyed) return;
    const socket = (session.socket as KeyedSocket)[socketKey];
    if (socket && session.state.lastProcStreamID === 0) this.#fresh.add(socket);
    session.close();
  }

  #close(): void {
    if (!this.#server.listening) {
      // A process that is told to stop while it starts: what it opens then would keep it alive.
      this.#server.once('listening', serverOnLateListening);
      return;
    }
    this.#closing = true;
    closeListener(this.#server, () => {
      this.#closing = false;
      this.#site.settleSoon();
    });
  }

  #closeIdle(): void {
    for (const socket of this.#sockets) if (isIdle(socket)) socket.destroy();
    // Its session has said good-bye, and Node waits for the client to do so.
    for (const socket of this.#fresh) if (socket.writableFinished) socket.destroy();
    this.#closeHandshakes();
  }

  #closeHandshakes(): void {
    const secured = new Set([...this.#sockets].map(({ remotePort }) => remotePort));
    for (const socket of this.#raw) if (!secured.has(socket.remotePort)) socket.destroy();
  }
}

/**
 * Tells a client to use another connection. With the id of the last stream that was taken in, and not with the highest
 * there is, as RFC 9113 6.8 has it for a warning: after any GOAWAY Node ignores new streams, and a client would wait
 * for them. Those above the id it may send again.
 */
function sendGoaway(session: ServerHttp2Session): void {
  if (!session.destroyed && !session.closed) session.goaway();
}

function makeOnClose<T>(open: readonly Set<T>[], site?: DrainSite): (this: T) => void {
  return function onClose() {
    for (const each of open) each.delete(this);
    site?.settleSoon();
  };
}

function destroyAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy();
}

function serverOnLateListening(this: Server): void {
  closeListener(this);
}
