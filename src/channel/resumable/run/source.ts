import { setImmediate as nextTurn } from 'node:timers/promises';
import { InvalidSourceError } from '../../../errors.ts';
import { handled } from '../../../internal/deferred.ts';
import { isPullSource, openPull, type Pull } from '../../../internal/writer/pump.ts';

// A generator that never waits would hold up the process: its clients, and the timer that gives it up.
const longestTurn = 5;

/** What `run` of the application makes, read one item at a time. It may never answer: then it is given up. */
export class Source {
  readonly #opened: Promise<Pull<unknown>>;
  readonly #onLateError: (error: unknown) => void;
  #pull: Pull<unknown> | undefined;
  #isGivenUp = false;
  #stopWaiting: (() => void) | undefined;
  #turnEnd = performance.now() + longestTurn;

  /** Calls `run` at once. @param onLateError - gets what the application throws when nothing is read any more */
  constructor(run: () => unknown, onLateError: (error: unknown) => void) {
    this.#onLateError = onLateError;
    this.#opened = handled(openSource(run));
  }

  /** The next item; `undefined`: it was given up. Rejects with what the application throws. */
  async next(): Promise<IteratorResult<unknown, unknown> | undefined> {
    if (performance.now() > this.#turnEnd) {
      await nextTurn();
      this.#turnEnd = performance.now() + longestTurn;
    }
    const pull = (this.#pull ??= await this.#unlessGivenUp(() => this.#opened));
    return pull && this.#unlessGivenUp(() => pull.next());
  }

  /** Nothing more is read: it gave what cannot be taken. */
  cancel(error: Error): void {
    this.#pull?.cancel(error, this.#onLateError);
  }

  /** Nothing more is waited for. What `run` makes later is closed all the same. */
  giveUp(reason: Error): void {
    this.#isGivenUp = true;
    this.#stopWaiting?.();
    this.#opened.then(
      (pull) => pull.cancel(reason, this.#onLateError),
      () => undefined,
    );
  }

  /** Not by `Promise.race`: each would leave something at a promise that lives as long as the run. */
  #unlessGivenUp<T>(call: () => T | PromiseLike<T>): Promise<T | undefined> {
    if (this.#isGivenUp) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#stopWaiting = () => resolve(undefined);
      Promise.resolve(call()).then(resolve, (error: unknown) => {
        if (this.#isGivenUp) this.#onLateError(error);
        reject(error);
      });
    });
  }
}

async function openSource(run: () => unknown): Promise<Pull<unknown>> {
  const source = await run();
  if (!isPullSource(source)) throw new InvalidSourceError('`run` of `resumable` returned no source');
  return openPull(source);
}
