import { ChannelClosedError, type CloseReason, InvalidOptionError } from '../../errors.ts';
import { watched } from '../../internal/deferred.ts';
import type { Hook, RoutedRequest } from '../../internal/http/framework.ts';
import { Listeners } from '../../internal/listeners.ts';
import { readFunction, readOneOf, requireFunction } from '../../internal/option.ts';
import type { StreamMiddleware } from '../../internal/writer/handler.ts';
import type { RefusalOptions } from '../../internal/writer/refusal.ts';
import type { AnyEvents } from '../../sse/event-map.ts';
import type { Channel, LocalChannel } from '../channel.ts';
import { type Publishable, toEntry } from '../delivery/event.ts';
import { settled, type Steps } from '../delivery/steps.ts';
import { reportChannelError } from '../events.ts';
import { type PublishOptions, readPublishOptions } from '../options.ts';
import { type Entrant, makeSubscribe, type SubscribeHost } from '../subscribe.ts';
import {
  type Authorization,
  type ResolvedSubscribeOptions,
  resolveSubscribeOptions,
  type SubscribeOptions,
} from '../subscribe-options.ts';
import type { ChannelStream } from '../subscriber.ts';
import { type ChannelsSubscriber, Connection, type ConnectionHost } from './connection.ts';
import { readKey, readKeys, type ResolvedChannelsOptions } from './options.ts';
import { Quota } from './quota.ts';
import { Room } from './room.ts';
import { Rooms } from './rooms.ts';
import { SharedTexts } from './shared-texts.ts';

/** What `authorize` says of a client of a family. */
export interface ChannelsAuthorization extends Authorization {
  /**
   * The channels that the client may be on. Those of `subscribe(keys)` that are not among them are left out; without
   * `keys` there it is on all of these. Empty: 403. @defaultValue all
   */
  keys?: string | readonly string[] | undefined;
}

/** Says on which channels a client is. May return a promise. None: 403. */
export type KeysOf = Hook<[req: RoutedRequest], Keys | PromiseLike<Keys>>;

type Keys = string | readonly string[];

/** Options of `subscribe` of a family: those of a channel, where `authorize` also knows keys. */
export interface ChannelsSubscribeOptions<M extends object = AnyEvents> extends Omit<SubscribeOptions<M>, 'authorize'> {
  /**
   * Decides who may subscribe, and to what, before anything is sent. `false`: 403. `true` or an object: may. May return
   * a promise. What it throws goes to `next`. @defaultValue everyone
   */
  authorize?:
    | Hook<[req: RoutedRequest], ChannelsAuthorization | boolean | PromiseLike<ChannelsAuthorization | boolean>>
    | undefined;
}

/** What listeners of `leave` of a family get. */
export interface ChannelsLeave {
  /** The client that left. Its `keys` say where it was. */
  readonly subscriber: ChannelsSubscriber;
  /** Why its stream closed. */
  readonly reason: CloseReason;
}

/** A family of channels: one for each key. `M` maps event names to the types of their data. */
export interface Channels<M extends object = AnyEvents> {
  /** Its name. */
  readonly name: string;
  /**
   * The channel of a key: any text of 1 to 256 characters. It is made when it is first used, and freed when it is idle
   * for `ttl`. What this returns may be kept: it goes on with the next one. A channel with listeners of its own is not
   * freed. Throws `InvalidOptionError`.
   */
  get(key: string): Channel<M>;
  /**
   * Makes a handler that subscribes its clients to several channels on one connection:
   * `app.get('/me', rooms.subscribe((req) => ['news', userKey(req)]))`. Throws `InvalidOptionError`.
   */
  subscribe(keys: KeysOf, options?: ChannelsSubscribeOptions<M>): StreamMiddleware;
  /** Makes a handler that subscribes its clients to the `keys` that `authorize` gives. Throws `InvalidOptionError`. */
  subscribe(options: ChannelsSubscribeOptions<M>): StreamMiddleware;
  /**
   * Publishes an event on one channel or several. Resolves with the ids, in the order of the keys. Rejects as `publish`
   * of a channel if one fails; the others are published.
   */
  publish(keys: Keys, event: Publishable<M>, options?: PublishOptions): Promise<string[]>;
  /**
   * Cuts clients of this process at once: nothing that is published goes to them any more. An `EventSource` is told not
   * to come back. Returns how many were cut. @param reason - told to the clients, in an event `sluice.disconnect`
   */
  disconnect(match: (subscriber: ChannelsSubscriber) => boolean, reason?: string): number;
  /** The clients that are connected to this process. */
  subscribers(): readonly ChannelsSubscriber[];
  /** The keys of the channels that are in the memory of this process. */
  keys(): readonly string[];
  /** Calls the listener each time a client comes, before it is told anything. Returns the undo. */
  on(event: 'join', listener: (subscriber: ChannelsSubscriber) => void): () => void;
  /** Calls the listener each time the stream of a client closes. Returns the undo. */
  on(event: 'leave', listener: (leave: ChannelsLeave) => void): () => void;
  /** Closes all channels in this process, as `close` of a channel does. */
  close(): void;
}

