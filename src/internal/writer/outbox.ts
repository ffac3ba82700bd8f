import type { ServerResponse } from 'node:http';
import { StreamClosedError } from '../../errors.ts';
import { type Deferred, makeDeferred } from '../deferred.ts';
import type { HttpResponse } from '../http/message.ts';
import type { Chunk } from '../seam/layer.ts';
import type { Seam } from '../seam/response.ts';
import { segmentOf } from '../seam/segment.ts';
import { ChunkQueue, type ChunkSink } from './chunk-queue.ts';
import { decideOverflow, type Overflow, type OverflowDecision } from './policy/overflow.ts';
import { atTickEnd, type Flushable } from './tick.ts';

/** The response that an outbox writes to. */
export interface OutboxSink extends ChunkSink {
  readonly res: HttpResponse;
  readonly seam: Pick<Seam, 'sendDirect'>;
  /** Sends the head if it is not sent. Called before the first write. Calls `prepend`. Does not throw. */
  open(): void;
}

/** How much may wait, and what happens to items beyond that. */
export interface OutboxOptions {
  /** In bytes. */
  readonly maxBuffered: number;
  readonly overflow: Overflow;
}

/** Makes the text that stands where items are missing. */
export interface GapFormat {
  /** @returns `''` for none. Runs code of the application, and does not throw. */
  formatGap(dropped: number): string;
}

const accepted = Promise.resolve();

/**
 * The items for one client that are not written yet: until the end of the tick, or until the client catches up.
 *
 *     push ──▶ queue ──tick end──▶ sink ──▶ layers ──▶ socket
 *
 *     idle ──push──▶ scheduled ──tick end──▶ idle
 *       any ──the sink is full──▶ congested ──'drain'──▶ idle
 *       any ──finishWith, close──▶ closed
 */
export class Outbox implements Flushable {
  /** Set by a kind of stream whose items may be dropped. */
  gaps: GapFormat | undefined;
  #sink: OutboxSink;
  #options: OutboxOptions;
  #queue = new ChunkQueue();
  #flow: 'idle' | 'scheduled' | 'congested' | 'closed' = 'idle';
  #isOpen = false;
  /** Of the response, in bytes. Read at the first item. */
  #highWaterMark = 0;
  /** What the senders wait for while the client lags. */
  #room: Deferred | undefined;
  #onDrain: (() => void) | undefined;
  /** Items dropped since the last gap was marked. 0 unless congested. */
  #missing = 0;
  #dropped = 0;

