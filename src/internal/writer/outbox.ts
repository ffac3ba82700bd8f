import type { ServerResponse } from 'node:http';
import { StreamClosedError } from '../../errors.ts';
import { type Deferred, makeDeferred } from '../deferred.ts';
import { decideOverflow, LatestItems, type Overflow, type OverflowDecision } from './policy/overflow.ts';
import type { HttpResponse } from '../http/message.ts';
import { atTickEnd, type Flushable } from './tick.ts';

/** `open` takes items, `draining` hands over what it took, `closed` is over. Only forward, and only in `OutStream`. */
export type StreamState = 'open' | 'draining' | 'closed';

/** The stream that an outbox belongs to. */
export interface Outlet {
  readonly res: HttpResponse;
  readonly state: StreamState;
  /** Writes what is queued, after the head. */
  flushNow(): void;
  /** Passes text to the response. Does not throw. @returns whether there is room for more */
  handDown(text: string): boolean;
  /** The text that stands where items are missing; `''` for none. Runs code of the application, and does not throw. */
  formatGap(dropped: number): string;
  abort(reason: 'slow-consumer'): void;
  refuse(): Promise<never>;
}

/** How much may wait, and what happens beyond that. */
export interface OutboxOptions {
  readonly maxBuffered: number;
  readonly overflow: Overflow;
}

const accepted = Promise.resolve();

/**
 * What waits on its way to one client: for the end of the tick, or for the client to catch up.
 *
 *     push ──▶ text ──tick end──▶ handDown ──▶ layers ─▶ socket
 *      │        ▲                    │ false
 *      │        │     congested ◀────┘
 *      │        └── 'drain' ┘ │
 *      └─────── over budget: close, drop, or the latest of each key
 */
export class Outbox implements Flushable {
  #outlet: Outlet;
  #options: OutboxOptions;
  #text = '';
  /** With `latest`, what waits while the client lags; then `#text` is empty. */
  #latest: LatestItems | undefined;
  #flow: 'idle' | 'scheduled' | 'congested' = 'idle';
  #highWaterMark = 0;
  #waiter: Deferred | undefined;
  #onDrain: (() => void) | undefined;
  /** Dropped since the last marker. Always 0 when not congested. */
  #missing = 0;
  #dropped = 0;

  constructor(outlet: Outlet, options: OutboxOptions) {
    this.#outlet = outlet;
    this.#options = options;
  }

