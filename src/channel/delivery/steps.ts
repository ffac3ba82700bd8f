import { isThenable } from '../../internal/deferred.ts';

/**
 * Steps that wait for promises only where there are some. What is there at once is done at once, in the same tick: an
 * `async` function would end later even then.
 */
export type Steps<T = void> = Generator<PromiseLike<unknown>, T, unknown>;

/** The value, or what the promise resolves with: `const page = yield* settled(log.read(…))`. */
export function* settled<T>(value: T | PromiseLike<T>): Steps<T> {
  return isThenable(value) ? ((yield value) as T) : value;
}

/** Takes steps until the first promise, and the rest when that settles. `onError` gets what they throw. */
export function take(steps: Steps, onError: (error: unknown) => void): void {
  go(() => steps.next());

  function go(next: () => IteratorResult<PromiseLike<unknown>, void>): void {
    try {
      const { done, value } = next();
      if (done === true) return;
      value.then(
        (result) => go(() => steps.next(result)),
        (error: unknown) => go(() => steps.throw(error)),
      );
    } catch (error) {
      onError(error);
    }
  }
}

/** The same, but throws what fails before the first promise. @param onLate - gets what fails later */
export function begin(steps: Steps, onLate: (error: unknown) => void): void {
  let isBeginning = true;
  const failures: unknown[] = [];
  take(steps, (error) => {
    if (isBeginning) failures.push(error);
    else onLate(error);
  });
  isBeginning = false;
  if (failures.length > 0) throw failures[0];
}
