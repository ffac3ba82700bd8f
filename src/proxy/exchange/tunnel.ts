import { createHash, randomBytes } from 'node:crypto';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Duplex } from 'node:stream';
import { UpstreamUnreachableError } from '../../errors.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import { tokensOf } from '../../internal/http/hop-by-hop.ts';
import { startTimer } from '../../internal/time/clock.ts';
import { dropHopByHop } from './request-headers.ts';

/** A client that asks to switch protocols, and the way to do so. */
export interface UpgradeRequest {
  /** The protocol that it asks for: `websocket`. */
  readonly protocol: string;
  /** The method of the request to an upstream of HTTP/1.1. */
  readonly method: string;
  /** Changes the request's headers before they go to an upstream of HTTP/1.1. */
  prepare(headers: HeaderList): void;
  /**
   * Tells the client that the upstream has switched, and joins the two. Throws `UpstreamUnreachableError` for an answer
   * that does not fit the request.
   */
  join(upstream: Duplex, headers: HeaderList, origin: string): void;
}

/** An upgrade over HTTP/1.1 (RFC 9110 7.8), from the server's 'upgrade' event. */
export class SocketUpgrade implements UpgradeRequest {
  readonly protocol: string;
  readonly method: string;
  /** For answers other than 101. */
  readonly res: ServerResponse;
  readonly #socket: Duplex;
  readonly #head: Uint8Array;

  /** The answers to the requests before this one are sent. */
  constructor(req: IncomingMessage, socket: Duplex, head: Uint8Array) {
    this.protocol = req.headers.upgrade ?? '';
    this.method = req.method ?? 'GET';
    this.#socket = socket;
    this.#head = head;
    // Node has taken its own listener away.
    socket.on('error', ignore);
    this.res = new ServerResponse(req);
    // The connection has left its parser: no request can follow.
    this.res.shouldKeepAlive = false;
    this.res.assignSocket(socket as never);
    this.res.on('finish', () => socket.end());
  }

  prepare(): void {
    // undici sets Connection and Upgrade itself.
  }

  join(upstream: Duplex, headers: HeaderList, origin: string): void {
    const agreed = headers.getAll('upgrade').flatMap(tokensOf);
    // RFC 9110 7.8: only to a protocol that was asked for.
    if (!agreed.every((each) => tokensOf(this.protocol).includes(each)) || agreed.length === 0) {
      throw new UpstreamUnreachableError(origin, {
        cause: new Error('It switched to a protocol that was not asked for'),
      });
    }
    const socket = this.#socket;
    this.res.detachSocket(socket as never);
    const protocol = headers.getAll('upgrade').join(', ');
    dropHopByHop(headers);
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', `Upgrade: ${protocol}`];
    for (const [name, value] of headers) lines.push(`${name}: ${value}`);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    if (this.#head.length > 0) socket.unshift(this.#head);
    joinDuplexes(socket, upstream);
  }
}

/** A WebSocket over a stream of HTTP/2 (RFC 8441), from the server's 'connect' event. */
export class StreamUpgrade implements UpgradeRequest {
  readonly protocol: string;
  readonly method = 'GET';
  readonly #res: Http2ServerResponse;
  readonly #key = randomBytes(16).toString('base64');

  constructor(req: Http2ServerRequest, res: Http2ServerResponse) {
    this.protocol = String(req.headers[':protocol']);
    this.#res = res;
  }

  prepare(headers: HeaderList): void {
    // RFC 8441 5: over HTTP/2 the handshake has no key.
    headers.set('Sec-WebSocket-Key', this.#key);
  }

  join(upstream: Duplex, headers: HeaderList, origin: string): void {
    const accepted = createHash('sha1').update(`${this.#key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    if (headers.get('sec-websocket-accept') !== accepted) {
      throw new UpstreamUnreachableError(origin, { cause: new Error('Its Sec-WebSocket-Accept is wrong') });
    }
    dropHopByHop(headers);
    headers.keep((name) => name !== 'sec-websocket-accept' && name !== 'content-length');
    const fields: Record<string, string | string[]> = {};
    for (const name of headers.names) {
      fields[name] = name === 'set-cookie' ? headers.getAll(name) : (headers.get(name) ?? '');
    }
    const { stream } = this.#res;
    stream.respond({ ':status': 200, ...fields });
    joinDuplexes(stream, upstream);
  }
}

/** How long the last bytes of one side may take to reach the other, in ms. */
const linger = 30_000;

/** Joins two connections: bytes and back-pressure pass. If one ends or breaks, so does the other. */
function joinDuplexes(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on('error', ignore);
    from.on('close', () => {
      // What `from` has sent before it ended is still on its way.
      if (from.readableEnded && !to.writableFinished) destroyWhenSent(to);
      else to.destroy();
    });
    from.pipe(to);
  }
}

function destroyWhenSent(to: Duplex): void {
  const stop = startTimer(linger, () => to.destroy());
  to.once('finish', () => to.destroy());
  to.once('close', stop);
}

function ignore(): void {
  // The 'close' that follows ends the other side.
}
