import type { LocalChannel, SubscriberLeave } from '../channel.ts';
import type { Bookmark } from '../delivery/bookmark.ts';
import type { ChannelText } from '../delivery/channel-text.ts';
import type { Segment } from '../delivery/segment.ts';
import { formatComposite, frameId } from '../policy/composite.ts';
import type { ResolvedSubscribeOptions } from '../subscribe-options.ts';
import type { Share } from './shared-texts.ts';

/** The client that is in several channels. */
export interface PartHost {
  readonly options: ResolvedSubscribeOptions;
  /** Its places. One that is alone has plain ids. */
  readonly parts: readonly Part[];
  /** The text that it has in common with clients on the same channels. */
  readonly text: Share['text'];
  /** One of its channels is live. */
  tellLive(isUntold: boolean): void;
  /** Tells the client where it is. */
  tell(): void;
}

/** Where a client is in one of its channels. */
export class Part implements Bookmark {
  readonly key: string;
  readonly encoded: string;
  /** The last entry that it has. */
  id: string | undefined;
  /** `new` until it is known where the client begins. Its place on the channel is taken. */
  state: 'new' | 'joining' | 'live' | 'over' = 'new';
  /** Whose place is taken. */
  channel: LocalChannel<object> | undefined;
  /** Of the channel alone. */
  channelText: ChannelText | undefined;
  /** Gives the place back, and takes the client off the channel. */
  exit: ((reason: SubscriberLeave['reason']) => void) | undefined;
  readonly #host: PartHost;

  constructor(host: PartHost, key: string) {
    this.#host = host;
    this.key = key;
    this.encoded = encodeURIComponent(key);
  }

  /** Whether the client is still to become live there. */
  get isPending(): boolean {
    return this.state === 'new' || this.state === 'joining';
  }

  move(id: string): string {
    this.id = id;
    const { parts } = this.#host;
    return parts.length > 1 ? formatComposite(parts) : id;
  }

  textOf(segment: Segment): Buffer {
    const { parts, options, text } = this.#host;
    if (parts.length === 1) return segment.bytes(options.as);
    return segment.compositeBytes(options.as, text, frameId(parts, parts.indexOf(this)));
  }

  live(isUntold: boolean): void {
    this.state = 'live';
    this.#host.tellLive(isUntold);
  }

  tell(): void {
    this.#host.tell();
  }
}
