import { ClientClosedError } from '../errors.ts';
import type { WriteCallback } from '../internal/layer.ts';

/** Write callbacks that wait for their bytes to be taken. Each is called exactly once. */
export class Callbacks {
  #waiting: WriteCallback[] = [];

  add(callback: WriteCallback | undefined): void {
    if (callback) this.#waiting.push(callback);
  }

  /** Hands over all that wait now, as one callback; `undefined` when none does. */
  take(): WriteCallback | undefined {
    const taken = this.#waiting;
    if (taken.length === 0) return undefined;
    this.#waiting = [];
    return (error) => {
      for (const callback of taken) callback(error);
    };
  }

  /** The response is closed: what waits will not be sent. */
  close(): void {
    const callback = this.take();
    // Not within the close itself, where a callback that throws would leave other things open.
    if (callback) process.nextTick(callback, new ClientClosedError());
  }
}
