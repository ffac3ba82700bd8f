import type { Duplex } from 'node:stream';
import type { ProxyError } from '../../errors.ts';
import { mediaTypeOf } from '../../internal/http/accept.ts';
import { readBodyCoding } from '../../internal/http/body-rules.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import type { HeaderList } from '../../internal/http/header-list.ts';
import type { HttpRequest } from '../../internal/http/message.ts';
import { Roster, type RosterEntry } from '../../internal/roster.ts';
import { TimingWheel } from '../../internal/time/timing-wheel.ts';
import { proxyErrors, tellUnreadable } from '../events.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import { RetryBudget } from '../policy/retry-budget.ts';
import { EventTap } from './tap.ts';
import { Upstreams } from '../upstream/upstream.ts';

/** A request that is under way. */
export interface Underway {
  failed(error: ProxyError): void;
}

/** What all requests of one proxy share. */
export class ProxyState {
  readonly options: ResolvedProxyOptions;
  readonly upstreams: Upstreams;
  readonly budget: RetryBudget;
  readonly wheel: TimingWheel = new TimingWheel((error) => proxyErrors.report({ error, req: undefined }));
  readonly random: () => number = Math.random;
  readonly #exchanges = new Roster<Underway>();
  /** The upstreams' side of connections that have switched protocols. undici knows them no more. */
  readonly #tunnels = new Roster<Duplex>();
  /** Answers that are read on without a client. */
  #readOns = 0;

  constructor(options: ResolvedProxyOptions) {
    this.options = options;
    this.upstreams = new Upstreams(options, this.wheel);
    this.budget = new RetryBudget(options.retry.budget, options.retry.minBudget);
  }

  /** Breaks off what is under way, and closes all connections. */
  async close(reason: ProxyError): Promise<void> {
    for (const exchange of this.#exchanges) exchange.failed(reason);
    for (const socket of this.#tunnels) socket.destroy();
    await this.upstreams.close(reason);
    this.wheel.close();
  }

  /** Notes a request. Returns what `ended` is to be given. */
  began(exchange: Underway): RosterEntry<Underway> {
    this.budget.begin();
    return this.#exchanges.add(exchange);
  }

  ended(entry: RosterEntry<Underway>): void {
    if (this.#exchanges.remove(entry)) this.budget.end();
  }

  /** Notes a connection to an upstream that has switched protocols, until it closes. */
  switched(socket: Duplex): void {
    const entry = this.#tunnels.add(socket);
    socket.once('close', () => this.#tunnels.remove(entry));
  }

  /** Takes a place to read an answer on whose client has left; `false`: there is none. */
  takeReadOn(): boolean {
    if (this.#readOns >= (this.options.drain?.concurrent ?? 0)) return false;
    this.#readOns += 1;
    return true;
  }

  giveBackReadOn(): void {
    this.#readOns -= 1;
  }

  get maxReadOn(): number {
    return this.options.drain?.maxBytes ?? 0;
  }

  get readOnTimeout(): number {
    return this.options.drain?.timeout ?? 0;
  }

  /** Opens the tap for an answer, if there is one and the answer is an event stream that can be read. */
  openTap(headers: HeaderList, req: HttpRequest): EventTap | undefined {
    const { tap } = this.options;
    if (!tap || mediaTypeOf(headers.get('content-type') ?? undefined) !== 'text/event-stream') return undefined;
    if (readBodyCoding(headers.get('content-encoding') ?? undefined) === 'encoded') {
      tellUnreadable(req);
      return undefined;
    }
    return new EventTap((event) => {
      try {
        tap(event, req as RoutedRequest);
      } catch (error) {
        proxyErrors.report({ error, req });
      }
    });
  }
}
