import { ChannelClosedError, ChannelEndedError, type CloseReason } from '../errors.ts';
import { watched } from '../internal/deferred.ts';
import { Listeners } from '../internal/listeners.ts';
import { readOneOf, requireFunction } from '../internal/option.ts';
import { type Audience, audiences } from '../internal/writer/audiences.ts';
import type { StreamMiddleware } from '../internal/writer/handler.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import type { AnyEvents } from '../sse/event-map.ts';
import type { AppendOptions, ChannelEntry, ChannelLog, LogReceiver, NewEntry } from './log/backplane.ts';
import { Coalescer } from './coalescer.ts';
import { type Bookmark, PlainBookmark } from './delivery/bookmark.ts';
import { Delivery } from './delivery/delivery.ts';
import { type AnyChannelInput, type Publishable, toEntry } from './delivery/event.ts';
import { channelEvents, labelOf, reportChannelError } from './events.ts';
import { type PublishOptions, readPublishOptions, type ResolvedChannelOptions } from './options.ts';
import { type Entrant, makeSubscribe, type SubscribeHost } from './subscribe.ts';
import { type ResolvedSubscribeOptions, resolveSubscribeOptions, type SubscribeOptions } from './subscribe-options.ts';
import { type ChannelStream, makeSubscriber, type Subscriber } from './subscriber.ts';
import type { GivenEntry } from './delivery/segment.ts';
import { Subscription, type SubscriptionHost } from './delivery/subscription.ts';

/** What listeners of `leave` get. */
export interface SubscriberLeave {
  /** The client that left. */
  readonly subscriber: Subscriber;
  /** Why its stream closed. `left`: it did not, and is on other channels of the family. */
  readonly reason: CloseReason | 'left';
}

/** What listeners of `end` get. */
export interface ChannelEnd {
  /** The id of the last entry. */
  readonly id: string;
}

/** What the listeners of a channel get, by the name of what happens. */
export interface ChannelListeners {
  /** A client is there. It is told nothing yet. */
  readonly join: Subscriber;
  /** The stream of a client closed. */
  readonly leave: SubscriberLeave;
  /** The channel has ended, by this process or another. */
  readonly end: ChannelEnd;
}

/** A channel: events that go to all of its subscribers. `M` maps event names to the types of their data. */
export interface Channel<M extends object = AnyEvents> {
  /** Its name. */
  readonly name: string;
  /**
   * Publishes an event: `{ event, data }`, or a string as the data of one. It goes to the clients at the end of the
   * tick. Resolves with its id when it is in the log.
   *
   * Rejects with `InvalidEventError`, `ChannelEndedError`, `ChannelClosedError`, or the error of the backplane. A
   * rejection that is not handled does not crash the process: it is published on `sluice:channel:error`.
   */
  publish(event: Publishable<M>, options?: PublishOptions): Promise<string>;
  /**
   * Ends the channel, with a last event if one is given. Clients get it, also those that come later, and are told not
   * to come back. Resolves with the id. Rejects as `publish`.
   */
  end(event?: Publishable<M>): Promise<string>;
  /**
   * Makes a handler that subscribes its clients: `app.get('/ticks', ticks.subscribe())`. Throws `InvalidOptionError`.
   */
  subscribe(options?: SubscribeOptions<M>): StreamMiddleware;
  /** The clients that are connected to this process. */
  subscribers(): readonly Subscriber[];
  /** Calls the listener each time a client comes. Returns the undo. */
  on(event: 'join', listener: (subscriber: Subscriber) => void): () => void;
  /** Calls the listener each time the stream of a client closes. Returns the undo. */
  on(event: 'leave', listener: (leave: SubscriberLeave) => void): () => void;
  /** Calls the listener when the channel ends. Returns the undo. */
  on(event: 'end', listener: (end: ChannelEnd) => void): () => void;
  /**
   * Closes the channel in this process: sends what is published, tells clients to reconnect, and frees the history if
   * it is in memory. Other processes go on. Later calls of `publish` reject, and new clients are told to come back
   * later.
   */
  close(): void;
}

