import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { onTestFinished } from 'vitest';
import type { HttpRequest } from '../../src/index.ts';
import { allCarriers, type Carrier, type Middleware } from '../support/carriers.ts';

/** Whether an application's own store is set before the middlewares of the library, or by one behind them. */
export type Mount = 'before' | 'behind';

/** Where a request is served. */
export interface Place {
  readonly carrier: string;
  readonly protocol: 'http1' | 'http2';
  readonly mount: Mount;
}

/** Places of all kinds, each with what serves there. */
export const places: readonly (Place & { readonly make: Carrier })[] = [
  placeOf('Express 5', 'before'),
  placeOf('Express 4', 'behind'),
  placeOf('node:http', 'before'),
  placeOf('node:http', 'behind'),
  placeOf('node:http2', 'before'),
  placeOf('node:http2', 'behind'),
];

/** Enough of them for what waits for clocks. */
export const fewPlaces: typeof places = [
  placeOf('Express 5', 'before'),
  placeOf('Express 4', 'behind'),
  placeOf('node:http2', 'before'),
];

function placeOf(carrier: string, mount: Mount): Place & { readonly make: Carrier } {
  const make = allCarriers.find(({ name }) => name === carrier);
  if (!make) throw new Error(`There is no carrier ${carrier}`);
  return { carrier, protocol: make.protocol, mount, make };
}

/** Whose store code finds: that of the request it belongs to, or none. */
type Sight = 'own' | 'none';

/** What is right for one callback. `because`: why it is no request's. */
export interface Row {
  readonly sees: Sight | ((place: Place) => Sight);
  readonly because?: string;
  /** Node emits it over this protocol only. */
  readonly only?: Place['protocol'];
}

/** Of a request that the store is set for behind the middleware that calls: the call is older than the store. */
export const whereSetBefore = ({ mount }: Place): Sight => (mount === 'before' ? 'own' : 'none');

/** Node emits some events of an HTTP/2 response in the context of its session, also without any middleware. */
export const overHttp1 = ({ protocol }: Place): Sight => (protocol === 'http1' ? 'own' : 'none');

function nameOf(owner: string | undefined): string {
  return owner ?? 'none';
}

/** And others where it has none over HTTP/1.1. */
export const overHttp2 = ({ protocol }: Place): Sight => (protocol === 'http2' ? 'own' : 'none');

interface Sighting {
  readonly callback: string;
  /** The request that the callback belongs to. */
  readonly owner: string;
  /** Whose store it found. */
  readonly saw: string | undefined;
}

const ownerField = 'x-owner';
const stores = new AsyncLocalStorage<{ readonly owner: string }>();

/** The name by which a client has sent a request. */
export function ownerOf(req: HttpRequest): string {
  return String(req.headers[ownerField]);
}

/** The field that names a request. */
export function named(owner: string): Record<string, string> {
  return { [ownerField]: owner };
}

/** Gives each request its store, as applications do for their logs. */
export const withStore: Middleware = (req, _res, next) => {
  stores.run({ owner: ownerOf(req) }, next);
};

/** Middlewares of the library, and what sets the stores. */
export function mounted(mount: Mount, ...ours: Middleware[]): Middleware[] {
  return mount === 'before' ? [withStore, ...ours] : [...ours, withStore];
}

/** Whose store is found here. */
export function storeHere(): string | undefined {
  return stores.getStore()?.owner;
}

/** Notes whose store callbacks find, and compares that with a table. */
export class Witness {
  readonly #rows: Readonly<Record<string, Row>>;
  readonly #sightings: Sighting[] = [];

  constructor(rows: Readonly<Record<string, Row>>) {
    this.#rows = rows;
  }

  /** Notes whose store is found here, in a callback of `owner`. */
  see(callback: string, owner: string, saw: string | undefined = storeHere()): void {
    if (!(callback in this.#rows)) throw new Error(`The table has no row ${callback}`);
    this.#sightings.push({ callback, owner, saw });
  }

  /** A listener or callback that notes whose store it finds. */
  watch(callback: string, owner: string): () => void {
    return () => this.see(callback, owner);
  }

  /** How often a callback was called. */
  count(callback: string, owner?: string): number {
    return this.#sightings.filter((each) => each.callback === callback && (owner === undefined || each.owner === owner))
      .length;
  }

  /** Follows the messages of a channel that name their request, as long as the test runs. */
  follow(channel: string, isMine: (owner: string) => boolean): void {
    const listener = (message: unknown): void => {
      const { req } = message as { readonly req?: HttpRequest };
      if (req && isMine(ownerOf(req))) this.see(channel, ownerOf(req));
    };
    subscribe(channel, listener);
    onTestFinished(() => void unsubscribe(channel, listener));
  }

  /** What was not as the table has it, by callback and situation, with an example of each; empty when all is well. */
  faults(place: Place): string[] {
    const faults = new Map<string, string[]>();
    for (const { callback, owner, saw } of this.#sightings) {
      const { sees } = this.#rows[callback] as Row;
      const expected = (typeof sees === 'function' ? sees(place) : sees) === 'own' ? owner : undefined;
      if (saw === expected) continue;
      const where = `${callback}, ${owner.replace(/ \d+$/, '')}`;
      const examples = faults.get(where) ?? [];
      faults.set(where, [...examples, `of ${nameOf(owner)}: the store of ${nameOf(saw)}, not of ${nameOf(expected)}`]);
    }
    return [...faults].map(([where, examples]) => `${where}: ${examples.length} times, one ${examples[0]}`);
  }

  /** Rows of which nothing was seen. */
  unseen({ protocol }: Place): string[] {
    const due = Object.entries(this.#rows).filter(([, { only }]) => only === undefined || only === protocol);
    return due.map(([callback]) => callback).filter((callback) => this.count(callback) === 0);
  }
}

/** Follows the messages of a channel that belong to no request. */
export function followUnowned(witness: Witness, channel: string): void {
  const listener = witness.watch(channel, 'nobody');
  subscribe(channel, listener);
  onTestFinished(() => void unsubscribe(channel, listener));
}
