import type { ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';

/** The parts of a server of `node:http` that Node's own code looks at. Neither is documented. */
interface HttpServerParts {
  httpAllowHalfOpen?: boolean;
  closeIdleConnections?: () => void;
}

/**
 * What a response shows between the `end` of its handler and the end of its body, while layers still encode: `finished`
 * is true, as without the layers. Node's own code must not take it for over meanwhile. It looks at five places:
 *
 *     res.write, res.end   called by the bottom layer only, which says so     (isNodeAtWork)
 *     'drain' of a socket  is passed on to a response that is not finished    (around)
 *     'end' of a socket    ends a connection whose client sends no more       (around): after the response instead
 *     closeIdleConnections closes connections whose response is finished      (shield)
 *     'socket' of a response that gets its turn: what is finished is done      (forgeFinished)
 */
const ending = new WeakMap<Socket, Set<ServerResponse>>();

/** How many functions of Node run now that must see a response as it is. */
let nodeLooks = 0;

/**
 * Makes a response look ended. HTTP/1.1 only: over HTTP/2 `finished` is a getter of the prototype.
 * @param isNodeAtWork - whether Node's own methods of the response run
 * @returns the undo, which may be called more than once
 */
export function lookEnded(res: ServerResponse, isNodeAtWork: () => boolean): () => void {
  const socket = res.socket ?? (res.req as ServerResponse['req'] | undefined)?.socket;
  const leave = socket && join(socket, res);
  const restore = forgeFinished(res, isNodeAtWork);
  return () => {
    leave?.();
    restore();
  };
}

function forgeFinished(res: ServerResponse, isNodeAtWork: () => boolean): () => void {
  let real: unknown = false;
  let isForged = true;
  let isAssigned = false;
  // Without a socket it waits for its turn. When that comes Node finishes, at once, what is finished.
  const responseOnSocket = res.socket
    ? undefined
    : (): void => {
        isAssigned = true;
        process.nextTick(() => (isAssigned = false));
      };
  if (responseOnSocket) res.once('socket', responseOnSocket);
  Object.defineProperty(res, 'finished', {
    configurable: true,
    enumerable: true,
    get: () => (nodeLooks > 0 || isAssigned || isNodeAtWork() ? real : true),
    set: (value: unknown) => (real = value),
  });
  return () => {
    if (responseOnSocket) res.off('socket', responseOnSocket);
    if (isForged)
      Object.defineProperty(res, 'finished', { configurable: true, enumerable: true, writable: true, value: real });
    isForged = false;
  };
}

/** One pair of listeners for all responses of a connection: a client may pipeline as many requests as it likes. */
function join(socket: Socket, res: ServerResponse): () => void {
  let responses = ending.get(socket);
  if (!responses) {
    responses = new Set();
    ending.set(socket, responses);
    shieldFromIdleClose(serverOf(socket));
    around(socket, 'drain', socketBeforeDrain, socketAfterDrain);
    around(socket, 'end', socketBeforeEnd, socketAfterEnd);
    halfOpen.set(socket, socket.allowHalfOpen);
    socket.allowHalfOpen = true;
  }
  responses.add(res);
  return () => {
    if (!responses.delete(res) || responses.size > 0) return;
    ending.delete(socket);
    // After its 'end' it is what decides when the connection is closed.
    if (!socket.readableEnded) socket.allowHalfOpen = halfOpen.get(socket) ?? false;
    socket.off('drain', socketBeforeDrain).off('drain', socketAfterDrain);
    socket.off('end', socketBeforeEnd).off('end', socketAfterEnd);
  };
}

function around(socket: Socket, event: 'drain' | 'end', before: () => void, after: () => void): void {
  socket.prependListener(event, before).on(event, after);
}

function socketBeforeDrain(): void {
  nodeLooks += 1;
}

function socketAfterDrain(): void {
  nodeLooks -= 1;
}

// Node ends the connection when the client has sent its FIN, unless the server says that half-open connections are
// fine: then it ends it after the last response. Without the layers this body would be with the socket already, and be
// sent.
const halfOpenBefore = new WeakMap<Socket, boolean | undefined>();

// Streams over TLS end by themselves when their other side has, unless they may be half-open.
const halfOpen = new WeakMap<Socket, boolean>();

function socketBeforeEnd(this: Socket): void {
  const server = serverOf(this);
  if (!server) return;
  halfOpenBefore.set(this, server.httpAllowHalfOpen);
  server.httpAllowHalfOpen = true;
}

function socketAfterEnd(this: Socket): void {
  const server = serverOf(this);
  if (server && halfOpenBefore.has(this)) server.httpAllowHalfOpen = halfOpenBefore.get(this) ?? false;
  halfOpenBefore.delete(this);
}

function serverOf(socket: Socket): (Server & HttpServerParts) | undefined {
  return (socket as { server?: Server & HttpServerParts }).server;
}

const shielded = new WeakSet<Server>();

/** `server.close()` calls it too. */
function shieldFromIdleClose(server: (Server & HttpServerParts) | undefined): void {
  const { closeIdleConnections: close } = server ?? {};
  if (!server || !close || shielded.has(server)) return;
  shielded.add(server);
  server.closeIdleConnections = function closeIdleConnections() {
    nodeLooks += 1;
    try {
      close.call(this);
    } finally {
      nodeLooks -= 1;
    }
  };
}
