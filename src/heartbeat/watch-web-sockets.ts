import { isSet } from 'node:util/types';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type CloseReason, InvalidOptionError } from '../errors.ts';
import { callEach } from '../internal/listeners.ts';
import { type EngineServerLike, engineOf, type SocketServerLike } from '../internal/http/engine-io.ts';
import { type OptionNames, readInteger, readOptions } from '../internal/option.ts';
import { writtenBytes } from '../internal/health/ack-probe.ts';
import { EngineSockets } from './engine-sockets.ts';
import { requestPath } from '../internal/http/message.ts';
import type { WatchedWebSocket, WatchedWebSocketServer } from '../internal/http/web-socket.ts';
import {
  healthAdvice,
  healthNames,
  type HealthOptions,
  type ResolvedHealthOptions,
  resolveHealthOptions,
} from '../internal/health/options.ts';
import type { MonitoredConnection } from '../internal/health/connection.ts';
import { heard, written } from '../internal/health/policy/note.ts';
import {
  type ConnectionTransport,
  isUnread,
  QueueGauge,
  shortMove,
  type Transport,
} from '../internal/health/transport.ts';

/** What `watchWebSockets` can watch. */
type WebSocketsTarget = WatchedWebSocketServer | WatchedWebSocket | SocketServerLike | EngineServerLike;

/** Options of `watchWebSockets`. */
export interface WatchWebSocketsOptions extends HealthOptions {
  /** The most pings that may wait for their pong, 1 to 100. @defaultValue `3` */
  maxPendingPings?: number | undefined;
}

interface ResolvedWatchWebSocketsOptions extends ResolvedHealthOptions {
  readonly maxPendingPings: number;
}

/**
 * Watches the clients of a WebSocket server, or one WebSocket, by pings. Any frame is a sign of life, and a pong with
 * the bytes of its ping measures the round trip. A client that is given up gets the close code 1012, service restart.
 * Returns the undo, which closes nothing. Throws `InvalidOptionError`.
 */
export function watchWebSockets(target: WebSocketsTarget, given?: WatchWebSocketsOptions): () => void {
  const options = resolveWatchWebSocketsOptions(given);
  if (isServer(target)) return watchServer(target, options);
  const engine = engineOf(target);
  if (engine) return watchServer(new EngineSockets(engine), options);
  if (isWebSocket(target)) return watch(target, options, undefined);
  const expected =
    'a server of WebSockets that tracks its clients or a WebSocket, as those of `ws`, or a server of Socket.IO';
  throw new InvalidOptionError('watchWebSockets.target', expected, target);
}

const names: OptionNames<WatchWebSocketsOptions> = { ...healthNames, maxPendingPings: true };

function resolveWatchWebSocketsOptions(given: WatchWebSocketsOptions | undefined): ResolvedWatchWebSocketsOptions {
  const options = readOptions('watchWebSockets', given, names, { instead: healthAdvice });
  return {
    ...resolveHealthOptions('watchWebSockets', options),
    maxPendingPings: readInteger('watchWebSockets.maxPendingPings', options.maxPendingPings ?? 3, { min: 1, max: 100 }),
  };
}

function watchServer(server: WatchedWebSocketServer, options: ResolvedWatchWebSocketsOptions): () => void {
  const undos = new Map<WatchedWebSocket, () => void>();
  const watchClient = (client: WatchedWebSocket, req: IncomingMessage | undefined): void => {
    const unwatch = watch(client, options, req);
    const clientOnClose = (): void => void undos.delete(client);
    client.on('close', clientOnClose);
    undos.set(client, () => {
      client.off('close', clientOnClose);
      unwatch();
    });
  };
  const serverOnConnection = (client: WatchedWebSocket, req: IncomingMessage): void => {
    if (admit(client, req, options)) watchClient(client, req);
  };
  for (const client of server.clients) watchClient(client, undefined);
  server.on('connection', serverOnConnection);
  return () => {
    server.off('connection', serverOnConnection);
    callEach(
      undos.values(),
      (undo) => undo(),
      (error) => options.registry.fail(error),
    );
    undos.clear();
  };
}

/** Refuses a client if a limit is reached. @returns whether it may stay */
function admit(client: WatchedWebSocket, req: IncomingMessage, { registry }: ResolvedHealthOptions): boolean {
  const limit = registry.findLimit(req);
  if (!limit) return true;
  registry.counters.refused[limit] += 1;
  sendAway(client);
  return false;
}

/** Asks a client to try again later, and cuts it if it does not go. */
function sendAway(client: WatchedWebSocket): void {
  const timer = setTimeout(() => client.terminate(), shortMove).unref();
  client.on('close', () => clearTimeout(timer));
  client.close(1013, 'try again later');
}

const closed = 3;
const transports = new WeakMap<WatchedWebSocket, WebSocketTransport>();

function watch(
  client: WatchedWebSocket,
  options: ResolvedWatchWebSocketsOptions,
  req: IncomingMessage | undefined,
): () => void {
  // No event would report its end.
  if (client.readyState === closed) return () => undefined;
  const transport = transports.get(client) ?? new WebSocketTransport(client, options, req);
  transports.set(client, transport);
  return () => transport.release();
}

