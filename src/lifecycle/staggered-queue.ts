import { callEach } from '../internal/listeners.ts';
import type { CloseTask } from './drain-part.ts';
import { departureTimes } from './policy/schedule.ts';

interface ScheduledTask {
  readonly at: number;
  readonly run: CloseTask;
}

/** Runs close tasks, each at its own time, by one timer. The timer keeps the process alive. */
export class StaggeredQueue {
  readonly #onEmpty: () => void;
  readonly #onError: (error: unknown) => void;
  /** Sorted, the next one last. */
  #waiting: ScheduledTask[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastAt: number | undefined;

  /**
   * @param onEmpty - called each time the last waiting task has run
   * @param onError - gets what a task throws; the others run all the same
   */
  constructor(onEmpty: () => void, onError: (error: unknown) => void) {
    this.#onEmpty = onEmpty;
    this.#onError = onError;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** When the last task ran, by `performance.now()`. */
  get lastAt(): number | undefined {
    return this.#lastAt;
  }

  /** Spreads tasks over the next `window` ms. */
  add(tasks: readonly CloseTask[], window: number): void {
    if (tasks.length === 0) return;
    const now = performance.now();
    const times = departureTimes(tasks.length, window, Math.random);
    const added = tasks.map((run, index) => ({ at: now + (times[index] ?? 0), run }));
    // Tasks with the same time run in the order in which they were added.
    this.#waiting = [...added.reverse(), ...this.#waiting].sort((one, other) => other.at - one.at);
    this.#arm();
  }

  /** Runs all waiting tasks at once. */
  runAll(): void {
    clearTimeout(this.#timer);
    this.#runUntil(Infinity);
  }

  clear(): void {
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  runDue(): void {
    this.#runUntil(performance.now());
  }

  #runUntil(time: number): void {
    callEach(this.#takeUntil(time), ({ run }) => run(), this.#onError);
    if (this.isEmpty) this.#onEmpty();
    else this.#arm();
  }

  /** Takes one at a time: each task may add others, or clear all. */
  *#takeUntil(time: number): Generator<ScheduledTask> {
    for (let next = this.#waiting.at(-1); next && next.at <= time; next = this.#waiting.at(-1)) {
      this.#waiting.pop();
      yield next;
      this.#lastAt = performance.now();
    }
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#waiting.at(-1);
    if (next) this.#timer = setTimeout(runDue, Math.max(0, next.at - performance.now()), this);
  }
}

function runDue(queue: StaggeredQueue): void {
  queue.runDue();
}
