import type { IncomingMessage } from 'node:http';

/** A WebSocket of the server's side, as those of `ws`. */
export interface WatchedWebSocket {
  /** 1: open; 3: closed. */
  readonly readyState: number;
  /** Bytes that wait to be sent. */
  readonly bufferedAmount: number;
  ping(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}

/** A server of WebSockets, as that of `ws`: known by its `clients`. */
export interface WatchedWebSocketServer {
  readonly clients: Set<WatchedWebSocket>;
  on(event: 'connection', listener: (client: WatchedWebSocket, req: IncomingMessage) => void): unknown;
  off(event: 'connection', listener: (client: WatchedWebSocket, req: IncomingMessage) => void): unknown;
}
