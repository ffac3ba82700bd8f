import { randomUUID } from 'node:crypto';
import type { CloseReason } from '../../errors.ts';
import type { RequestContext } from '../context/contract.ts';
import { watched } from '../deferred.ts';
import { publishError } from '../events.ts';
import { requireFunction } from '../option.ts';
import type { Departure, FiniteReason } from '../seam/layer.ts';
import type { GapOf, KeyOf, ResolvedItemOptions } from './options.ts';
import type { GapFormat } from './outbox.ts';
import { isAbort, refused } from './policy/aborts.ts';
import { pipeInto, type PipeOptions, type PullSource } from './pump.ts';
import type { OutStream, StreamState } from './stream.ts';

/** A source of items for `pipe`. */
export type ItemSource<Item> = AsyncIterable<Item> | Iterable<Item> | ReadableStream<Item>;

/** What event streams and record streams have in common: one client, and items sent to it. */
export interface ItemStream<Item> {
  /** A name for this stream, unique in the world. It is not sent. */
  readonly id: string;
  /**
   * Aborts when the stream closes. `signal.reason` is a `StreamClosedError` of the class that belongs to the close
   * reason.
   */
  readonly signal: AbortSignal;
  /** The stream's part of the request's context: the same signal, and the deadline that `deadline` gave the request. */
  readonly context: RequestContext;
  /** `open` takes items, `draining` sends what it took, `closed` is over. Only ever forward. */
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
   * Resolves when the connection is under its high-water mark, so that awaiting it is back-pressure. It also resolves
   * for an item that was dropped or superseded.
   *
   * Rejects with `StreamClosedError` when the stream is closed. Rejects with `InvalidEventError` or
   * `InvalidRecordError` for an item that cannot be framed: nothing is written, and the stream goes on.
   *
   * A rejection that is not handled does not crash the process. An invalid item is published on the diagnostics channel
   * `sluice:stream:error`. If its promise is not handled, the error also goes to `onError`, or becomes a warning.
   */
  send(item: Item): Promise<void>;
  /**
   * Sends every item of a source and pulls the next one when the client has room. Resolves at the end of the source
   * and leaves the stream open. Rejects with the error of the source, with `InvalidSourceError`, or with
   * `StreamClosedError` when the stream closes first; the source is then cancelled.
   */
  pipe(source: ItemSource<Item>, options?: PipeOptions): Promise<void>;
  /** Writes now what waits for the end of the tick, the head included. */
  flush(): void;
  /** Calls the listener once when the stream is closed; soon, if it is already. Returns its undo. */
  onClose(listener: (reason: CloseReason) => void): () => void;
  /** Ends the body. Resolves when all of it was sent, or when the client has left. */
  end(): Promise<void>;
  /** Cuts the connection and drops what is queued. The close reason is `error` if an error is given, else `ended`. */
  destroy(error?: Error): void;
}

/**
 * `ItemStream` over a response. A kind of stream adds how an item is framed, and how its client is told to leave.
 * `Item` is what the application says that it sends, `AnyItem` everything that can be framed.
 */
export abstract class OutItemStream<Item extends AnyItem, AnyItem> implements ItemStream<Item>, GapFormat, Departure {
  protected readonly out: OutStream;
  #key: KeyOf<Item> | undefined;
  #gap: GapOf<AnyItem> | undefined;
  #id: string | undefined;

  constructor(out: OutStream, { key, gap }: ResolvedItemOptions<Item, AnyItem>) {
    this.out = out;
    this.#key = key;
    this.#gap = gap;
    out.outbox.gaps = this;
    out.departure = this;
  }

  /** The text of an item. Throws when it cannot be framed. */
  protected abstract format(item: AnyItem): string;

  /** The item that says that others are missing, unless the application makes one. */
  protected abstract defaultGap(dropped: number): AnyItem;

  /** The error of a call of `send` or `end` with an argument that it does not take. */
  protected abstract extraError(method: 'send' | 'end', first: unknown): Error;

  abstract finiteBecause(): FiniteReason | undefined;

  abstract leave(): Promise<void>;

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
    return this.out.state === 'closed' ? 0 : this.out.outbox.bytes + this.out.res.writableLength;
  }

  get dropped(): number {
    return this.out.outbox.dropped;
  }

  /** @param extra - a mistake, if it is an object: `send` takes one argument */
  send(item: Item, extra?: unknown): Promise<void> {
    if (this.out.state !== 'open') return refused(this.out.closedError);
    let text: string;
    try {
      if (isMistake(item, extra)) throw this.extraError('send', item);
      text = this.format(item);
    } catch (error) {
      return rejectItem(this.out, error);
    }
    return this.out.push(text, this.#key && this.out.outbox.isCongested ? this.#keyOf(item) : undefined);
  }

  formatGap(dropped: number): string {
    return this.out.inScope(() => {
      try {
        const item = this.#gap ? this.#gap(dropped) : this.defaultGap(dropped);
        return item === undefined ? '' : this.format(item);
      } catch (error) {
        this.out.onSourceError(error);
        return this.format(this.defaultGap(dropped));
      }
    });
  }

  pipe(source: ItemSource<Item>, options?: PipeOptions): Promise<void> {
    const piped = pipeInto<Item>(this.out, source as PullSource<Item>, (item) => this.send(item), options);
    return watchPipe(this.out, piped, options?.signal);
  }

  flush(): void {
    this.out.outbox.flush();
  }

  onClose(listener: (reason: CloseReason) => void): () => void {
    requireFunction('onClose.listener', listener);
    return this.out.onClosed(listener);
  }

  /** @param extra - a mistake: `end` takes nothing. The stream ends all the same. */
  end(extra?: unknown): Promise<void> {
    const ended = this.out.finish();
    return extra === undefined ? ended : rejectItem(this.out, this.extraError('end', extra));
  }

  destroy(error?: Error): void {
    this.out.abort(error ? 'error' : 'ended', error);
  }

  #keyOf(item: Item): string | undefined {
    try {
      return this.out.inScope(() => this.#key?.(item));
    } catch (error) {
      // The item is sent all the same. Without a key it supersedes no other.
      this.out.onSourceError(error);
      return undefined;
    }
  }
}

/** The rejection of an item that cannot be sent. The stream goes on. */
function rejectItem(out: OutStream, error: unknown): Promise<never> {
  out.inScope(() => publishError(out.req, error));
  return watched(Promise.reject(error as Error), (ignored) => out.onSourceError(ignored));
}

/**
 * The promise of a pipe, whose caller may ignore it. A failure is published, and reported if it is not handled. An
 * abort, and what follows from the caller's signal, is no failure.
 */
function watchPipe(out: OutStream, promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const isFailure = (error: unknown): boolean => !isAbort(error) && signal?.aborted !== true;
  promise.catch((error: unknown) => {
    if (isFailure(error)) out.inScope(() => publishError(out.req, error));
  });
  return watched(promise, (ignored) => {
    if (isFailure(ignored)) out.onSourceError(ignored);
  });
}

/**
 * Whether a second argument of `send` is meant for it: data behind a name, a name behind data, a callback. Callers that
 * give more arguments than one, such as `forEach` or a message broker, mean none of these.
 */
function isMistake(item: unknown, extra: unknown): boolean {
  if (typeof extra === 'string') return typeof item === 'object';
  return (typeof extra === 'object' && extra !== null) || typeof extra === 'function';
}
