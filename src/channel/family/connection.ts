import { InvalidOptionError } from '../../errors.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import type { LocalChannel } from '../channel.ts';
import { tellPlace } from '../delivery/bookmark.ts';
import type { ChannelText } from '../delivery/channel-text.ts';
import { frameNotice } from '../delivery/framing.ts';
import { channelEvents } from '../events.ts';
import { LogReader } from '../delivery/log-reader.ts';
import { begin, type Steps } from '../delivery/steps.ts';
import { failStream } from '../delivery/subscription.ts';
import { fitsCursor, formatComposite, isPlainId, parseComposite } from '../policy/composite.ts';
import type { ResolvedSubscribeOptions } from '../subscribe-options.ts';
import { type ChannelStream, makeSubscriber, type Subscriber } from '../subscriber.ts';
import { readKey } from './options.ts';
import { Part, type PartHost } from './part.ts';
import type { Share, SharedTexts } from './shared-texts.ts';

/** A client of a family, on one channel or several. */
export interface ChannelsSubscriber extends Subscriber {
  /** The keys of the channels that it is on, or was on when its stream closed. */
  readonly keys: readonly string[];
  /**
   * Puts the client on another channel. It begins there as on the others: behind the id that it came with, or where
   * `from` says. Nothing is asked: neither `authorize` nor its `keys`. Throws `InvalidOptionError`.
   * @returns whether it is on the channel: not if that is full, or the client has gone
   */
  join(key: string): boolean;
  /** Takes the client off a channel. Its stream stays open, also without any channel. */
  leave(key: string): void;
}

/** What a connection needs of its family. */
export interface ConnectionHost {
  readonly name: string;
  readonly texts: SharedTexts;
  /** The channel of a key, and a place on it. `undefined`: it is full, or the family is closed. */
  enterRoom(key: string): { readonly channel: LocalChannel<object>; readonly exit: () => void } | undefined;
}

/** One client on several channels: one stream, whose ids say where it is in each of them. */
export class Connection implements PartHost {
  readonly subscriber: ChannelsSubscriber;
  readonly options: ResolvedSubscribeOptions;
  readonly out: OutStream;
  readonly #host: ConnectionHost;
  readonly #stream: ChannelStream;
  /** The last id of the request. */
  readonly #cursor: string | undefined;
  /** By key, in the order of the keys: clients on the same channels have the same ids. */
  #parts: readonly Part[] = [];
  #share: Share | undefined;
  /** The text that it has all of, as other clients do: their heartbeats are the same. */
  #followed: ChannelText | undefined;
  /** Whether it is somewhere without having been sent an id for it. */
  #isUntold = false;

