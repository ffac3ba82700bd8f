/** How many may be there at once. `Infinity`: any number. */
export interface SeatLimits {
  readonly total: number;
  readonly perClient: number;
}

/** A limit that a newcomer would go over. */
export type Limit = 'total' | 'client';

/**
 * The one decision about a newcomer.
 * @returns the limit that is reached already; the total first, since another name would not help there
 */
export function reachedLimit(taken: number, own: number, limits: SeatLimits): Limit | undefined {
  if (taken >= limits.total) return 'total';
  return own >= limits.perClient ? 'client' : undefined;
}

/** Open connections per client. Never refuses; callers ask `findLimit` before they `occupy`. */
export class Seats {
  readonly #limits: SeatLimits;
  readonly #byClient = new Map<string, number>();
  #taken = 0;

  constructor(limits: SeatLimits) {
    this.#limits = limits;
  }

  get isLimited(): boolean {
    return this.#limits.total !== Infinity || this.#limits.perClient !== Infinity;
  }

  /** Whether so many are here that someone may be over a limit. */
  get mayBeFull(): boolean {
    return this.#taken >= Math.min(this.#limits.total, this.#limits.perClient);
  }

  /** The limit that one more connection of a client would go over. */
  findLimit(client: string): Limit | undefined {
    return reachedLimit(this.#taken, this.#byClient.get(client) ?? 0, this.#limits);
  }

  /** Counts a connection. @returns the function that gives its seat back */
  occupy(client: string): () => void {
    this.#taken += 1;
    this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + 1);
    return this.#makeRelease(client);
  }

  #makeRelease(client: string): () => void {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#taken -= 1;
      const left = (this.#byClient.get(client) ?? 1) - 1;
      if (left === 0) this.#byClient.delete(client);
      else this.#byClient.set(client, left);
    };
  }
}
