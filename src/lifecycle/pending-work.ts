import type { DrainHost, DrainPart } from './drain-part.ts';

/** Work outside requests that a drain waits for. */
export class PendingWork implements DrainPart {
  readonly carries: boolean = false;
  readonly #host: DrainHost;
  readonly #open = new Set<symbol>();

  constructor(host: DrainHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Returns the release. Further calls of it do nothing. */
  take(): () => void {
    const hold = Symbol('hold');
    this.#open.add(hold);
    return () => {
      if (!this.#open.delete(hold) || this.#host.phase === 'active') return;
      this.#host.counters.add('finished', 'holds');
      this.#host.settleSoon();
    };
  }

  cut(): void {
    for (let left = this.#open.size; left > 0; left--) this.#host.counters.add('cut', 'holds');
    this.#open.clear();
  }
}
