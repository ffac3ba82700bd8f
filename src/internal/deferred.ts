/** A promise settled from outside. */
export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A pending `Deferred`. Its rejection need not be handled. */
export function makeDeferred(): Deferred {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise: handled(promise), resolve, reject };
}

/**
 * Marks a rejection as handled, and returns the promise: code that awaits it still gets the rejection. A client that
 * leaves must not crash the process of a sender that did not wait for `send`.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Whether a value is a promise, also one of another class. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/**
 * Settles as `promise` does, or rejects with `late()` if that takes longer than `limit` ms. Until then it keeps the
 * process alive, unless `idles`.
 */
export function within<T>(
  promise: PromiseLike<T>,
  limit: number,
  late: () => Error,
  { idles = false }: { readonly idles?: boolean } = {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    // After a pause of the process, timers run before the promises that settled meanwhile.
    const timer = setTimeout(() => setImmediate(() => reject(late())), limit);
    if (idles) timer.unref();
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

class WatchedPromise<T> extends Promise<T> {
  isWatched = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  // `await` and the methods of `Promise` call this too: the promise is of another class than theirs.
  override then<A = T, B = never>(
    onResolve?: ((value: T) => A | PromiseLike<A>) | null,
    onReject?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isWatched = true;
    return super.then(onResolve, onReject);
  }
}

/**
 * The same promise, for a caller that may ignore it. Its rejection does not crash the process. If nothing waits for it
 * one turn of the event loop after the rejection, `onIgnored` gets the error.
 */
export function watched<T>(promise: Promise<T>, onIgnored: (error: unknown) => void): Promise<T> {
  const result = new WatchedPromise<T>((resolve, reject) => void promise.then(resolve, reject));
  const judge = (error: unknown): void => {
    if (!result.isWatched) onIgnored(error);
  };
  void Promise.prototype.then.call(result, undefined, (error: unknown) => void setImmediate(judge, error));
  return result;
}
