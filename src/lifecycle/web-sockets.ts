import { callEach } from '../internal/listeners.ts';
import type { DrainPart, DrainHost, CloseTask } from './drain-part.ts';
import { isLeaving } from './policy/phase.ts';
import type { SocketServer, WebSocketLike } from './socket-servers.ts';

const closing = 2;

/** The clients of one WebSocket server. */
export class WebSockets implements DrainPart {
  readonly carries: boolean = false;
  readonly #host: DrainHost;
  readonly #server: SocketServer;
  readonly #code: number;
  /** What the drain did about each client. */
  readonly #outcomes = new Map<WebSocketLike, 'here' | 'leaving' | 'told'>();
  #accepts = true;
  readonly #unwatch: () => void;

  constructor(host: DrainHost, server: SocketServer, code: number) {
    this.#host = host;
    this.#server = server;
    this.#code = code;
    this.#unwatch = server.onConnection((client) => this.#take(client));
    if (host.phase !== 'active') this.announce();
  }

  get isEmpty(): boolean {
    return this.#server.clients.size === 0;
  }

  announce(): void {
    this.#callEach(this.#server.clients, (client) => this.#watch(client));
  }

  leave(): readonly CloseTask[] {
    const accepted = this.#accepts;
    this.#accepts = false;
    if (accepted) this.#callEach([this.#server], (server) => server.stop());
    const waiting = [...this.#outcomes].filter(([, outcome]) => outcome === 'here').map(([client]) => client);
    for (const client of waiting) this.#outcomes.set(client, 'leaving');
    return waiting.map((client) => () => this.#askToReconnect(client));
  }

  cut(): void {
    this.#callEach(this.#server.clients, (client) => {
      this.#host.counters.add('cut', 'webSockets');
      this.#outcomes.delete(client);
      client.terminate();
    });
  }

  #callEach<T>(items: Iterable<T>, call: (item: T) => void): void {
    callEach(items, call, (error) => this.#host.fail(error));
  }

  release(): void {
    this.#unwatch();
  }

  #take(client: WebSocketLike): void {
    if (this.#host.phase === 'active') return;
    this.#watch(client);
    if (isLeaving(this.#host.phase)) this.#askToReconnect(client);
  }

  #watch(client: WebSocketLike): void {
    if (this.#outcomes.has(client)) return;
    this.#outcomes.set(client, 'here');
    client.on('close', () => this.#forget(client));
  }

  #askToReconnect(client: WebSocketLike): void {
    // It closes by itself.
    if ((client.readyState ?? 0) >= closing) return;
    this.#outcomes.set(client, 'told');
    this.#callEach([client], () => client.close(this.#code, 'service restart'));
  }

  #forget(client: WebSocketLike): void {
    const outcome = this.#outcomes.get(client);
    if (!this.#outcomes.delete(client)) return;
    if (outcome === 'told') this.#host.counters.add('told', 'webSockets');
    else this.#host.counters.add('finished', 'webSockets');
    this.#host.settleSoon();
  }
}
