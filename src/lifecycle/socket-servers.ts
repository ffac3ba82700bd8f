import { isSet } from 'node:util/types';
import type { EngineServer, EngineSession } from '../internal/http/engine-io.ts';

/** A server-side WebSocket, such as those of `ws`. */
export interface WebSocketLike {
  /** 2: closing. 3: closed. */
  readonly readyState?: number;
  /** Begins the closing handshake. */
  close(code?: number, reason?: string): void;
  /** Cuts the connection. */
  terminate(): void;
  /** Adds a listener of the close. */
  on(event: 'close', listener: () => void): unknown;
}

/** A WebSocket server, such as that of `ws`: recognised by its `clients`. */
export interface WebSocketServerLike {
  /** The open WebSockets. */
  readonly clients: Set<WebSocketLike>;
  /** Adds a listener of new WebSockets. */
  on(event: 'connection', listener: (client: WebSocketLike) => void): unknown;
  /** Removes it. */
  off(event: 'connection', listener: (client: WebSocketLike) => void): unknown;
  /** Takes no new clients. */
  close(): void;
}

/** What a drain needs of a WebSocket server. */
export interface SocketServer {
  readonly clients: ReadonlySet<WebSocketLike>;
  /** Returns its undo. */
  onConnection(listener: (client: WebSocketLike) => void): () => void;
  /** Takes no new clients, if it can. */
  stop(): void;
}

/** Adapts a server of `ws`. */
export function fromWebSocketServer(server: WebSocketServerLike): SocketServer {
  return {
    clients: server.clients,
    onConnection(listener) {
      server.on('connection', listener);
      return () => void server.off('connection', listener);
    },
    stop: () => server.close(),
  };
}

/** Adapts an Engine.IO server. It cannot stop alone: the drain asks new clients to reconnect. */
export function fromEngine(engine: EngineServer): SocketServer {
  const clients = new Set<WebSocketLike>();
  const take = (session: EngineSession): WebSocketLike => {
    const client = new EngineClient(session);
    clients.add(client);
    // First in line: other listeners must find it gone.
    client.on('close', () => clients.delete(client));
    return client;
  };
  for (const session of Object.values(engine.clients)) take(session);
  return {
    clients,
    onConnection(listener) {
      const engineOnConnection = (session: EngineSession): void => listener(take(session));
      engine.on('connection', engineOnConnection);
      return () => void engine.off('connection', engineOnConnection);
    },
    stop: () => undefined,
  };
}

const closing = 2;

/**
 * An Engine.IO session as a WebSocket. A client that Socket.IO's `socket.disconnect()` closes stays away; one closed
 * here reconnects.
 */
class EngineClient implements WebSocketLike {
  readonly #session: EngineSession;

  constructor(session: EngineSession) {
    this.#session = session;
  }

  get readyState(): number {
    const { readyState } = this.#session;
    return readyState === 'closing' || readyState === 'closed' ? closing : 1;
  }

  close(): void {
    const { transport } = this.#session;
    // Between two polls there is no request to answer, and Engine.IO would wait 30 s for one.
    this.#session.close(transport.name === 'polling' && !transport.writable);
  }

  terminate(): void {
    this.#session.close(true);
    (this.#session.transport.socket as Partial<WebSocketLike> | undefined)?.terminate?.();
  }

  on(event: 'close', listener: () => void): void {
    this.#session.on(event, listener);
  }
}

/** Whether a value is a WebSocket server. */
export function isWebSocketServer(value: unknown): value is WebSocketServerLike {
  if (typeof value !== 'object' || value === null) return false;
  const { clients, on } = value as { clients?: unknown; on?: unknown };
  return isSet(clients) && typeof on === 'function';
}
