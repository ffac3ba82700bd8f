import type { Drainable, DrainSite, Farewell } from './drainable.ts';

/** Work outside of requests that a drain waits for. */
export class Holds implements Drainable {
  readonly carries: boolean = false;
  readonly #site: DrainSite;
  readonly #open = new Set<symbol>();

  constructor(site: DrainSite) {
    this.#site = site;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Returns the release, which may be called more than once. */
  take(): () => void {
    const hold = Symbol('hold');
    this.#open.add(hold);
    return () => {
      if (!this.#open.delete(hold) || this.#site.phase === 'active') return;
      this.#site.tally.finished('holds');
      this.#site.settleSoon();
    };
  }

  announce(): void {
    // Whoever holds hears of it by the signal.
  }

  leave(): readonly Farewell[] {
    return [];
  }

  tidy(): void {
    // Nothing of it idles.
  }

  cut(): void {
    for (let left = this.#open.size; left > 0; left--) this.#site.tally.cut('holds');
    this.#open.clear();
  }

  release(): void {
    // It has no listeners.
  }
}