  get bytes(): number {
    return Buffer.byteLength(this.#text) + (this.#latest?.bytes ?? 0);
  }

  /** Items that were dropped or superseded so far. */
  get dropped(): number {
    return this.#dropped;
  }

  get isEmpty(): boolean {
    return this.#text === '' && !this.#latest;
  }

  /** Whether an item that comes now may take the place of another: only then does its key matter. */
  get conflates(): boolean {
    return this.#flow === 'congested' && this.#options.overflow === 'latest';
  }

  /** Queues an item. Resolves when the connection is under its high-water mark; rejects with `StreamClosedError`. */
  push(text: string, key: string | undefined): Promise<void> {
    if (this.#flow === 'congested') return this.#pushLagging(text, key);
    this.#text += text;
    this.#highWaterMark ||= this.#outlet.res.writableHighWaterMark;
    if (this.#text.length >= this.#highWaterMark) return this.#pushFull();
    if (this.#flow === 'idle') this.#schedule();
    return accepted;
  }

  /** Queues text before everything else. */
  prepend(text: string): void {
    this.#text = text + this.#text;
  }

  /** Queues the last text, however much waits already. */
  conclude(text: string): void {
    this.#markGap();
    if (this.#isOpen()) this.#text = this.#takeAll() + text;
  }

  /** Writes what is queued, if the client keeps up. */
  flush(): void {
    if (this.#flow !== 'congested') this.writeAll();
  }

  /** Writes what is queued, also when the client lags. */
  writeAll(): void {
    const text = this.#takeAll();
    if (text === '') return;
    if (this.#outlet.handDown(text)) this.settle();
    else if (this.#outlet.state !== 'closed') this.#becomeCongested();
  }

  flushTick(): void {
    if (this.#flow !== 'scheduled') return;
    this.#flow = 'idle';
    this.#outlet.flushNow();
  }

  /** Lets those go on who wait. */
  settle(): void {
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }

  /** The stream is closed: nothing is wanted any more. */
  close(cause: StreamClosedError): void {
    this.#takeAll();
    if (this.#onDrain) (this.#outlet.res as ServerResponse).off('drain', this.#onDrain);
    this.#waiter?.reject(new StreamClosedError(cause.reason, undefined, { cause }));
    this.#waiter = undefined;
  }

  recover(): void {
    if (this.#flow !== 'congested' || !this.#isOpen()) return;
    this.#flow = 'idle';
    // At once, and not when the next item comes, which may be never.
    this.#markGap();
    if (this.isEmpty) this.settle();
    else this.flush();
  }

  #isOpen(): boolean {
    return this.#outlet.state === 'open';
  }

  #schedule(): void {
    this.#flow = 'scheduled';
    atTickEnd(this);
  }

  /** More than the mark is queued: it goes out at once if it can, so that no loop of sends outgrows the mark unseen. */
  #pushFull(): Promise<void> {
    this.#outlet.flushNow();
    if (!this.#isOpen()) return this.#outlet.refuse();
    return this.#flow === 'congested' ? this.#wait() : accepted;
  }

  #pushLagging(text: string, key: string | undefined): Promise<void> {
    const decision = this.#decide(key);
    if (decision === 'close') this.#outlet.abort('slow-consumer');
    else if (decision === 'drop') this.#drop();
    else this.#markGap();
    if (!this.#isOpen()) return this.#outlet.refuse();
    if (decision === 'take') this.#keep(text, key);
    return this.#wait();
  }

  #decide(key: string | undefined): OverflowDecision {
    const decision = this.#decideNow(key);
    if (decision === 'take' || this.#outlet.res.writableLength >= this.#highWaterMark) return decision;
    // A burst within one tick: what the kernel takes is not waiting for the client, though 'drain' is yet to come.
    this.writeAll();
    return this.#decideNow(key);
  }

  #decideNow(key: string | undefined): OverflowDecision {
    const { overflow, maxBuffered } = this.#options;
    // Characters instead of bytes: a lower bound that costs nothing.
    const waiting = this.#text.length + (this.#latest?.length ?? 0);
    const superseded = key === undefined ? undefined : (this.#latest?.lengthOf(key) ?? 0);
    return decideOverflow(
      overflow,
      { hasWaiter: this.#waiter !== undefined, handedDown: this.#outlet.res.writableLength, waiting, superseded },
      maxBuffered,
    );
  }

  #drop(): void {
    this.#missing++;
    this.#dropped++;
  }

  #keep(text: string, key: string | undefined): void {
    if (this.#options.overflow !== 'latest') {
      this.#text += text;
      return;
    }
    this.#latest ??= new LatestItems();
    if (this.#latest.put(key, text)) this.#dropped++;
  }

  /** Says where items are missing, before the next one. */
  #markGap(): void {
    if (this.#missing === 0 || !this.#isOpen()) return;
    const missing = this.#missing;
    this.#missing = 0;
    const marker = this.#outlet.formatGap(missing);
    // Meanwhile the application may have closed the stream.
    if (this.#isOpen()) this.#text += marker;
  }

  #takeAll(): string {
    const text = this.#latest ? this.#text + this.#latest.join() : this.#text;
    this.#text = '';
    this.#latest = undefined;
    return text;
  }

  #becomeCongested(): void {
    this.#flow = 'congested';
    if (this.#onDrain) return;
    // After the turn of the loop, and not in it: a source that never waits would otherwise starve everything else.
    this.#onDrain = () => {
      setImmediate(recover, this);
    };
    // One listener for the life of the stream, `on` and not `once`: `compression` reroutes only `on`.
    (this.#outlet.res as ServerResponse).on('drain', this.#onDrain);
  }

  #wait(): Promise<void> {
    this.#waiter ??= makeDeferred();
    return this.#waiter.promise;
  }
}

function recover(outbox: Outbox): void {
  outbox.recover();
}
