import { callEach } from '../internal/listeners.ts';
import type { DrainHost, DrainPart } from './drain-part.ts';

/** Work outside requests that a drain waits for. */
export class PendingWork implements DrainPart {
  readonly carries: boolean = false;
  readonly #host: DrainHost;
  /** Each with what to call when it is cut. */
  readonly #open = new Map<symbol, (() => void) | undefined>();

  constructor(host: DrainHost) {
    this.#host = host;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Returns the release. Further calls of it do nothing. @param onCut - the drain waits no longer */
  take(onCut?: () => void): () => void {
    const hold = Symbol('hold');
    this.#open.set(hold, onCut);
    return () => {
      if (!this.#open.delete(hold) || this.#host.phase === 'active') return;
      this.#host.counters.add('finished', 'holds');
      this.#host.settleSoon();
    };
  }

  cut(): void {
    const cut = [...this.#open.values()];
    this.#open.clear();
    for (let left = cut.length; left > 0; left--) this.#host.counters.add('cut', 'holds');
    callEach(
      cut,
      (onCut) => onCut?.(),
      (error) => this.#host.fail(error),
    );
  }
}
