import type { ChannelEntry, ChannelLog } from '../log/backplane.ts';
import type { ChannelText, ChannelTexts } from './channel-text.ts';
import { type AnyChannelEvent, toEvent } from './event.ts';
import { frame, frameAll, type Framing } from './framing.ts';

/** An entry as it is given to clients. */
export interface GivenEntry extends ChannelEntry {
  /** It tells of the channel, and is none of its events. */
  readonly isNotice?: boolean;
}

/** What is around an id of a channel in a composite one. */
export interface IdFrame {
  readonly before: string;
  readonly after: string;
}

/** The entries that go out together, framed once for all clients. */
export class Segment {
  readonly entries: readonly GivenEntry[];
  readonly first: GivenEntry;
  readonly last: GivenEntry;
  /** The first one that tells of the channel. */
  readonly notice: GivenEntry | undefined;
  readonly #texts: ChannelTexts;
  readonly #bytes: Partial<Record<Framing, Buffer>> = {};
  /** By what is around the ids. */
  #composite: Map<string, Buffer> | undefined;
  #events: readonly AnyChannelEvent[] | undefined;

  constructor(first: GivenEntry, rest: readonly GivenEntry[], texts: ChannelTexts) {
    this.entries = [first, ...rest];
    this.first = first;
    this.last = rest.at(-1) ?? first;
    this.notice = this.entries.find(({ isNotice }) => isNotice === true);
    this.#texts = texts;
  }

  /** The entries up to one of them. */
  upTo(last: GivenEntry): readonly GivenEntry[] {
    return last === this.last ? this.entries : this.entries.slice(0, this.entries.indexOf(last) + 1);
  }

  /** Its text as one buffer: the same one for every client. Empty if the entries have no text. */
  bytes(framing: Framing): Buffer {
    return (this.#bytes[framing] ??= this.#frame(framing));
  }

  /**
   * The same with composite ids, which have the places in other channels around their own: one buffer for all clients
   * that are at the same places.
   */
  compositeBytes(framing: Framing, text: ChannelText, { before, after }: IdFrame): Buffer {
    const composite = (this.#composite ??= new Map<string, Buffer>());
    const name = `${framing} ${before} ${after}`;
    let bytes = composite.get(name);
    if (!bytes) {
      const framed = this.entries.map((entry) => frame(framing, before + entry.id + after, entry)).join('');
      bytes = framed === '' ? Buffer.alloc(0) : text.append(framed);
      composite.set(name, bytes);
    }
    return bytes;
  }

  /** What filters see: one object an entry, for all clients. */
  get events(): readonly AnyChannelEvent[] {
    return (this.#events ??= this.entries.map(toEvent));
  }

  #frame(framing: Framing): Buffer {
    const text = frameAll(framing, this.entries);
    return text === '' ? Buffer.alloc(0) : this.#texts.of(framing).append(text);
  }
}

/** Those of some entries that are later than an id. */
export function entriesAfter(
  id: string,
  entries: readonly GivenEntry[],
  log: Pick<ChannelLog, 'compare'>,
): readonly GivenEntry[] {
  return entries.filter((entry) => log.compare(entry.id, id) > 0);
}
