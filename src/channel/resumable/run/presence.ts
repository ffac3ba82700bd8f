import { startTimer } from '../../../internal/time/clock.ts';

/** What `Presence` goes by. */
export interface PresenceOptions {
  /** ms without clients after which nothing waits for the answer; `Infinity`: never. */
  readonly cancelAfter: number;
  /** ms for which a process counts that says it has clients. */
  readonly lease: number;
  /** The clock. Returns the undo. @defaultValue the system's */
  readonly startTimer?: typeof startTimer;
}

/** The clients of a run, as its producer knows them: those of this process, and processes that say they have some. */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #onAbandoned: () => void;
  readonly #startTimer: typeof startTimer;
  /** The timers of other processes, by their ids. */
  readonly #others = new Map<string, () => void>();
  #local = 0;
  #departures = 0;
  #stopWaiting: (() => void) | undefined;
  #isClosed = false;

  /** @param onAbandoned - called once there were no clients for `cancelAfter` */
  constructor(options: PresenceOptions, onAbandoned: () => void) {
    this.#options = options;
    this.#onAbandoned = onAbandoned;
    this.#startTimer = options.startTimer ?? startTimer;
  }

  /** The number of clients in this process. @param isMoving - one left to come back, maybe to another process */
  setLocal(count: number, isMoving: boolean): void {
    this.#local = count;
    if (isMoving) this.#note(`moving ${String((this.#departures += 1))}`);
    this.#judge();
  }

  /** Another process has clients. */
  note(process: string): void {
    this.#note(process);
    this.#judge();
  }

  /** It has none any more. */
  forget(process: string): void {
    this.#others.get(process)?.();
    this.#others.delete(process);
    this.#judge();
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#others.values()) stop();
    this.#others.clear();
    this.#stopWaiting?.();
  }

  #note(process: string): void {
    if (this.#isClosed) return;
    this.#others.get(process)?.();
    this.#others.set(
      process,
      this.#startTimer(this.#options.lease, () => this.forget(process)),
    );
  }

  #judge(): void {
    const { cancelAfter } = this.#options;
    const isAwaited = this.#local > 0 || this.#others.size > 0;
    if (isAwaited || this.#isClosed || cancelAfter === Infinity) {
      this.#stopWaiting?.();
      this.#stopWaiting = undefined;
    } else if (cancelAfter === 0) this.#onAbandoned();
    else this.#stopWaiting ??= this.#startTimer(cancelAfter, this.#onAbandoned);
  }
}
