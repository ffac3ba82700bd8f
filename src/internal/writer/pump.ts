import { InvalidSourceError, StreamClosedError } from '../../errors.ts';
import { inScope } from '../context/async-scope.ts';

/** Anything that can be pulled from, one item at a time. */
export type PullSource<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T> | NodeJS.ReadableStream;

/** A source being read: one `next` at a time, and an end that may come at any moment. */
export interface Pull<T> {
  next(): Promise<IteratorResult<T, unknown>> | IteratorResult<T, unknown>;
  /** Tells the source that nobody reads any more; `onError` hears of a source that fails while it cleans up. */
  cancel(reason: Error, onError: (error: unknown) => void): void;
}

/** Tells when the reader's side is gone. */
export interface Gate {
  /** Why nothing can be taken any more, or `undefined` while it can. */
  readonly closedError: Error | undefined;
  onClosed(listener: () => void): () => void;
  /** An error that has no caller: a source that fails while it is cancelled. */
  onSourceError(error: unknown): void;
}

/** Whether a value can be pulled from. Strings are not sources: their characters are nobody's events. */
export function isPullSource(value: unknown): value is PullSource<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value || isReadableStream(value);
}

/**
 * Whether a value is a `ReadableStream`: by its shape, since it may be of a polyfill's making, or of another realm's.
 */
export function isReadableStream<T>(value: object): value is ReadableStream<T> {
  return 'getReader' in value && typeof value.getReader === 'function' && 'locked' in value;
}

/**
 * Starts to read a source. Throws `InvalidSourceError` for something that is none, or that is being read by somebody
 * else.
 */
export function openPull<T>(source: PullSource<T>): Pull<T> {
  if (!isPullSource(source)) throw new InvalidSourceError('Expected a stream, an async iterable or an iterable');
  if (isReadableStream(source)) return pullWebStream(source);
  if ('destroy' in source && Symbol.asyncIterator in source) return pullNodeStream(source as DestroyableStream<T>);
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return {
    next: () => iterator.next() as Promise<IteratorResult<T, unknown>>,
    cancel(_reason, onError) {
      // A generator that hangs in an await of its own runs its `finally` when that settles: nobody waits for it here.
      Promise.resolve(iterator.return?.()).catch(onError);
    },
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
      // What the stream reports on its way down has no reader left, and would be an uncaught exception.
      stream.on('error', inScope(onError));
      stream.destroy();
      Promise.resolve(iterator.return?.()).catch(onError);
    },
  };
}

function pullWebStream<T>(stream: ReadableStream<T>): Pull<T> {
  if (stream.locked) throw new InvalidSourceError('The ReadableStream is locked: somebody else is reading it');
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    cancel(reason, onError) {
      reader.cancel(reason).catch(onError);
    },
  };
}

/**
 * Moves items from a source to `take`, one at a time: the next one is pulled when `take` has settled.
 * Resolves at the end of the source; rejects with the source's error, with what `take` threw, or with the gate's
 * `closedError`. In the last two cases the source is cancelled, even while it is silent.
 */
export async function pump<T>(pull: Pull<T>, gate: Gate, take: (item: T) => Promise<void> | undefined): Promise<void> {
  let wake: (() => void) | undefined;
  let pulling = false;
  const undo = gate.onClosed(() => wake?.());
  // A race with a promise that outlives the loop would keep a reaction on it for every item; this keeps one callback.
  const unlessClosed = <R>(promise: PromiseLike<R> | R): Promise<R> =>
    new Promise((resolve, reject) => {
      let late = false;
      wake = () => {
        late = true;
        pulling = false;
        reject(gate.closedError);
      };
      Promise.resolve(promise).then(resolve, (error: unknown) => {
        // A source that fails because it was told to stop has not failed.
        if (late && !isAbort(error) && error !== gate.closedError) gate.onSourceError(error);
        reject(error);
      });
    });
  try {
    for (;;) {
      if (gate.closedError) throw gate.closedError;
      pulling = true;
      const result = await unlessClosed(pull.next());
      if (result.done === true) return;
      pulling = false;
      const taken = take(result.value);
      if (taken) await unlessClosed(taken);
    }
  } catch (error) {
    // While it is being pulled the error is the source's own: it has ended itself.
    if (!pulling) {
      pull.cancel(error as Error, (failure) => {
        if (failure !== error && !isAbort(failure)) gate.onSourceError(failure);
      });
    }
    throw error;
  } finally {
    wake = undefined;
    undo();
  }
}

/** Whether an error only says that nothing waits any more: not a failure of the code that throws it. */
export function isAbort(error: unknown): boolean {
  return (
    error instanceof StreamClosedError ||
    (typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError')
  );
}

// Node, undici and axios: what was being read or written has been cut.
const cutCodes: readonly unknown[] = [
  'ABORT_ERR',
  'ERR_CANCELED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_ABORTED',
];

/**
 * Whether an error that comes after a close only follows from it, whatever a source calls that: SDKs have classes of
 * their own, such as `APIUserAbortError`, without a name or a code.
 */
export function followsFromClose(error: unknown): boolean {
  let each = error;
  for (let depth = 0; typeof each === 'object' && each !== null && depth < 5; depth++) {
    const { code, cause } = each as { code?: unknown; cause?: unknown };
    if (isAbort(each) || cutCodes.includes(code) || /abort|cancel/i.test(classOf(each))) return true;
    each = cause;
  }
  return false;
}

/** By its shape: an error may be of another realm, or have no prototype. */
function classOf(error: object): string {
  const { constructor } = error as { constructor?: unknown };
  return typeof constructor === 'function' ? constructor.name : '';
}

/** Options of `pipe`. */
export interface PipeOptions {
  /** Stops the pipe: the source is cancelled and `pipe` rejects with `signal.reason`. The stream stays open. */
  signal?: AbortSignal;
}

/** Pumps a source into a stream. */
export async function pipeInto<T>(
  gate: Gate,
  source: PullSource<T>,
  take: (item: T) => Promise<void>,
  options: PipeOptions = {},
): Promise<void> {
  const { signal } = options;
  await pump(openPull(source), signal ? gateWithSignal(gate, signal) : gate, take);
}

/** A gate that an abort closes too. */
export function gateWithSignal(gate: Gate, signal: AbortSignal): Gate {
  return {
    get closedError() {
      return gate.closedError ?? (signal.aborted ? (signal.reason as Error) : undefined);
    },
    onClosed(listener) {
      const undo = gate.onClosed(listener);
      signal.addEventListener('abort', listener);
      return () => {
        undo();
        signal.removeEventListener('abort', listener);
      };
    },
    onSourceError: (error) => {
      gate.onSourceError(error);
    },
  };
}
