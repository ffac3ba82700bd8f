import { randomUUID } from 'node:crypto';
import type { CloseReason } from '../../errors.ts';
import type { RequestContext } from '../context/context.ts';
import { pipeInto, type PipeOptions, type PullSource } from './pump.ts';
import type { StreamState } from './outbox.ts';
import type { GapFormat, OutStream } from './stream.ts';
import type { GapOf, KeyOf, ResolvedItemOptions } from './options.ts';

/** A source of items for `pipe`. */
export type ItemSource<Item> = AsyncIterable<Item> | Iterable<Item> | ReadableStream<Item>;

/** What event streams and record streams have in common: one client, and items sent to it. */
export interface ItemStream<Item> {
  /** A name for this stream, unique in the world; not sent. */
  readonly id: string;
  /**
   * Aborts when the stream closes. `signal.reason` is a `StreamClosedError` of the class that belongs to the close
   * reason.
   */
  readonly signal: AbortSignal;
  /**
   * Its part of the request's context: with the same signal, and the deadline of the request where `deadline` gave it
   * one.
   */
  readonly context: RequestContext;
  /** `open` takes items, `draining` hands over what it took, `closed` is over. Only ever forward. */
  readonly state: StreamState;
  /** Bytes accepted and not yet taken by the kernel. */
  readonly bufferedBytes: number;
  /**
   * Items that the client did not get because it was too slow, by option `overflow`: dropped, or superseded by a newer
   * one.
   */
  readonly dropped: number;
  /**
   * Sends one item. All sends of one tick leave in one write.
   *
   * Resolves when the connection is under its high-water mark, so that awaiting it is back-pressure; also for an item
   * that was dropped or superseded. Rejects with `StreamClosedError`, or with `InvalidEventError` or
   * `InvalidRecordError` for an item that cannot be framed: then nothing was written and the stream goes on. A
   * rejection that nothing waits for does not crash the process. An invalid item is published on the diagnostics
   * channel `sluice:stream:error`; if nothing waits for its promise, it also goes to `onError`, or is warned of.
   */
  send(item: Item): Promise<void>;
  /**
   * Sends every item of a source, pulling the next one when the client has room. Resolves at the source's end and
   * leaves the stream open. Rejects with the source's error, with `StreamClosedError` when the stream closes first, or
   * with `InvalidSourceError`; the source is then cancelled.
   */
  pipe(source: ItemSource<Item>, options?: PipeOptions): Promise<void>;
  /** Writes what waits for the end of the tick now, the head included. */
  flush(): void;
  /** Calls the listener once when the stream is closed; soon, if it is already. Returns its undo. */
  onClose(listener: (reason: CloseReason) => void): () => void;
  /** Done: finishes the body. Resolves when it was handed over or the client left. */
  end(): Promise<void>;
  /** Cuts the connection and drops what is queued. Close reason `error` with an error, else `ended`. */
  destroy(error?: Error): void;
}

/**
 * `ItemStream` over a response; a kind of stream adds how an item is framed. `AnyItem` is whatever can be framed,
 * `Item` what the application says that it sends.
 */
export abstract class OutItemStream<Item extends AnyItem, AnyItem> implements ItemStream<Item>, GapFormat {
  protected readonly out: OutStream;
  #key: KeyOf<Item> | undefined;
  #gap: GapOf<AnyItem> | undefined;
  #id: string | undefined;

  constructor(out: OutStream, { key, gap }: ResolvedItemOptions<Item, AnyItem>) {
    this.out = out;
    this.#key = key;
    this.#gap = gap;
    out.gaps = this;
  }

  /** The item's bytes; throws when it cannot be framed. */
  protected abstract format(item: AnyItem): string;

  /** What says that items are missing, where the application does not say it. */
  protected abstract defaultGap(dropped: number): AnyItem;

  get id(): string {
    return (this.#id ??= randomUUID());
  }

  get signal(): AbortSignal {
    return this.out.context.signal;
  }

  get context(): RequestContext {
    return this.out.context;
  }

  get state(): StreamState {
    return this.out.state;
  }

  get bufferedBytes(): number {
    return this.out.queuedBytes;
  }

  get dropped(): number {
    return this.out.dropped;
  }

  send(item: Item): Promise<void> {
    if (this.out.state !== 'open') return this.out.refuse();
    let text: string;
    try {
      text = this.format(item);
    } catch (error) {
      return this.out.reject(error);
    }
    return this.out.push(text, this.out.conflates ? this.#keyOf(item) : undefined);
  }

  formatGap(dropped: number): string {
    try {
      const item = this.#gap ? this.#gap(dropped) : this.defaultGap(dropped);
      return item === undefined ? '' : this.format(item);
    } catch (error) {
      this.out.onSourceError(error);
      return this.format(this.defaultGap(dropped));
    }
  }

  pipe(source: ItemSource<Item>, options?: PipeOptions): Promise<void> {
    const piped = pipeInto<Item>(this.out, source as PullSource<Item>, (item) => this.send(item), options);
    return this.out.watch(piped, () => options?.signal?.aborted !== true);
  }

  flush(): void {
    this.out.flushNow();
  }

  onClose(listener: (reason: CloseReason) => void): () => void {
    return this.out.onClosed(listener);
  }

  end(): Promise<void> {
    return this.out.finish();
  }

  destroy(error?: Error): void {
    this.out.abort(error ? 'error' : 'ended', error);
  }

  #keyOf(item: Item): string | undefined {
    try {
      return this.out.inScope(() => this.#key?.(item));
    } catch (error) {
      // The item is not at fault, and without a key nothing is lost.
      this.out.onSourceError(error);
      return undefined;
    }
  }
}
