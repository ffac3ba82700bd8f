import { createServer, type IncomingMessage } from 'node:http';
import type { Server, Socket } from 'node:net';

/** What Node keeps on a socket of HTTP/1. Not documented; test/upstream looks whether it is still so. */
interface HttpSocket extends Socket {
  /** As long as Node reads requests from the socket: not over HTTP/2, nor once it was upgraded. */
  readonly parser?: { readonly incoming?: IncomingMessage | null } | null;
  /** The response whose turn it is; of several that are pipelined the first. */
  readonly _httpMessage?: object | null;
}

/**
 * Whether a connection carries nothing: no response is under way, no request body, and all that was sent is with the
 * kernel. One that has sent nothing yet, or half the head of a request, carries nothing either.
 *
 * Node's own `closeIdleConnections` does not ask about the kernel: it cuts a response that was ended and is not sent
 * yet. And a connection that waits for the rest of a head is not idle to it, so that half a head would keep a drain (Go
 * closes such connections, net/http `StateNew`).
 */
export function isIdle(socket: Socket): boolean {
  const { parser, _httpMessage: response } = socket as HttpSocket;
  // A Node that keeps it elsewhere: better late than cut.
  if (!parser) return false;
  return !response && parser.incoming?.complete !== false && socket.writableLength === 0;
}

/**
 * `server.close()` without what it does to connections. It calls `closeIdleConnections`, of `node:http` since Node 19.
 * @param onClosed - called when the last connection is gone
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

/** The clocks of a server that speaks HTTP/1. */
interface Clocks {
  keepAliveTimeout: number;
  headersTimeout: number;
}

/**
 * Lengthens the keep-alive of a server that still has Node's default. Returns the undo, which leaves alone what
 * somebody changed since.
 */
export function lengthenKeepAlive(server: Server, keepAlive: number): () => void {
  const clocks = server as Server & Partial<Clocks>;
  const before = { keepAliveTimeout: clocks.keepAliveTimeout, headersTimeout: clocks.headersTimeout };
  // A server of HTTP/2 alone has none of this.
  if (before.keepAliveTimeout === undefined || before.keepAliveTimeout !== createServer().keepAliveTimeout)
    return () => undefined;
  const after: Clocks = {
    keepAliveTimeout: keepAlive,
    headersTimeout: headersTimeoutAbove(keepAlive, before.headersTimeout ?? 0),
  };
  Object.assign(clocks, after);
  return () => {
    if (clocks.keepAliveTimeout === after.keepAliveTimeout && clocks.headersTimeout === after.headersTimeout)
      Object.assign(clocks, before);
  };
}

// Some versions of Node count it from the end of the request before (nodejs/node#27363). 0 is none.
function headersTimeoutAbove(keepAlive: number, headersTimeout: number): number {
  return headersTimeout === 0 ? 0 : Math.max(headersTimeout, keepAlive + 1000);
}
