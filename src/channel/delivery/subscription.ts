import { setImmediate as nextTurn } from 'node:timers/promises';
import { InvalidOptionError } from '../../errors.ts';
import { isThenable } from '../../internal/deferred.ts';
import type { RoutedRequest } from '../../internal/http/framework.ts';
import { isAbort } from '../../internal/writer/policy/aborts.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import type { NewEntry, ResetReason } from '../log/backplane.ts';
import type { Bookmark } from './bookmark.ts';
import type { Delivery, LiveMember } from './delivery.ts';
import { type AnyChannelEvent, toEvent, toMapped } from './event.ts';
import { channelEvents } from '../events.ts';
import { frame, frameKept, frameNotice } from './framing.ts';
import { LogReader, type LogReaderHost } from './log-reader.ts';
import { hasCursor } from '../policy/answer.ts';
import { entriesAfter, type GivenEntry, type Segment } from './segment.ts';
import { begin, settled, type Steps } from './steps.ts';
import type { ResolvedSubscribeOptions } from '../subscribe-options.ts';

/** Entries that are read of a log at once. More than a page takes more than one turn of the event loop. */
const pageSize = 128;

/** Characters that are written at once in a replay: a socket's usual high-water mark. */
const pieceLength = 16_384;

/** A client that is told its place gets the entries before it no more: so many that it does not get may lie between. */
const mostUntold = 64;

/** What a client gets of each of some entries. `undefined`: it does not get that one. */
type Bodies = readonly (NewEntry | undefined)[];

/** What a subscription needs of its channel. */
export interface SubscriptionHost extends LogReaderHost {
  readonly name: string;
  /** Of a channel of a family. */
  readonly key: string | undefined;
  readonly delivery: Delivery;
}

/** The stream of a client, as far as a subscription uses it. */
export interface SubscriberStream {
  readonly out: OutStream;
  /** There is nothing more to come. */
  finish(): void;
}

/**
 * One client on one channel: first what it missed, from the log, as fast as it reads; then what is published.
 *
 *     replaying ──has all that was given to others──▶ live
 *         └──────the stream closes, or `stop`─────────┴──▶ over
 */
export class Subscription implements LiveMember {
  readonly #host: SubscriptionHost;
  readonly #stream: SubscriberStream;
  readonly #out: OutStream;
  readonly #req: RoutedRequest;
  readonly #options: ResolvedSubscribeOptions;
  readonly #bookmark: Bookmark;
  readonly #reader: LogReader;
  #isStopped = false;
  /** The last entry that it had when it became live. Only the next segments can hold entries before that. */
  #liveAfter: string | undefined;
  #replayed = 0;
  /** Entries that it did not get since it was last sent an id. */
  #untold = 0;

  constructor(host: SubscriptionHost, stream: SubscriberStream, bookmark: Bookmark, options: ResolvedSubscribeOptions) {
    this.#host = host;
    this.#stream = stream;
    this.#out = stream.out;
    this.#req = stream.out.req as RoutedRequest;
    this.#options = options;
    this.#bookmark = bookmark;
    this.#reader = new LogReader(host, this.#req);
  }

