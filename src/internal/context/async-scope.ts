import { AsyncResource } from 'node:async_hooks';

/**
 * Captures the async context of the code that runs now, to run other code in it later by `runInAsyncScope`. With manual
 * destroy: the automatic one costs a finalizer each.
 */
export function captureScope(): AsyncResource {
  return new AsyncResource('sluice', { requireManualDestroy: true });
}

/** Binds a callback to the async context of this call, as Node binds the callbacks of `write`. */
export function inScope<Args extends unknown[], Result>(
  callback: (...args: Args) => Result,
): (...args: Args) => Result {
  const scope = captureScope();
  return function (this: unknown, ...args) {
    return scope.runInAsyncScope(callback, this, ...args);
  };
}
