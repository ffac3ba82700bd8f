import { isSet } from 'node:util/types';
import { callEach } from '../internal/call-each.ts';
import type { Drainable, DrainSite, Farewell } from './drainable.ts';
import { isLeaving } from './phase.ts';

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

const closing = 2;

/** The clients of one server of WebSockets. */
export class WebSockets implements Drainable {
  readonly carries: boolean = false;
  readonly #site: DrainSite;
  readonly #server: WebSocketServerLike;
  readonly #code: number;
  /** What was done about a client, from the begin of the drain. */
  readonly #fates = new Map<WebSocketLike, 'here' | 'leaving' | 'told'>();
  #accepts = true;
  readonly #serverOnConnection = (client: WebSocketLike): void => this.#take(client);

  constructor(site: DrainSite, server: WebSocketServerLike, code: number) {
    this.#site = site;
    this.#server = server;
    this.#code = code;
    server.on('connection', this.#serverOnConnection);
    if (site.phase !== 'active') this.announce();
  }

  get isEmpty(): boolean {
    return this.#server.clients.size === 0;
  }

  announce(): void {
    this.#callEach(this.#server.clients, (client) => this.#watch(client));
  }

  leave(): readonly Farewell[] {
    const accepted = this.#accepts;
    this.#accepts = false;
    if (accepted) this.#callEach([this.#server], (server) => server.close());
    const waiting = [...this.#fates].filter(([, fate]) => fate === 'here').map(([client]) => client);
    for (const client of waiting) this.#fates.set(client, 'leaving');
    return waiting.map((client) => () => this.#sendAway(client));
  }

  tidy(): void {
    // None of them idles: they are open until they close.
  }

  cut(): void {
    this.#callEach(this.#server.clients, (client) => {
      this.#site.tally.cut('webSockets');
      this.#fates.delete(client);
      client.terminate();
    });
  }

  #callEach<T>(items: Iterable<T>, call: (item: T) => void): void {
    callEach(items, call, (error) => this.#site.fail(error));
  }

  release(): void {
    this.#server.off('connection', this.#serverOnConnection);
  }

  #take(client: WebSocketLike): void {
    if (this.#site.phase === 'active') return;
    this.#watch(client);
    if (isLeaving(this.#site.phase)) this.#sendAway(client);
  }

  #watch(client: WebSocketLike): void {
    if (this.#fates.has(client)) return;
    this.#fates.set(client, 'here');
    client.on('close', () => this.#forget(client));
  }

  #sendAway(client: WebSocketLike): void {
    // It leaves by itself.
    if ((client.readyState ?? 0) >= closing) return;
    this.#fates.set(client, 'told');
    this.#callEach([client], () => client.close(this.#code, 'service restart'));
  }

  #forget(client: WebSocketLike): void {
    const fate = this.#fates.get(client);
    if (!this.#fates.delete(client)) return;
    if (fate === 'told') this.#site.tally.told('webSockets');
    else this.#site.tally.finished('webSockets');
    this.#site.settleSoon();
  }
}

/** Whether something is a server of WebSockets. */
export function isWebSocketServer(value: unknown): value is WebSocketServerLike {
  return typeof value === 'object' && value !== null && isSet((value as { clients?: unknown }).clients) && typeof (value as { on?: unknown }).on === 'function';
}
