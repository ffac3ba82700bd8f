import { InvalidSourceError } from '../../errors.ts';
import { inScope } from '../context/async-scope.ts';
import { type OptionNames, readOptions, readSignal } from '../option.ts';
import { isAbort } from './policy/aborts.ts';

/** Anything that can be pulled from, one item at a time. */
export type PullSource<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T> | NodeJS.ReadableStream;

/** A source that is being read. */
export interface Pull<T> {
  /** Called again only when the promise of the last call has settled. */
  next(): Promise<IteratorResult<T, unknown>> | IteratorResult<T, unknown>;
  /** Tells the source that nothing more is read. `onError` gets the error of a source that fails in its cleanup. */
  cancel(reason: Error, onError: (error: unknown) => void): void;
}

/** Tells a pump when its items are not wanted any more. */
export interface ReaderGone {
  /** Why nothing is taken any more; `undefined` while items are taken. */
  readonly closedError: Error | undefined;
  /** @returns the undo */
  onClosed(listener: () => void): () => void;
  /** Gets an error that has no caller: that of a source that fails while it is cancelled. */
  onSourceError(error: unknown): void;
}

/** Whether a value can be pulled from. A string is not a source: its characters are not items. */
export function isPullSource(value: unknown): value is PullSource<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value || isReadableStream(value);
}

/** Whether a value is a `ReadableStream`. By its shape: it may be a polyfill's, or come from another realm. */
export function isReadableStream<T>(value: object): value is ReadableStream<T> {
  return 'getReader' in value && typeof value.getReader === 'function' && 'locked' in value;
}

/** Starts to read a source. Throws `InvalidSourceError` for a value that is no source, and for a locked stream. */
export function openPull<T>(source: PullSource<T>): Pull<T> {
  if (!isPullSource(source)) throw new InvalidSourceError('Expected a stream, an async iterable or an iterable');
  if (isReadableStream(source)) return pullWebStream(source);
  if ('destroy' in source && Symbol.asyncIterator in source) return pullNodeStream(source as DestroyableStream<T>);
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return {
    next: () => iterator.next() as Promise<IteratorResult<T, unknown>>,
    cancel: (_reason, onError) => void closeIterator(iterator, onError),
  };
}

type DestroyableStream<T> = AsyncIterable<T> & {
  destroy(error?: Error): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
};

function pullNodeStream<T>(stream: DestroyableStream<T>): Pull<T> {
  const iterator = stream[Symbol.asyncIterator]();
  return {
    next: () => iterator.next(),
    cancel(_reason, onError) {
      // An 'error' event during the destroy would be an uncaught exception: the iterator no longer listens.
      stream.on('error', inScope(onError));
      stream.destroy();
      void closeIterator(iterator, onError);
    },
  };
}

/** Its caller does not wait: a generator that hangs in an `await` of its own runs its `finally` when that settles. */
async function closeIterator(
  iterator: Iterator<unknown> | AsyncIterator<unknown>,
  onError: (error: unknown) => void,
): Promise<void> {
  try {
    await iterator.return?.();
  } catch (error) {
    onError(error);
  }
}

function pullWebStream<T>(stream: ReadableStream<T>): Pull<T> {
  if (stream.locked) throw new InvalidSourceError('The ReadableStream is locked: it has a reader already');
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    cancel(reason, onError) {
      reader.cancel(reason).catch(onError);
    },
  };
}

/**
 * Moves items from a source to `take`, one at a time: the next one is pulled when `take` has settled. Resolves at the
 * end of the source.
 *
 * Rejects with the error of the source, with the error of `take`, or with the `closedError` of the reader. In the last
 * two cases the source is cancelled at once, even while it is silent.
 */
export async function pump<T>(
  pull: Pull<T>,
  reader: ReaderGone,
  take: (item: T) => Promise<void> | undefined,
): Promise<void> {
  let wake: (() => void) | undefined;
  let isPulling = false;
  const undo = reader.onClosed(() => wake?.());
  // One callback for the whole loop. A race with a promise that outlives the loop would keep a reaction for every item.
  const unlessClosed = <R>(promise: PromiseLike<R> | R): Promise<R> =>
    new Promise((resolve, reject) => {
      let isLate = false;
      wake = () => {
        isLate = true;
        isPulling = false;
        reject(reader.closedError);
      };
      Promise.resolve(promise).then(resolve, (error: unknown) => {
        // A source that fails because it was told to stop has not failed.
        if (isLate && !isAbort(error) && error !== reader.closedError) reader.onSourceError(error);
        reject(error);
      });
    });
  try {
    for (;;) {
      if (reader.closedError) throw reader.closedError;
      isPulling = true;
      const result = await unlessClosed(pull.next());
      if (result.done === true) return;
      isPulling = false;
      const taken = take(result.value);
      if (taken) await unlessClosed(taken);
    }
  } catch (error) {
    // An error that comes while an item is being pulled is the source's own: it has ended itself.
    if (!isPulling) {
      pull.cancel(error as Error, (failure) => {
        if (failure !== error && !isAbort(failure)) reader.onSourceError(failure);
      });
    }
    throw error;
  } finally {
    wake = undefined;
    undo();
  }
}

/** Options of `pipe`. */
export interface PipeOptions {
  /**
   * Stops the pipe: the source is cancelled and `pipe` rejects with `signal.reason`. The stream stays open.
   * @defaultValue none
   */
  signal?: AbortSignal | undefined;
}

const pipeNames: OptionNames<PipeOptions> = { signal: true };
const pipeAdvice = { instead: { end: 'The stream stays open. Call `stream.end()` after it.' } };

/** Opens a source and pumps it, until it ends or the reader or the signal stops it. Rejects as `pump`. */
export async function pipeInto<T>(
  reader: ReaderGone,
  source: PullSource<T>,
  take: (item: T) => Promise<void>,
  options?: PipeOptions,
): Promise<void> {
  const signal = readSignal('pipe.signal', readOptions('pipe', options, pipeNames, pipeAdvice).signal);
  await pump(openPull(source), signal ? goneOrAborted(reader, signal) : reader, take);
}

/** A reader that is gone when the signal aborts, too. */
export function goneOrAborted(reader: ReaderGone, signal: AbortSignal): ReaderGone {
  return {
    get closedError() {
      return reader.closedError ?? (signal.aborted ? (signal.reason as Error) : undefined);
    },
    onClosed(listener) {
      const undo = reader.onClosed(listener);
      signal.addEventListener('abort', listener);
      return () => {
        undo();
        signal.removeEventListener('abort', listener);
      };
    },
    onSourceError: (error) => {
      reader.onSourceError(error);
    },
  };
}
