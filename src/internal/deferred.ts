/** A promise settled from outside. */
export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A pending `Deferred`, whose rejection nobody needs to handle. */
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
 * A client that leaves must not crash a process whose sender did not wait for `send`. Who awaits still sees the
 * rejection.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Whether a value is a promise, of whatever make. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/**
 * Settles as `promise` does, or rejects with `late()` when that takes longer than `limit` ms. Until then it keeps the
 * process alive, unless `idles`.
 */
export function within<T>(
  promise: PromiseLike<T>,
  limit: number,
  late: () => Error,
  { idles = false }: { readonly idles?: boolean } = {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    // What settled while the process stood still waits behind its timers.
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

  // `await` and the methods of `Promise` call this too, since the class is not theirs.
  override then<A = T, B = never>(
    onResolve?: ((value: T) => A | PromiseLike<A>) | null,
    onReject?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isWatched = true;
    return super.then(onResolve, onReject);
  }
}

/**
 * The same promise for a caller who may ignore it. Its rejection crashes nothing; if nothing waits for it a turn of the
 * event loop later, `onIgnored` gets the error.
 */
export function watched<T>(promise: Promise<T>, onIgnored: (error: unknown) => void): Promise<T> {
  const result = new WatchedPromise<T>((resolve, reject) => void promise.then(resolve, reject));
  const judge = (error: unknown): void => {
    if (!result.isWatched) onIgnored(error);
  };
  void Promise.prototype.then.call(result, undefined, (error: unknown) => void setImmediate(judge, error));
  return result;
}
