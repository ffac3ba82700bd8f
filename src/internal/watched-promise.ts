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