/** A client that a channel gets. */
interface Joiner {
  readonly subscriber: Subscriber;
  /** The last id of this channel that it has; `undefined`: it comes for the first time. */
  readonly cursor: string | undefined;
  readonly bookmark: Bookmark;
}

type Leave = (reason: SubscriberLeave['reason']) => void;

/** `Channel` in one process. */
export class LocalChannel<M extends object>
  implements Channel<M>, SubscribeHost, SubscriptionHost, LogReceiver, Audience
{
  readonly name: string;
  readonly key: string | undefined;
  readonly log: ChannelLog;
  readonly delivery: Delivery;
  readonly #options: ResolvedChannelOptions;
  readonly #members = new Map<Subscription, { readonly stream: ChannelStream; readonly subscriber: Subscriber }>();
  readonly #listeners = {
    join: new Listeners<Subscriber>(reportChannelError),
    leave: new Listeners<SubscriberLeave>(reportChannelError),
    end: new Listeners<ChannelEnd>(reportChannelError),
  };
  readonly #coalescer: Coalescer | undefined;
  /** Listeners that are registered. */
  #watchers = 0;
  /** Settles when the log tells of new entries; `undefined` while there are no clients. */
  #listening: { readonly since: void | PromiseLike<void> } | undefined;
  #state: 'open' | 'ended' | 'closed' = 'open';
  /** Apart from the state: a channel may be closed before its clients have the last entry. */
  #isEndNoted = false;

  /** @param key - in a family that has the name of the options */
  constructor(options: ResolvedChannelOptions, key?: string) {
    this.#options = options;
    this.name = options.name;
    this.key = key;
    this.delivery = new Delivery(options.batch, {
      onRoundEnd: ({ entries: { length: events }, last }, { members: subscribers, bytes }) => {
        channelEvents.segment.publish({ channel: this.name, key, events, subscribers, bytes });
        if (last.isEnd === true) this.#noteEnd(last.id);
      },
    });
    this.log = options.backplane.open(logName(this.name, key), options.history, this);
    this.#coalescer =
      options.coalesce &&
      new Coalescer(options.coalesce, (entry, { idempotencyKey }) => this.#append(entry, { idempotencyKey }));
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  publish(event: Publishable<M>, options?: PublishOptions): Promise<string> {
    return watched(this.#publish(event, options), reportChannelError);
  }

  end(event?: Publishable<M>): Promise<string> {
    return watched(this.#end(event), reportChannelError);
  }

  subscribe(options?: SubscribeOptions<M>): StreamMiddleware {
    return makeSubscribe(resolveSubscribeOptions(options, this.#options.overflow), this);
  }

  /** Whether it has clients, listeners, or events that are not with its clients yet. */
  get isBusy(): boolean {
    return this.#members.size > 0 || this.#watchers > 0 || this.#coalescer?.isHolding === true;
  }

  subscribers(): readonly Subscriber[] {
    return Array.from(this.#members.values(), ({ subscriber }) => subscriber);
  }

  *streams(): Generator<OutStream> {
    for (const { stream } of this.#members.values()) yield stream.out;
  }

  on(event: keyof ChannelListeners, listener: (value: never) => void): () => void {
    readOneOf('on.event', event, ['join', 'leave', 'end']);
    requireFunction('on.listener', listener);
    const undo = (this.#listeners[event] as Listeners<object>).add(listener as (value: object) => void);
    this.#watchers += 1;
    let isWatching = true;
    return () => {
      undo();
      if (isWatching) this.#watchers -= 1;
      isWatching = false;
    };
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#coalescer?.flush();
    this.#state = 'closed';
    this.delivery.flush();
    for (const { stream } of [...this.#members.values()]) stream.leave();
    this.log.close();
  }

  enter(stream: ChannelStream, { cursor, authorization }: Entrant, options: ResolvedSubscribeOptions): void {
    const subscriber = makeSubscriber(stream.out, authorization.identity);
    const bookmark = new PlainBookmark(stream.out, options.as, this.delivery.texts.of(options.as));
    this.join(stream, { subscriber, cursor, bookmark }, options);
  }

  /** Adds a client. @returns what takes it off the channel before its stream closes */
  join(stream: ChannelStream, { subscriber, cursor, bookmark }: Joiner, options: ResolvedSubscribeOptions): Leave {
    const subscription = new Subscription(this, stream, bookmark, options);
    this.#members.set(subscription, { stream, subscriber });
    audiences.add(this);
    const leave: Leave = (reason) => {
      undo();
      subscription.stop();
      if (!this.#members.delete(subscription)) return;
      if (this.#members.size === 0) {
        audiences.delete(this);
        this.#listening = undefined;
        if (!this.isClosed) this.log.unlisten();
      }
      this.#listeners.leave.emit({ subscriber, reason });
    };
    const undo = stream.out.onClosed(leave);
    this.#listeners.join.emit(subscriber);
    try {
      subscription.start(cursor);
    } catch (error) {
      leave('error');
      throw error;
    }
    return leave;
  }

  listen(): void | PromiseLike<void> {
    if (this.#listening) return this.#listening.since;
    const listening = (this.#listening = { since: this.log.listen() });
    // The next client tries again.
    if (listening.since)
      listening.since.then(undefined, () => {
        if (this.#listening === listening) this.#listening = undefined;
      });
    return listening.since;
  }

  entries(list: readonly ChannelEntry[]): void {
    if (this.#state !== 'closed') this.delivery.push(list);
  }

  lost(position: string): void {
    this.entries([resetEntry(position, this.key)]);
    channelEvents.reset.publish({ channel: this.name, key: this.key, req: undefined, reason: 'gap' });
  }

  async #publish(event: unknown, given: PublishOptions | undefined): Promise<string> {
    const options = readPublishOptions(given);
    return this.publishEntry(event, toEntry(event, options.key), options);
  }

  /** Publishes an event of which the entry is made. */
  async publishEntry(event: unknown, entry: NewEntry, { key, idempotencyKey }: PublishOptions): Promise<string> {
    if (!this.#coalescer) return this.#append(entry, { idempotencyKey });
    this.#requireOpen();
    const input = typeof event === 'string' ? { data: event } : (event as AnyChannelInput);
    return this.#coalescer.publish(input, entry, { key, idempotencyKey });
  }

  async #end(event: unknown): Promise<string> {
    const last = event === undefined ? {} : toEntry(event, undefined);
    this.#coalescer?.flush();
    const id = await this.#append({ ...last, isEnd: true }, {});
    this.#noteEnd(id);
    return id;
  }

  async #append(entry: NewEntry, options: AppendOptions): Promise<string> {
    this.#requireOpen();
    const id = await this.log.append(entry, options);
    channelEvents.publish.publish({ channel: this.name, key: this.key, id, event: entry.event });
    return id;
  }

  #requireOpen(): void {
    if (this.#state === 'closed') throw new ChannelClosedError(labelOf(this.name, this.key));
    if (this.#state === 'ended') throw new ChannelEndedError(labelOf(this.name, this.key));
  }

  #noteEnd(id: string): void {
    if (this.#isEndNoted) return;
    this.#isEndNoted = true;
    if (this.#state === 'open') this.#state = 'ended';
    channelEvents.end.publish({ channel: this.name, key: this.key, id });
    this.#listeners.end.emit({ id });
  }
}

/** A name that no two channels share. */
export function logName(name: string, key: string | undefined): string {
  return key === undefined ? name : `${encodeURIComponent(name)}:${key}`;
}

/** What stands where entries are missing for all clients. */
function resetEntry(position: string, key: string | undefined): GivenEntry {
  const data = JSON.stringify({ reason: 'gap', key });
  return { id: position, event: 'sluice.reset', data, isJson: true, isNotice: true };
}
