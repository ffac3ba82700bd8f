import type { IncomingMessage } from 'node:http';
import type { EngineServer, EngineSession, EngineTransport } from '../internal/http/engine-io.ts';
import type { WatchedWebSocket, WatchedWebSocketServer } from '../internal/http/web-socket.ts';

type Listener = (client: WatchedWebSocket, req: IncomingMessage) => void;

/**
 * The WebSockets of an Engine.IO server, as those of a `ws` server. A session has one from its beginning, or after its
 * upgrade. A session that polls has none, and Engine.IO ends it itself.
 */
export class EngineSockets implements WatchedWebSocketServer {
  readonly #engine: EngineServer;
  readonly #undos = new Map<Listener, () => void>();

  constructor(engine: EngineServer) {
    this.#engine = engine;
  }

  get clients(): Set<WatchedWebSocket> {
    return new Set(Object.values(this.#engine.clients).flatMap(({ transport }) => socketOf(transport) ?? []));
  }

  on(_event: 'connection', listener: Listener): void {
    let isOff = false;
    const announce = (session: EngineSession, transport: EngineTransport): void => {
      const socket = socketOf(transport);
      if (socket && !isOff) listener(socket, session.request);
    };
    const awaitUpgrade = (session: EngineSession): void => {
      session.on('upgrade', (transport: EngineTransport) => announce(session, transport));
    };
    const engineOnConnection = (session: EngineSession): void => {
      announce(session, session.transport);
      awaitUpgrade(session);
    };
    this.#engine.on('connection', engineOnConnection);
    for (const session of Object.values(this.#engine.clients)) awaitUpgrade(session);
    this.#undos.set(listener, () => {
      isOff = true;
      this.#engine.off('connection', engineOnConnection);
    });
  }

  off(_event: 'connection', listener: Listener): void {
    this.#undos.get(listener)?.();
  }
}

/** The WebSocket of a transport: that of `ws`, or one with the same methods. */
function socketOf({ socket }: EngineTransport): WatchedWebSocket | undefined {
  const { ping, terminate } = (socket ?? {}) as Partial<WatchedWebSocket>;
  return typeof ping === 'function' && typeof terminate === 'function' ? (socket as WatchedWebSocket) : undefined;
}
