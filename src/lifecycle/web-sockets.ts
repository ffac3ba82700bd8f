import { callEach } from '../internal/listeners.ts';
import type { Drainable, DrainSite, Farewell } from './drainable.ts';
import { isLeaving } from './policy/phase.ts';
import type { SocketServer, WebSocketLike } from './socket-servers.ts';

const closing = 2;

/** The clients of one server of WebSockets. */
export class WebSockets implements Drainable {
  readonly carries: boolean = false;
  readonly #site: DrainSite;
  readonly #server: SocketServer;
  readonly #code: number;
  /** What was done about a client, from the begin of the drain. */
  readonly #fates = new Map<WebSocketLike, 'here' | 'leaving' | 'told'>();
  #accepts = true;
  readonly #unwatch: () => void;

  constructor(site: DrainSite, server: SocketServer, code: number) {
    this.#site = site;
    this.#server = server;
    this.#code = code;
    this.#unwatch = server.onConnection((client) => this.#take(client));
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
    if (accepted) this.#callEach([this.#server], (server) => server.stop());
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
    this.#unwatch();
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
