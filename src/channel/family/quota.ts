/** Milliseconds after which a refused client may ask again. */
const firstDelay = 2_000;
const longestDelay = 60_000;

interface Count {
  taken: number;
  /** Refused since a place became free. */
  refused: number;
}

/** How many places each of many holders has taken, of so many. */
export class Quota<K> {
  readonly #limit: number;
  readonly #counts = new Map<K, Count>();

  /** @param limit - places of each; `Infinity` counts nothing */
  constructor(limit: number) {
    this.#limit = limit;
  }

  isFull(holder: K): boolean {
    return (this.#counts.get(holder)?.taken ?? 0) >= this.#limit;
  }

  /** Takes a place. Never refuses: callers ask `isFull` first. Returns the undo. */
  take(holder: K): () => void {
    if (this.#limit === Infinity) return () => undefined;
    const count = this.#counts.get(holder) ?? { taken: 0, refused: 0 };
    this.#counts.set(holder, count);
    count.taken += 1;
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      count.taken -= 1;
      count.refused = 0;
      if (count.taken === 0) this.#counts.delete(holder);
    };
  }

  /**
   * Counts a refused client. @returns ms after which it may ask again: doubled each time that as many were refused as
   * there are places, so that those who wait do not become more requests
   */
  refuse(holder: K): number {
    const count = this.#counts.get(holder);
    const rounds = count ? Math.floor(count.refused++ / this.#limit) : 0;
    return Math.min(longestDelay, firstDelay * 2 ** Math.min(rounds, 10));
  }
}
