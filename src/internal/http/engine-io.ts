import type { IncomingMessage } from 'node:http';

/** A server of Engine.IO, which is what Socket.IO stands on: `io.engine`. */
export interface EngineServerLike {
  /** How many clients are connected. */
  readonly clientsCount: number;
  /** Adds a listener. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Removes a listener. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** A server of Socket.IO. */
export interface SocketServerLike {
  /** The server of Engine.IO that it stands on. */
  readonly engine: EngineServerLike;
}

/** How a session of Engine.IO is connected at the moment. */
export interface EngineTransport {
  readonly name: string;
  /** Whether something can be sent now: over long polling, whether a request is there to be answered. */
  readonly writable: boolean;
  /** Of the transport `websocket`: that of `ws`. */
  readonly socket?: unknown;
}

/** A session of Engine.IO: one client, over WebSocket or long polling. */
export interface EngineSession {
  readonly readyState: string;
  readonly transport: EngineTransport;
  readonly request: IncomingMessage;
  close(discard?: boolean): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}

/** A server of Engine.IO, with what its types call protected. */
export interface EngineServer extends EngineServerLike {
  readonly clients: Readonly<Record<string, EngineSession>>;
}

/** The server of Engine.IO that something is, or stands on. */
export function engineOf(value: unknown): EngineServer | undefined {
  return [value, (value as Partial<SocketServerLike> | null | undefined)?.engine].find(isEngine);
}

function isEngine(value: unknown): value is EngineServer {
  const { clients, clientsCount, on } = (value ?? {}) as Partial<EngineServer>;
  return typeof clients === 'object' && typeof clientsCount === 'number' && typeof on === 'function';
}
