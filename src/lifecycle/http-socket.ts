import { createServer, type IncomingMessage } from 'node:http';
import type { Server, Socket } from 'node:net';

/** What Node keeps on an HTTP/1 socket. Not documented; test/upstream checks it. */
interface HttpSocket extends Socket {
  /** Present while Node reads requests from the socket: not over HTTP/2, and not after an upgrade. */
  readonly parser?: { readonly incoming?: IncomingMessage | null } | null;
  /** The response whose turn it is: the first of several pipelined ones. */
  readonly _httpMessage?: object | null;
}

/**
 * Whether a connection is idle: no response is open, no request body is being read, and the kernel has all bytes. A
 * connection that has sent nothing yet, or half the head of a request, is idle too.
 *
 * Node's `closeIdleConnections` differs twice. It cuts a response that was ended and is not sent yet. And it does not
 * close a connection that sent half a head, which would hold up a drain (Go closes such connections, net/http
 * `StateNew`).
 */
export function isIdle(socket: Socket): boolean {
  const { parser, _httpMessage: response } = socket as HttpSocket;
  // An unknown Node: a late close is better than a cut response.
  if (!parser) return false;
  return !response && parser.incoming?.complete !== false && socket.writableLength === 0;
}

/**
 * Stops listening, and leaves connections alone: since Node 19 `server.close()` calls `closeIdleConnections`.
 * @param onClosed - called when the last connection has closed
 */
export function closeListener(server: Server, onClosed?: () => void): void {
  const name = 'closeIdleConnections';
  const own = Object.getOwnPropertyDescriptor(server, name);
  Object.defineProperty(server, name, { value: () => undefined, configurable: true });
  try {
    server.close(onClosed);
  } finally {
    Reflect.deleteProperty(server, name);
    if (own) Object.defineProperty(server, name, own);
  }
}

/** The timeouts of an HTTP/1 server. */
interface Timeouts {
  keepAliveTimeout: number;
  headersTimeout: number;
}

/**
 * Lengthens the keep-alive of a server that still has Node's default. Returns the undo, which keeps later changes of
 * the application.
 */
export function lengthenKeepAlive(server: Server, keepAlive: number): () => void {
  const timeouts = server as Server & Partial<Timeouts>;
  const before = { keepAliveTimeout: timeouts.keepAliveTimeout, headersTimeout: timeouts.headersTimeout };
  // An HTTP/2 server has no keep-alive.
  if (before.keepAliveTimeout === undefined || before.keepAliveTimeout !== createServer().keepAliveTimeout)
    return () => undefined;
  const after: Timeouts = {
    keepAliveTimeout: keepAlive,
    headersTimeout: headersTimeoutAbove(keepAlive, before.headersTimeout ?? 0),
  };
  Object.assign(timeouts, after);
  return () => {
    if (timeouts.keepAliveTimeout === after.keepAliveTimeout && timeouts.headersTimeout === after.headersTimeout)
      Object.assign(timeouts, before);
  };
}

// Some versions of Node count it from the end of the previous request (nodejs/node#27363). 0 turns it off.
function headersTimeoutAbove(keepAlive: number, headersTimeout: number): number {
  return headersTimeout === 0 ? 0 : Math.max(headersTimeout, keepAlive + 1000);
}
