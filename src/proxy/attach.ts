import type { EventEmitter } from 'node:events';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { InvalidOptionError } from '../errors.ts';
import type { Hook } from '../internal/http/framework.ts';
import type { HttpRequest, Next } from '../internal/http/message.ts';
import { readFunction, readOptions } from '../internal/option.ts';
import { abortResponse } from '../internal/seam/closing.ts';
import { answer } from '../internal/writer/answer.ts';
import { dispatch } from './exchange/dispatch.ts';
import { proxyErrors } from './events.ts';
import type { ProxyState } from './exchange/state.ts';
import { SocketUpgrade, StreamUpgrade } from './exchange/tunnel.ts';

/** A server of `node:http`, `node:https` or `node:http2`. */
export interface UpgradableServer {
  /** Adds a listener. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Removes a listener. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** Options of `attach`. */
export interface AttachOptions {
  /**
   * Which requests to switch protocols are passed on. Others are left to the server's other listeners.
   * @defaultValue all
   */
  filter?: Hook<[req: HttpRequest], boolean> | undefined;
}

/** Passes on a request to switch protocols, once the requests before it are answered. */
export function upgradeSocket(state: ProxyState, req: IncomingMessage, socket: Duplex, head: Uint8Array): void {
  // Node hands the connection over while an answer is still under way. It keeps that one here.
  const { _httpMessage: earlier } = socket as { _httpMessage?: ServerResponse | null };
  if (earlier) {
    socket.on('error', () => undefined);
    earlier.once('close', () => {
      // After an answer Node waits for the next request, and closes the connection without one.
      (socket as Partial<Socket>).setTimeout?.(0);
      if (!socket.destroyed) upgradeSocket(state, req, socket, head);
    });
    return;
  }
  const upgrade = new SocketUpgrade(req, socket, head);
  dispatch(state, { req, res: upgrade.res, next: nextFor(req, upgrade.res) }, upgrade);
}

/** Listens for requests to switch protocols. Returns the undo. Throws `InvalidOptionError`. */
export function attach(state: ProxyState, server: UpgradableServer, given: AttachOptions | undefined): () => void {
  requireServer(server);
  const filter = readFunction('attach.filter', readOptions('attach', given, { filter: true }).filter) ?? (() => true);
  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Uint8Array): void => {
    if (filter(req)) upgradeSocket(state, req, socket, head);
    else if (isLeftByAll(server, 'upgrade', req)) socket.destroy();
  };
  // HTTP/1.1 emits it with a socket, for tunnels to another host: they are not ours.
  const onConnect = (req: Http2ServerRequest, res: Http2ServerResponse | Duplex): void => {
    if ('stream' in res && req.headers[':protocol'] !== undefined && filter(req)) {
      dispatch(state, { req, res, next: nextFor(req, res) }, new StreamUpgrade(req, res));
    } else if (isLeftByAll(server, 'connect', req)) {
      if ('stream' in res) answer(res, { status: 405 });
      else res.destroy();
    }
  };
  server.on('upgrade', onUpgrade);
  server.on('connect', onConnect);
  return () => {
    server.off('upgrade', onUpgrade);
    server.off('connect', onConnect);
  };
}

/** How many proxies have left a request to the server's other listeners. */
const leftBy = new WeakMap<object, number>();

/**
 * Notes that a proxy leaves a request. Returns whether all listeners of the server were proxies that left it: then it
 * is closed, as Node does it without a listener. Else its connection would stay for ever, and an error of it would have
 * no listener and end the process.
 */
function isLeftByAll(server: UpgradableServer, event: string, req: object): boolean {
  const count = (leftBy.get(req) ?? 0) + 1;
  leftBy.set(req, count);
  return (server as Partial<EventEmitter>).listenerCount?.(event) === count;
}

// An application of Express has `on` too, and never gets such a request.
function requireServer(value: unknown): void {
  if (typeof value === 'object' && value !== null && 'on' in value && 'off' in value) return;
  throw new InvalidOptionError('proxy.attach', 'a server, such as what `app.listen()` returns', value);
}

/**
 * Where there is no application behind: its errors are answered here, with their `status` as Express does it. An error
 * of the request's own (4xx) is an answer and no failure.
 */
export function nextFor(req: HttpRequest, res: ServerResponse | Http2ServerResponse): Next {
  return (error) => {
    const status = statusOf(error);
    if (status >= 500) proxyErrors.report({ error, req });
    if (res.headersSent) abortResponse(res);
    else answer(res, { status, text: `${status} ${STATUS_CODES[status] ?? ''}\n` });
  };
}

function statusOf(error: unknown): number {
  const { status } = (error ?? {}) as { status?: unknown };
  return Number.isInteger(status) && (status as number) >= 400 && (status as number) < 600 ? (status as number) : 500;
}
