// As long as a publisher may try again. Redis remembers them for as long.
const memory = 120_000;
// A bound for publishers that never stop.
const most = 10_000;

/** The ids of entries that were appended with an idempotency key, for two minutes. */
export class RecentKeys {
  readonly #now: () => number;
  /** The oldest first. */
  readonly #keys = new Map<string, { readonly id: string; readonly at: number }>();

  /** @param now - milliseconds that do not go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  get(key: string): string | undefined {
    this.#forget();
    return this.#keys.get(key)?.id;
  }

  set(key: string, id: string): void {
    this.#keys.set(key, { id, at: this.#now() });
    this.#forget();
  }

  #forget(): void {
    const now = this.#now();
    for (const [key, { at }] of this.#keys) {
      if (now - at < memory && this.#keys.size <= most) break;
      this.#keys.delete(key);
    }
  }
}