  // A method: what is sent may end it, and TypeScript would not see it.
  #isOver(): boolean {
    return this.#isStopped || this.#out.state !== 'open';
  }

  /** It gets nothing more. The stream stays open. */
  stop(): void {
    this.#isStopped = true;
    this.#reader.stop();
    this.#host.delivery.remove(this);
    this.#bookmark.over?.();
  }

  /**
   * Throws what fails at once: nothing is sent then, and the error can still become another response.
   * @param cursor - the last id that the client has; `undefined`: it comes for the first time
   */
  start(cursor: string | undefined): void {
    begin(this.#join(cursor), (error) => failStream(this.#out, error));
  }

  deliver(segment: Segment): number {
    if (this.#isOver()) return 0;
    const after = this.#liveAfter;
    const { log } = this.#host;
    let bytes = 0;
    if (after !== undefined) {
      if (log.compare(segment.last.id, after) <= 0) return 0;
      this.#liveAfter = undefined;
    }
    const last = this.#lastOf(segment);
    const entries = segment.upTo(last);
    try {
      if (after !== undefined && log.compare(segment.first.id, after) <= 0)
        bytes = this.#pushEach(entriesAfter(after, entries, log));
      else bytes = last === segment.last ? this.#pushSegment(segment) : this.#pushEach(entries);
    } catch (error) {
      failStream(this.#out, error);
      return bytes;
    }
    if (last.isEnd === true || (last.isNotice === true && !hasCursor(this.#options.as))) this.#stream.finish();
    return bytes;
  }

  /** The last entry that the client gets. One that knows no ids stops where entries are missing. */
  #lastOf({ notice, last }: Segment): GivenEntry {
    return notice && !hasCursor(this.#options.as) ? notice : last;
  }

  *#join(cursor: string | undefined): Steps {
    const { delivery } = this.#host;
    // A listener of `join` may have closed the channel.
    if (this.#isOver()) return;
    yield* this.#reader.listen();
    let position = cursor ?? (yield* this.#begin(undefined));
    while (position !== undefined && !this.#isOver()) {
      const page = yield* this.#reader.read(position, pageSize);
      if (!page || this.#isOver()) return;
      if (page.lost !== undefined) {
        // A client that has nothing so far misses nothing.
        position = yield* this.#begin(cursor === undefined && this.#replayed === 0 ? undefined : page.lost);
        continue;
      }
      this.#bookmark.move(position);
      yield* this.#replay(page.entries);
      if (this.#isOver()) return;
      position = page.entries.at(-1)?.id ?? position;
      if (page.isEnd) {
        this.#stream.finish();
        return;
      }
      if (page.entries.length < pageSize && this.#reader.hasUpTo(delivery.given, position)) {
        this.#liveAfter = position;
        delivery.add(this);
        this.#bookmark.live(cursor === undefined && this.#replayed === 0);
        this.#tellLive(cursor);
        return;
      }
      yield nextTurn();
    }
  }

  /** Finds where to begin, and sends what comes before. @returns the id after which it reads on */
  *#begin(reset: ResetReason | undefined): Steps<string | undefined> {
    const from = this.#reader.isTooLate ? 'now' : this.#options.from;
    if (from !== 'latest') {
      const position = yield* this.#reader.start(from);
      if (reset && position !== undefined) this.#tellReset(reset, position);
      return position;
    }
    const latest = yield* this.#reader.latest();
    if (!latest) return undefined;
    // Without an id: a client that is cut before the events below has to begin anew.
    if (reset) this.#tellReset(reset, undefined);
    yield* this.#replay(latest.entries);
    return latest.position;
  }

  /** Sends entries no faster than the client reads. */
  *#replay(entries: readonly GivenEntry[]): Steps {
    const bodies = this.#bodiesOf(entries);
    let piece = '';
    for (const [index, entry] of entries.entries()) {
      // When it is its turn: what comes from another channel between two pieces carries the place in this one.
      const text = this.#frame(entry, bodies[index]);
      if (text !== '') this.#replayed += 1;
      piece += text;
      if (piece.length < pieceLength) continue;
      yield* this.#pushPaced(piece);
      if (this.#isOver()) return;
      piece = '';
    }
    if (piece !== '') yield* this.#pushPaced(piece);
  }

  *#pushPaced(text: string): Steps {
    if (this.#isOver()) return;
    const pushed = this.#out.push(text);
    if (this.#out.outbox.isCongested || this.#out.state !== 'open') yield* settled(pushed);
  }

  /** @returns the bytes of text that the client gets */
  #pushSegment(segment: Segment): number {
    const { filter, map, overflow } = this.#options;
    const bodies = (filter ?? map) && this.#selectFrom(segment);
    if (bodies) return this.#pushBodies(bodies, segment.entries);
    // Each entry counts for itself where some may be dropped.
    if (overflow !== 'close' && this.#out.outbox.isCongested) return this.#pushEach(segment.entries);
    const bytes = this.#bookmark.textOf(segment);
    this.#bookmark.move(segment.last.id);
    if (bytes.length > 0) void this.#out.push(bytes);
    return bytes.length;
  }

  // Not within its caller: a function that is made there takes memory at each call, whether it is made or not.
  #selectFrom(segment: Segment): Bodies | undefined {
    return this.#select(segment.entries, () => segment.events);
  }

  #pushEach(entries: readonly GivenEntry[]): number {
    return this.#pushBodies(this.#bodiesOf(entries), entries);
  }

  #bodiesOf(entries: readonly GivenEntry[]): Bodies {
    return this.#select(entries, () => entries.map(toEvent)) ?? entries;
  }

  #pushBodies(bodies: Bodies, entries: readonly GivenEntry[]): number {
    const { overflow } = this.#options;
    const { outbox } = this.#out;
    let bytes = 0;
    for (const [index, entry] of entries.entries()) {
      const text = this.#frame(entry, bodies[index]);
      if (text === '') continue;
      bytes += Buffer.byteLength(text);
      void this.#out.push(text, overflow === 'latest' && outbox.isCongested ? entry.key : undefined);
    }
    this.#untold = bytes === 0 ? this.#untold + entries.length : 0;
    if (this.#untold >= mostUntold && !outbox.isCongested) {
      this.#untold = 0;
      this.#bookmark.tell();
    }
    return bytes;
  }

  /** What `filter` and `map` make of entries. `undefined`: all of them pass, unchanged. */
  #select(entries: readonly GivenEntry[], eventsOf: () => readonly AnyChannelEvent[]): Bodies | undefined {
    const { filter, map } = this.#options;
    if (!filter && !map) return undefined;
    const bodies = this.#out.inScope(() => {
      const events = eventsOf();
      return entries.map((entry, index) => this.#bodyOf(entry, events[index] as AnyChannelEvent));
    });
    return bodies.every((body, index) => body === entries[index]) ? undefined : bodies;
  }

  /** The entry itself: it passes unchanged. `undefined`: the client does not get it. */
  #bodyOf(entry: GivenEntry, event: AnyChannelEvent): NewEntry | undefined {
    const { filter, map } = this.#options;
    // An end without an event is no event either.
    if (entry.isNotice === true || (entry.event === undefined && entry.data === undefined)) return entry;
    if (filter && !passes(filter(event, this.#req))) return undefined;
    const mapped = map ? map(event, this.#req) : event;
    return mapped === event ? entry : toMapped(mapped, event);
  }

  /** Also moves on: what the client does not get is behind it all the same. */
  #frame(entry: GivenEntry, body: NewEntry | undefined): string {
    const sent = this.#bookmark.move(entry.id);
    if (!body) return '';
    return body === entry ? frameKept(this.#options.as, sent, entry) : frame(this.#options.as, sent, body);
  }

  #tellReset(reason: ResetReason, position: string | undefined): void {
    const { name, key } = this.#host;
    const id = position === undefined ? undefined : this.#bookmark.move(position);
    void this.#out.push(frameNotice(this.#options.as, id, 'sluice.reset', { reason, key }));
    channelEvents.reset.publish({ channel: name, key, req: this.#req, reason });
    if (!hasCursor(this.#options.as)) this.#stream.finish();
  }

  #tellLive(cursor: string | undefined): void {
    const { name, key } = this.#host;
    channelEvents.subscribe.publish({ channel: name, key, req: this.#req, cursor, replayed: this.#replayed });
  }
}

/** As the throw of a handler that has begun to send. */
export function failStream(out: OutStream, error: unknown): void {
  if (isAbort(error) && out.state !== 'open') return;
  out.onSourceError(error);
  void out.leave('error', { cause: error });
}

/** Throws for a promise: every event would pass a filter that answers later. */
function passes(answer: unknown): boolean {
  if (isThenable(answer)) throw new InvalidOptionError('subscribe.filter', 'a function that answers at once', answer);
  return Boolean(answer);
}
