import { AsyncResource } from 'node:async_hooks';

/**
 * The async context of the code that runs now, for what has to run in it later: `runInAsyncScope`. With manual destroy,
 * because the automatic one costs the garbage collector a finalizer for each.
 */
export function captureScope(): AsyncResource {
  return new AsyncResource('sluice', { requireManualDestroy: true });
}

/** A callback that runs in the async context in which it was given, as the callbacks of Node's own `write` do. */
export function inScope<Args extends unknown[], Result>(
  callback: (...args: Args) => Result,
): (...args: Args) => Result {
  const scope = captureScope();
  return function (this: unknown, ...args) {
    return scope.runInAsyncScope(callback, this, ...args);
  };
}