/** `Channels` in one process. */
export class LocalChannels<M extends object> implements Channels<M>, ConnectionHost {
  readonly name: string;
  readonly texts: SharedTexts = new SharedTexts();
  /** How clients of answers enter channels whose keys are known. */
  readonly entrance: SubscribeHost = this.#hostFor(undefined, 'resumable.key');
  readonly #options: ResolvedChannelsOptions;
  readonly #rooms: Rooms<M>;
  readonly #connections = new Set<Connection>();
  readonly #closing = new Set<() => void>();
  readonly #perIdentity: Quota<unknown>;
  readonly #perChannel: Quota<string>;
  readonly #listeners = {
    join: new Listeners<ChannelsSubscriber>(reportChannelError),
    leave: new Listeners<ChannelsLeave>(reportChannelError),
  };
  #isClosed = false;

  constructor(options: ResolvedChannelsOptions) {
    this.#options = options;
    this.name = options.channel.name;
    this.#rooms = new Rooms(options.channel, options.ttl);
    this.#perIdentity = new Quota(options.limits.perIdentity);
    this.#perChannel = new Quota(options.limits.perChannel);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get(key: string): Channel<M> {
    return new Room(this, readKey('get.key', key));
  }

  subscribe(first: KeysOf | ChannelsSubscribeOptions<M>, second?: ChannelsSubscribeOptions<M>): StreamMiddleware {
    const [keysOf, given] = typeof first === 'function' ? [first, second] : [undefined, first];
    const options = resolveSubscribeOptions(given, this.#options.channel.overflow);
    if (!keysOf && !options.authorize)
      throw new InvalidOptionError(
        'subscribe.keys',
        'a function that returns keys, or `authorize` to give them',
        first,
      );
    return makeSubscribe(options, this.#hostFor(readFunction('subscribe.keys', keysOf)));
  }

  publish(keys: Keys, event: Publishable<M>, options?: PublishOptions): Promise<string[]> {
    return watched(this.#publish(keys, event, options), reportChannelError);
  }

  disconnect(match: (subscriber: ChannelsSubscriber) => boolean, reason?: string): number {
    requireFunction('disconnect.match', match);
    if (reason !== undefined && typeof (reason as unknown) !== 'string')
      throw new InvalidOptionError('disconnect.reason', 'a string', reason);
    const matching = [...this.#connections].filter(({ subscriber }) => match(subscriber));
    for (const connection of matching) connection.disconnect(reason);
    return matching.length;
  }

  subscribers(): readonly ChannelsSubscriber[] {
    return Array.from(this.#connections, ({ subscriber }) => subscriber);
  }

  keys(): readonly string[] {
    return this.#rooms.keys();
  }

  on(event: 'join' | 'leave', listener: (value: never) => void): () => void {
    readOneOf('on.event', event, ['join', 'leave']);
    requireFunction('on.listener', listener);
    return (this.#listeners[event] as Listeners<object>).add(listener as (value: object) => void);
  }

  /** Of its channels. */
  get options(): ResolvedChannelsOptions {
    return this.#options;
  }

  /** Calls a function once when the family closes. It may not throw. Returns the undo. */
  onClosing(call: () => void): () => void {
    this.#closing.add(call);
    return () => void this.#closing.delete(call);
  }

  close(): void {
    this.#isClosed = true;
    for (const call of [...this.#closing]) call();
    this.#rooms.close();
    for (const connection of [...this.#connections]) connection.leave();
  }

  /** The channel of a key, which is used now. Throws `ChannelClosedError`. */
  room(key: string): LocalChannel<M> {
    if (this.#isClosed) throw new ChannelClosedError(this.name);
    return this.#rooms.use(key);
  }

  /** The channel of a key if it is in memory. */
  peek(key: string): LocalChannel<M> | undefined {
    return this.#rooms.peek(key);
  }

  free(key: string): void {
    this.#rooms.free(key);
  }

  enterRoom(key: string): { channel: LocalChannel<object>; exit: () => void } | undefined {
    if (this.#isClosed || this.#perChannel.isFull(key)) return undefined;
    const release = this.#perChannel.take(key);
    const exit = (): void => {
      release();
      this.#rooms.touch(key);
    };
    return { channel: this.#rooms.use(key) as unknown as LocalChannel<object>, exit };
  }

  async #publish(keys: unknown, event: unknown, given: PublishOptions | undefined): Promise<string[]> {
    const options = readPublishOptions(given);
    // Once for all channels: the JSON of an event is most of the work.
    const entry = toEntry(event, options.key);
    const channels = readKeys('publish.keys', keys).map((key) => this.room(key));
    return Promise.all(channels.map((channel) => channel.publishEntry(event, entry, options)));
  }

  /** @param option - what the application has answered about a client by */
  #hostFor(keysOf: KeysOf | undefined, option: string = 'subscribe.authorize'): SubscribeHost {
    const isClosed = (): boolean => this.#isClosed;
    return {
      get isClosed() {
        return isClosed();
      },
      *keysFor(req, authorization): Steps<readonly string[]> {
        const { keys: given } = authorization as ChannelsAuthorization;
        if (!keysOf && given === undefined)
          throw new InvalidOptionError(option, 'a function that returns `keys`', authorization);
        const allowed = given === undefined ? undefined : readKeys(`${option}.keys`, given);
        const wanted = keysOf ? readKeys('subscribe.keys', yield* settled(keysOf(req))) : (allowed ?? []);
        return allowed ? wanted.filter((key) => allowed.includes(key)) : wanted;
      },
      refusalFor: (entrant) => this.#refusalFor(entrant, `${option}.identity`),
      enter: (stream, entrant, options) => this.#enter(stream, entrant, options),
    };
  }

  #refusalFor({ authorization: { identity }, keys }: Entrant, option: string): RefusalOptions | undefined {
    if (identity !== undefined && this.#options.limits.perIdentity !== Infinity) {
      if (typeof identity !== 'string' && typeof identity !== 'number')
        throw new InvalidOptionError(option, 'a string or a number: it is counted', identity);
      if (this.#perIdentity.isFull(identity))
        return refusalAfter(this.#perIdentity.refuse(identity), 429, 'Too many connections\n');
    }
    const full = keys.find((key) => this.#perChannel.isFull(key));
    if (full === undefined) return undefined;
    return refusalAfter(this.#perChannel.refuse(full), 503, 'The channel is full\n');
  }

  #enter(stream: ChannelStream, { cursor, authorization, keys }: Entrant, options: ResolvedSubscribeOptions): void {
    const { identity } = authorization;
    const connection = new Connection(this, stream, { cursor, identity, keys }, options);
    const { subscriber } = connection;
    const release = identity === undefined ? undefined : this.#perIdentity.take(identity);
    this.#connections.add(connection);
    stream.out.onClosed((reason) => {
      this.#connections.delete(connection);
      release?.();
      this.#listeners.leave.emit({ subscriber, reason });
    });
    this.#listeners.join.emit(subscriber);
    if (stream.out.state === 'open') connection.start();
  }
}

function refusalAfter(delay: number, status: 429 | 503, text: string): RefusalOptions {
  return { retryAfter: delay, reconnectDelay: delay, status, text, closes: false };
}