/** A WebSocket as the transport of a monitored connection. */
class WebSocketTransport implements ConnectionTransport {
  readonly transport: Transport = 'websocket';
  readonly answers: boolean = true;
  readonly quietBy = 'reads' as const;
  readonly label: string | undefined;
  readonly remoteAddress: string | undefined;
  readonly lookEvery: number;
  readonly #client: WatchedWebSocket;
  readonly #options: ResolvedWatchWebSocketsOptions;
  readonly #socket: Socket | undefined;
  readonly #gauge = new QueueGauge();
  readonly #connection: MonitoredConnection;
  readonly #uncount: () => void;
  /** The pings that wait for their pong, and when each was sent. The oldest first. */
  #pending: { readonly id: number; readonly at: number }[] = [];
  #lastId = 0;

  constructor(client: WatchedWebSocket, options: ResolvedWatchWebSocketsOptions, req: IncomingMessage | undefined) {
    this.#client = client;
    this.#options = options;
    // `ws` keeps the socket there while it is open.
    this.#socket = (client as { _socket?: Socket | null })._socket ?? undefined;
    this.remoteAddress = this.#socket?.remoteAddress;
    this.label = req && requestPath(req);
    this.lookEvery = options.maxBuffered === Infinity ? Infinity : 1000;
    this.#connection = options.registry.add(this, options, this.#socket);
    this.#uncount = options.registry.count(req, this.remoteAddress);
    for (const [event, listener] of listeners) client.on(event, listener);
  }

  received(): number | undefined {
    return this.#socket?.bytesRead;
  }

  queued(): number {
    return this.#client.bufferedAmount;
  }

  taken(): number {
    return this.#socket ? writtenBytes(this.#socket) : this.#gauge.look(this.queued());
  }

  given(): number {
    return this.taken() + this.queued();
  }

  isHeld(): boolean {
    return this.#socket !== undefined && isUnread(this.#socket);
  }

  ask(now: number): boolean {
    if (this.#client.readyState !== 1) return false;
    // The pings still wait for their pongs, while other frames were signs of life.
    if (this.#pending.length >= this.#options.maxPendingPings) return true;
    const id = (this.#lastId = (this.#lastId + 1) % 2 ** 32);
    this.#pending.push({ id, at: this.#options.registry.exactNow() });
    this.#client.ping(payloadOf(id));
    this.#options.registry.counters.heartbeats += 1;
    this.#connection.note(written, now);
    return true;
  }

  move(reason: CloseReason): void {
    // A reader that stopped reading would not read the close either.
    if (reason === 'slow-consumer') this.cut();
    else this.#client.close(1012, 'service restart');
  }

  moveTimeout(): number {
    return shortMove;
  }

  cut(): void {
    this.#client.terminate();
  }

  release(): void {
    this.#stop();
    this.#connection.release();
  }

  noteFrame(): void {
    this.#connection.note(heard, this.#options.registry.now());
  }

  /**
   * RFC 6455 5.5.3: a pong has the bytes of the most recent ping, and answers those before it too. A pong that was not
   * asked for is a sign of life only.
   */
  notePong(data: Uint8Array): void {
    const { registry } = this.#options;
    const index = this.#pending.findIndex(({ id }) => isPayloadOf(id, data));
    const answered = this.#pending[index];
    if (answered) this.#pending = this.#pending.slice(index + 1);
    this.#connection.note(
      answered ? { kind: 'answered', roundTrip: registry.exactNow() - answered.at } : heard,
      registry.now(),
    );
  }

  noteClosed(): void {
    this.#stop();
    this.#connection.noteClosed('client-closed');
  }

  #stop(): void {
    this.#uncount();
    transports.delete(this.#client);
    for (const [event, listener] of listeners) this.#client.off(event, listener);
  }
}

type Listener = (this: WatchedWebSocket, ...args: never[]) => void;

const listeners: readonly (readonly [event: string, listener: Listener])[] = [
  ['message', clientOnFrame],
  ['ping', clientOnFrame],
  ['pong', clientOnPong],
  ['close', clientOnClose],
];

function clientOnFrame(this: WatchedWebSocket): void {
  transports.get(this)?.noteFrame();
}

function clientOnPong(this: WatchedWebSocket, data: Uint8Array): void {
  transports.get(this)?.notePong(data);
}

function clientOnClose(this: WatchedWebSocket): void {
  transports.get(this)?.noteClosed();
}

function payloadOf(id: number): Uint8Array {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(id);
  return payload;
}

function isPayloadOf(id: number, data: Uint8Array): boolean {
  return data.length === 4 && new DataView(data.buffer, data.byteOffset, 4).getUint32(0) === id;
}

function isServer(value: unknown): value is WatchedWebSocketServer {
  return (
    typeof value === 'object' &&
    value !== null &&
    isSet((value as { clients?: unknown }).clients) &&
    typeof (value as { on?: unknown }).on === 'function'
  );
}

function isWebSocket(value: unknown): value is WatchedWebSocket {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { ping?: unknown }).ping === 'function' &&
    typeof (value as { terminate?: unknown }).terminate === 'function'
  );
}
