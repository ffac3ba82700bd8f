import type { RoutedRequest } from '../../internal/http/framework.ts';
import { formatLoneId } from '../../internal/format/event-stream.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import { isEventSource } from '../policy/event-source.ts';
import type { ChannelText } from './channel-text.ts';
import type { Framing } from './framing.ts';
import type { Segment } from './segment.ts';

/** Where a client is in a channel, and the ids with which it comes back to that place. */
export interface Bookmark {
  /** The client has everything up to this entry. @returns the id that it is sent with the entry */
  move(id: string): string;
  /** The text of a segment, with the ids that this client is sent. Does not move. */
  textOf(segment: Segment): Buffer;
  /** The client is live. @param isUntold - it came without an id, and was sent none */
  live(isUntold: boolean): void;
  /** Tells the client its place, if it can be told without an event. */
  tell(): void;
  /** The client gets nothing more. */
  over?(): void;
}

/** The bookmark of a client on one channel: its ids are those of the entries. */
export class PlainBookmark implements Bookmark {
  readonly #out: OutStream;
  readonly #framing: Framing;
  readonly #text: ChannelText;
  #id = '';

  /** @param text - of the channel, in that framing */
  constructor(out: OutStream, framing: Framing, text: ChannelText) {
    this.#out = out;
    this.#framing = framing;
    this.#text = text;
  }

  move(id: string): string {
    this.#id = id;
    return id;
  }

  textOf(segment: Segment): Buffer {
    return segment.bytes(this.#framing);
  }

  live(isUntold: boolean): void {
    this.#text.add(this.#out);
    if (isUntold) this.tell();
  }

  tell(): void {
    tellPlace(this.#out, this.#framing, this.#id);
  }

  over(): void {
    this.#text.remove(this.#out);
  }
}

/**
 * A client that is cut before its first event would come back without an id, and miss what was published meanwhile. An
 * id alone is nothing but a blank line to some clients, so only an `EventSource` gets it.
 */
export function tellPlace(out: OutStream, framing: Framing, id: string): void {
  const req = out.req as RoutedRequest;
  if ((framing === 'sse' || framing === 'answer') && isEventSource(req.method, req.headers))
    void out.push(formatLoneId(id, true));
}