  constructor(sink: OutboxSink, options: OutboxOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  get bytes(): number {
    return this.#queue.bytes;
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty;
  }

  /** Whether the client lags: what is pushed now waits for it. Only then the key of an item matters. */
  get isCongested(): boolean {
    return this.#flow === 'congested';
  }

  /** Items that were dropped or superseded so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Queues an item.
   * @param key - an item supersedes one of the same key, with `overflow: 'latest'` and while `isCongested`
   * @returns a promise that resolves when the response has room, and rejects with `StreamClosedError`. `overflow`: more
   * than `maxBuffered` waits, and the item is not queued. `closed`: the outbox was closed meanwhile.
   */
  push(item: Chunk, key?: string): Promise<void> | 'overflow' | 'closed' {
    if (this.#flow === 'congested') return this.#pushLagging(item, key);
    const isSegment = this.#flow === 'idle' && typeof item !== 'string' && segmentOf(item) !== undefined;
    if (isSegment && this.#isOpen && this.#sink.seam.sendDirect(item, true)) return accepted;
    this.#queue.append(item);
    this.#highWaterMark ||= this.#sink.res.writableHighWaterMark;
    // A segment is all of a tick already: nothing follows that could be joined to it.
    if (isSegment || this.#queue.length >= this.#highWaterMark) return this.#pushFull();
    if (this.#flow === 'idle') {
      this.#flow = 'scheduled';
      atTickEnd(this);
    }
    return accepted;
  }

  /** The head is sent: queues what comes before everything else. */
  prepend(text: string): void {
    this.#isOpen = true;
    this.#queue.prepend(text);
  }

  /** Queues the text that tells of missing items. The application, which makes it, may close the stream meanwhile. */
  markGap(): void {
    if (this.#missing === 0) return;
    const missing = this.#missing;
    this.#missing = 0;
    const text = this.gaps?.formatGap(missing) ?? '';
    if (this.#flow !== 'closed') this.#queue.append(text);
  }

  /** Writes what is queued, unless the client lags. */
  flush(): void {
    if (this.#flow === 'idle' || this.#flow === 'scheduled') this.#writeAll();
  }

  flushTick(): void {
    if (this.#flow !== 'scheduled') return;
    this.#flow = 'idle';
    this.#writeAll();
  }

  /** Writes what is queued and `last` behind it, even if the client lags. Takes nothing more. */
  finishWith(last: string): void {
    this.#queue.append(last);
    this.#flow = 'closed';
    this.#writeAll();
    this.#resolveSends();
  }

  /** Drops what is queued and takes nothing more. */
  close(cause: StreamClosedError): void {
    this.#flow = 'closed';
    this.#queue.clear();
    if (this.#onDrain) (this.#sink.res as ServerResponse).off('drain', this.#onDrain);
    this.#room?.reject(new StreamClosedError(cause.reason, undefined, { cause }));
    this.#room = undefined;
  }

  /** The response has room again. */
  recover(): void {
    if (this.#flow !== 'congested') return;
    this.#flow = 'idle';
    // Now, and not before the next item, which may never come.
    this.markGap();
    if (this.isEmpty) this.#resolveSends();
    else this.flush();
  }

  /** Writes at once, so that a loop of sends that never waits learns that the response is full. */
  #pushFull(): Promise<void> | 'closed' {
    this.flush();
    if (this.#flow === 'closed') return 'closed';
    return this.#flow === 'congested' ? this.#untilRoom() : accepted;
  }

  #pushLagging(item: Chunk, key: string | undefined): Promise<void> | 'overflow' | 'closed' {
    const decision = this.#decide(key);
    if (decision === 'close') return 'overflow';
    if (decision === 'drop') {
      this.#missing++;
      this.#dropped++;
      return this.#untilRoom();
    }
    this.markGap();
    if (this.#flow === 'closed') return 'closed';
    if (this.#options.overflow !== 'latest') this.#queue.append(item);
    else if (this.#queue.putLatest(key, item)) this.#dropped++;
    return this.#untilRoom();
  }

  #decide(key: string | undefined): OverflowDecision {
    const decision = this.#decideNow(key);
    if (decision === 'take' || this.#sink.res.writableLength >= this.#highWaterMark) return decision;
    // A burst within one tick. What the kernel takes does not wait for the client, though the 'drain' is yet to come.
    this.#writeAll();
    return this.#decideNow(key);
  }

  #decideNow(key: string | undefined): OverflowDecision {
    const { overflow, maxBuffered } = this.#options;
    const backlog = {
      hasWaiter: this.#room !== undefined,
      handedDown: this.#sink.res.writableLength,
      waiting: this.#queue.length,
      superseded: key === undefined ? undefined : this.#queue.latestLengthOf(key),
    };
    return decideOverflow(overflow, backlog, maxBuffered);
  }

  #writeAll(): void {
    // Not each time: a function that makes others takes memory at each call.
    if (!this.#isOpen) this.#sink.open();
    const result = this.#queue.writeTo(this.#sink);
    if (result === 'room') this.#resolveSends();
    else if (result === 'full' && this.#flow !== 'closed') this.#becomeCongested();
  }

  #becomeCongested(): void {
    this.#flow = 'congested';
    if (this.#onDrain) return;
    // After the turn of the event loop: otherwise a source that never waits would starve everything else.
    this.#onDrain = () => {
      setImmediate(recover, this);
    };
    // One listener for the life of the stream. `on` and not `once`: `compression` reroutes only `on`.
    (this.#sink.res as ServerResponse).on('drain', this.#onDrain);
  }

  #untilRoom(): Promise<void> {
    this.#room ??= makeDeferred();
    return this.#room.promise;
  }

  #resolveSends(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}

function recover(outbox: Outbox): void {
  outbox.recover();
}
