import { isSet } from 'node:util/types';
import type { EngineServer, EngineSession } from '../internal/http/engine-io.ts';

/** A WebSocket of the server's side, as those of `ws`. */
export interface WebSocketLike {
  /** 2 and 3: closing, closed. */
  readonly readyState?: number;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(event: 'close', listener: () => void): unknown;
}

/** A server of WebSockets, as that of `ws`: known by its `clients`. */
export interface WebSocketServerLike {
  readonly clients: Set<WebSocketLike>;
  on(event: 'connection', listener: (client: WebSocketLike) => void): unknown;
  off(event: 'connection', listener: (client: WebSocketLike) => void): unknown;
  /** Takes in no new ones. */
  close(): void;
}

/** What a drain needs of a server of WebSockets. */
export interface SocketServer {
  readonly clients: ReadonlySet<WebSocketLike>;
  /** Returns its undo. */
  onConnection(listener: (client: WebSocketLike) => void): () => void;
  /** Takes in no new ones, where it can. */
  stop(): void;
}

/** A server of `ws`. */
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

/** A server of Engine.IO. It cannot stop alone: what still comes is sent away. */
export function fromEngine(engine: EngineServer): SocketServer {
  const clients = new Set<WebSocketLike>();
  const take = (session: EngineSession): WebSocketLike => {
    const client = new EngineClient(session);
    clients.add(client);
    // Before anything else hears of it: then it is gone.
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
 * A session of Engine.IO as a WebSocket. What `socket.disconnect()` of Socket.IO closes stays away; what is closed here
 * comes back.
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
    // Between two polls there is nothing to be answered, and Engine.IO would wait for one for 30 s.
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

/** Whether something is a server of WebSockets. */
export function isWebSocketServer(value: unknown): value is WebSocketServerLike {
  if (typeof value !== 'object' || value === null) return false;
  const { clients, on } = value as { clients?: unknown; on?: unknown };
  return isSet(clients) && typeof on === 'function';
}
