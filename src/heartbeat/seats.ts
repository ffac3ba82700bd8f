/** How many may be there at once. `Infinity`: any number. */
export interface SeatLimits {
  readonly total: number;
  readonly perClient: number;
}

/** What became of a newcomer: a seat, with the function that gives it back, or the limit that was reached. */
export type Admission = { readonly kind: 'seat'; readonly release: () => void } | { readonly kind: 'full'; readonly limit: 'total' | 'client' };

/** Who is there, by client. A newcomer is refused where there is no room: nobody who has a seat is sent away for one who has not. */
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

  take(client: string): Admission {
    const taken = this.#byClient.get(client) ?? 0;
    if (this.#taken >= this.#limits.total) return { kind: 'full', limit: 'total' };
    if (taken >= this.#limits.perClient) return { kind: 'full', limit: 'client' };
    return { kind: 'seat', release: this.occupy(client) };
  }

  /** Takes a seat, whether there is one or not, for who is here already. @returns the function that gives it back */
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