  /** Throws for keys that no cursor can hold. */
  constructor(
    host: ConnectionHost,
    stream: ChannelStream,
    { cursor, identity, keys }: { cursor: string | undefined; identity: unknown; keys: readonly string[] },
    options: ResolvedSubscribeOptions,
  ) {
    this.#host = host;
    this.#stream = stream;
    this.#cursor = cursor;
    this.out = stream.out;
    this.options = options;
    this.subscriber = this.#makeSubscriber(identity);
    const parts = keys.map((key) => new Part(this, key));
    requireFit(parts);
    this.#setParts(parts);
    this.#findIds(parts);
    stream.out.onClosed((reason) => {
      for (const { exit } of this.#parts) exit?.(reason);
      this.#leaveText();
    });
  }

  /** The places of the client. One that is alone has plain ids. */
  get parts(): readonly Part[] {
    return this.#parts;
  }

  /** Puts the client on its first channels, unless it left them. Throws what fails before anything is sent. */
  start(): void {
    begin(this.#enterFirst(), (error) => failStream(this.out, error));
  }

  /** All of its channels are live: it is told where it is. */
  tellLive(isUntold: boolean): void {
    this.#isUntold ||= isUntold;
    if (this.#parts.some(({ state }) => state === 'joining')) return;
    this.#follow();
    if (!this.#isUntold) return;
    this.#isUntold = false;
    this.tell();
  }

  tell(): void {
    const [first, second] = this.#parts;
    const id = second ? formatComposite(this.#parts) : first?.id;
    if (id !== undefined) tellPlace(this.out, this.options.as, id);
  }

  /** A channel has nothing more for the client. */
  finish(part: Part): void {
    part.state = 'over';
    part.exit?.('ended');
    if (this.#parts.every(({ state }) => state === 'over')) this.#stream.finish();
  }

  /** Cuts the client. Nothing that is published goes to it any more, and an `EventSource` does not come back. */
  disconnect(reason: string | undefined): void {
    const { out } = this;
    if (out.state !== 'open') return;
    for (const { exit } of this.#parts) exit?.('ended');
    if (reason !== undefined) void out.push(frameNotice(this.options.as, undefined, 'sluice.disconnect', { reason }));
    // A client that does not read would get what waits for it later.
    if (out.outbox.isCongested) out.abort('ended');
    else this.#stream.finish();
  }

  leave(): void {
    this.#stream.leave();
  }

  /** The text that clients on the same channels have in common. */
  get text(): Share['text'] {
    const names = this.#parts.map(({ encoded }) => encoded).join(',');
    return (this.#share ??= this.#host.texts.acquire(`${this.options.as} ${names}`)).text;
  }

  #makeSubscriber(identity: unknown): ChannelsSubscriber {
    const subscriber = makeSubscriber(this.out, identity);
    const keys = (): readonly string[] => this.#parts.map(({ key }) => key);
    return {
      get id() {
        return subscriber.id;
      },
      req: subscriber.req,
      identity,
      get keys() {
        return keys();
      },
      join: (key) => this.#join(readKey('join.key', key)),
      leave: (key) => this.#leave(readKey('leave.key', key)),
    };
  }

  #join(key: string): boolean {
    if (this.#parts.some((part) => part.key === key)) return true;
    if (this.out.state !== 'open') return false;
    const part = new Part(this, key);
    requireFit([...this.#parts, part]);
    this.#setParts([...this.#parts, part]);
    this.#findIds([part]);
    return this.#enter(part, part.id);
  }

  *#enterFirst(): Steps {
    const cursor = this.#cursor;
    let parts = waitingOf(this.#parts);
    if (cursor !== undefined && parts.length > 1 && parts.every(({ id }) => id === undefined)) {
      const owner = yield* findOwner(this.#host, this.out, parts, cursor);
      if (this.out.state !== 'open') return;
      if (owner) owner.id = cursor;
      else this.#tellUnknown();
      // It may have left some meanwhile.
      parts = waitingOf(this.#parts);
    }
    for (const part of parts) this.#enter(part, part.id ?? (parts.length === 1 ? cursor : undefined));
  }

  #leave(key: string): void {
    const part = this.#parts.find((each) => each.key === key);
    if (!part) return;
    this.#remove(part);
    part.exit?.('left');
  }

  /** @param cursor - the last id of this channel that the client has */
  #enter(part: Part, cursor: string | undefined): boolean {
    const room = this.#host.enterRoom(part.key);
    if (!room) {
      this.#remove(part);
      return false;
    }
    const { out } = this;
    part.channelText = room.channel.delivery.texts.of(this.options.as);
    const stream: ChannelStream = { out, finish: () => this.finish(part), leave: () => this.leave() };
    const member = { subscriber: this.subscriber, cursor, bookmark: part };
    let leaveChannel: ReturnType<typeof room.channel.join> | undefined;
    // What it is sent on joining may close it.
    let isOver = false as boolean;
    part.exit = (reason) => {
      isOver = true;
      part.exit = undefined;
      leaveChannel?.(reason);
      room.exit();
    };
    try {
      leaveChannel = room.channel.join(stream, member, this.options);
    } catch (error) {
      this.#remove(part);
      part.exit('error');
      throw error;
    }
    // It may have had all there is at once.
    if (isOver) leaveChannel('ended');
    return true;
  }

  #remove(part: Part): void {
    this.#setParts(this.#parts.filter((each) => each !== part));
  }

  #setParts(parts: readonly Part[]): void {
    this.#leaveText();
    this.#parts = [...parts].sort((one, other) => (one.encoded < other.encoded ? -1 : 1));
    if (parts.length > 0 && parts.every(({ state }) => state !== 'joining')) this.#follow();
  }

  #follow(): void {
    const [first, second] = this.#parts;
    this.#followed = second ? this.text : first?.channelText;
    this.#followed?.add(this.out);
  }

  #leaveText(): void {
    this.#followed?.remove(this.out);
    this.#followed = undefined;
    this.#share?.release();
    this.#share = undefined;
  }

  /** Until the log has looked at them, these are what the client has to come back with. */
  #findIds(parts: readonly Part[]): void {
    const ids = parseComposite(this.#cursor ?? '', new Set(parts.map(({ encoded }) => encoded)));
    for (const part of parts) part.id = ids.get(part.encoded);
  }

  #tellUnknown(): void {
    const reason = 'unknown-id';
    void this.out.push(frameNotice(this.options.as, undefined, 'sluice.reset', { reason }));
    const req = this.subscriber.req;
    channelEvents.reset.publish({ channel: this.#host.name, key: undefined, req, reason });
  }
}

/** The channels on which a client is to be put. */
function waitingOf(parts: readonly Part[]): readonly Part[] {
  return parts.filter(({ state, exit }) => state === 'joining' && exit === undefined);
}

/** The channel that alone knows an id: a client that was on that one only has an id without a key. */
function* findOwner(host: ConnectionHost, out: OutStream, parts: readonly Part[], id: string): Steps<Part | undefined> {
  const owners: Part[] = [];
  for (const part of isPlainId(id) ? parts : []) {
    const room = host.enterRoom(part.key);
    if (!room) continue;
    const reader = new LogReader(room.channel, out.req as RoutedRequest);
    const undo = out.onClosed(() => reader.stop());
    try {
      const page = yield* reader.read(id, 1);
      if (page && page.lost !== 'unknown-id') owners.push(part);
    } finally {
      undo();
      room.exit();
    }
  }
  return owners.length === 1 ? owners[0] : undefined;
}

function requireFit(parts: readonly Part[]): void {
  if (fitsCursor(parts.map(({ encoded }) => encoded))) return;
  const sentence = 'are too many or too long for one client: its cursor would not fit into a header.';
  throw new InvalidOptionError('subscribe.keys', { sentence });
}
