/** How many connections may be open at once. `Infinity`: any number. */
export interface ConnectionLimits {
  readonly total: number;
  readonly perClient: number;
}

/** The limit that one more connection would exceed. */
export type Limit = 'total' | 'client';

/**
 * The one decision about one more connection.
 * @returns the limit that is reached; the total first, since another client key would not help there
 */
export function reachedLimit(open: number, ofClient: number, limits: ConnectionLimits): Limit | undefined {
  if (open >= limits.total) return 'total';
  return ofClient >= limits.perClient ? 'client' : undefined;
}

/** Open connections per client. Never refuses; callers ask `findLimit` before they `count`. */
export class ConnectionLimit {
  readonly #limits: ConnectionLimits;
  readonly #byClient = new Map<string, number>();
  #open = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Whether there is a limit. */
  get isLimited(): boolean {
    return this.#limits.total !== Infinity || this.#limits.perClient !== Infinity;
  }

  /** Whether so many are open that a limit may be reached. */
  get mayBeFull(): boolean {
    return this.#open >= Math.min(this.#limits.total, this.#limits.perClient);
  }

  /** Clients with open connections. */
  get clients(): number {
    return this.#byClient.size;
  }

  /** The limit that one more connection of a client would exceed. */
  findLimit(client: string): Limit | undefined {
    return reachedLimit(this.#open, this.#byClient.get(client) ?? 0, this.#limits);
  }

  /** Counts a connection. @returns the undo */
  count(client: string): () => void {
    this.#open += 1;
    this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + 1);
    let isCounted = true;
    return () => {
      if (!isCounted) return;
      isCounted = false;
      this.#open -= 1;
      const left = (this.#byClient.get(client) ?? 1) - 1;
      if (left === 0) this.#byClient.delete(client);
      else this.#byClient.set(client, left);
    };
  }
}
