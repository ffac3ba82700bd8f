import { InvalidOptionError } from '../../errors.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import type { LocalChannel } from '../channel.ts';
import { tellPlace } from '../delivery/bookmark.ts';
import type { ChannelText } from '../delivery/channel-text.ts';
import { frameNotice } from '../delivery/framing.ts';
import { channelEvents } from '../events.ts';
import { begin, type Steps } from '../delivery/steps.ts';
import { failStream } from '../delivery/subscription.ts';
import { fitsCursor, formatComposite, parseComposite } from '../policy/composite.ts';
import type { ResolvedSubscribeOptions } from '../subscribe-options.ts';
import { type ChannelStream, makeSubscriber, type Subscriber } from '../subscriber.ts';
import { findIdOwner, partOf } from './id-owner.ts';
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
  /** Whether its first channels wait to be told which of them knows its id. */
  #isLookingUp = false;

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
    if (this.#parts.some(({ isPending }) => isPending)) return;
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
    if (partOf(this.#parts, key)) return true;
    if (this.out.state !== 'open') return false;
    const part = new Part(this, key);
    requireFit([...this.#parts, part]);
    this.#setParts([...this.#parts, part]);
    this.#findIds([part]);
    if (!this.#take(part)) return false;
    if (!this.#isLookingUp) this.#enter(part, part.id);
    return true;
  }

  *#enterFirst(): Steps {
    const cursor = this.#cursor;
    // All in this tick: it was asked whether there is room for the client, and others come meanwhile.
    const parts = this.#parts.filter((part) => part.state === 'new' && this.#take(part));
    const [first, second] = parts;
    if (first && !second) {
      this.#enter(first, first.id ?? cursor);
      return;
    }
    if (second && cursor !== undefined && parts.every(({ id }) => id === undefined)) {
      this.#isLookingUp = true;
      const key = yield* findIdOwner(this, cursor);
      if (this.out.state !== 'open') return;
      this.#isLookingUp = false;
      const owner = key === undefined ? undefined : partOf(this.#parts, key);
      if (owner) owner.id = cursor;
      else if (key === undefined) this.#tellUnknown();
    }
    for (const part of this.#parts) if (part.state === 'new') this.#enter(part, part.id);
  }

  #leave(key: string): void {
    const part = partOf(this.#parts, key);
    if (!part) return;
    this.#remove(part);
    part.exit?.('left');
  }

  /** Takes a place on the channel of a part. @returns whether there is one. Without, the client is not on it. */
  #take(part: Part): boolean {
    const room = this.#host.enterRoom(part.key);
    if (!room) {
      this.#remove(part);
      return false;
    }
    part.channel = room.channel;
    part.exit = () => {
      part.exit = undefined;
      room.exit();
    };
    return true;
  }

  /** @param cursor - the last id of this channel that the client has */
  #enter(part: Part, cursor: string | undefined): void {
    const { channel, exit: giveBack } = part;
    // Closed by what it was sent meanwhile.
    if (!channel || !giveBack) return;
    const { out } = this;
    part.state = 'joining';
    part.channelText = channel.delivery.texts.of(this.options.as);
    const stream: ChannelStream = { out, finish: () => this.finish(part), leave: () => this.leave() };
    const member = { subscriber: this.subscriber, cursor, bookmark: part };
    let leaveChannel: ReturnType<typeof channel.join> | undefined;
    // What it is sent on joining may close it.
    let isOver = false as boolean;
    part.exit = (reason) => {
      isOver = true;
      part.exit = undefined;
      leaveChannel?.(reason);
      giveBack(reason);
    };
    try {
      leaveChannel = channel.join(stream, member, this.options);
    } catch (error) {
      this.#remove(part);
      part.exit('error');
      throw error;
    }
    // It may have had all there is at once.
    if (isOver) leaveChannel('ended');
  }

  #remove(part: Part): void {
    this.#setParts(this.#parts.filter((each) => each !== part));
  }

  #setParts(parts: readonly Part[]): void {
    this.#leaveText();
    this.#parts = [...parts].sort((one, other) => (one.encoded < other.encoded ? -1 : 1));
    if (parts.length > 0 && !parts.some(({ isPending }) => isPending)) this.#follow();
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

function requireFit(parts: readonly Part[]): void {
  if (fitsCursor(parts.map(({ encoded }) => encoded))) return;
  const sentence = 'are too many or too long for one client: its cursor would not fit into a header.';
  throw new InvalidOptionError('subscribe.keys', { sentence });
}
