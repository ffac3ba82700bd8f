import { ClientClosedError } from '../../errors.ts';
import { inScope } from '../../internal/context/async-scope.ts';
import { callEach } from '../../internal/listeners.ts';
import type { WriteCallback } from '../../internal/seam/layer.ts';

/** Answers a write to a response that is closed, as `write` does. */
export function refuse(callback: WriteCallback | undefined): false {
  if (callback) process.nextTick(callback, new ClientClosedError());
  return false;
}

// As Node, which calls each in a tick of its own.
function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

/** Write callbacks that wait for their bytes to be taken. Each is called exactly once. */
export class Callbacks {
  // Most writers give none: an array only for those that do.
  #waiting: WriteCallback[] | undefined;
  /** Those handed over last, until they are called. */
  #underway: WriteCallback[] | undefined;

  add(callback: WriteCallback | undefined): void {
    // Bytes of several writes go on together: each callback runs in the async context of its own.
    if (callback) (this.#waiting ??= []).push(inScope(callback));
  }

  /** Hands over all that wait now, as one callback; `undefined` when none does. */
  take(): WriteCallback | undefined {
    return this.#waiting && this.#handOver(this.#waiting);
  }

  // In a method of its own: a function made within `take` would take memory at each call.
  #handOver(taken: WriteCallback[]): WriteCallback {
    this.#waiting = undefined;
    this.#underway = taken;
    return (error) => {
      if (this.#underway === taken) this.#underway = undefined;
      callEach(taken, (callback) => callback(error), throwLater);
    };
  }

  /** Calls those that wait for no bytes of their own, after those that were handed over before. */
  settle(): void {
    if (this.#underway) {
      this.#underway.push(...(this.#waiting ?? []));
      this.#waiting = undefined;
    } else {
      const callback = this.take();
      this.#underway = undefined;
      if (callback) process.nextTick(callback);
    }
  }

  /** The response is closed: what waits will not be sent. */
  close(): void {
    const callback = this.take();
    // Not within the close itself, where a callback that throws would leave other things open.
    if (callback) process.nextTick(callback, new ClientClosedError());
  }
}
