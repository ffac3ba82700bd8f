/**
 * Limits retries to a share of the requests under way, so that an upstream that fails is not asked twice as much. A few
 * are always allowed: a share of few requests is none.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #least: number;
  #active = 0;
  #retrying = 0;

  /** @param share - of the requests under way, 0 to 1 @param least - retries at once that are always allowed */
  constructor(share: number, least: number) {
    this.#share = share;
    this.#least = least;
  }

  begin(): void {
    this.#active += 1;
  }

  end(): void {
    this.#active -= 1;
  }

  /** Takes a place for one retry; `false`: there is none. */
  take(): boolean {
    if (this.#retrying >= Math.max(this.#least, this.#active * this.#share)) return false;
    this.#retrying += 1;
    return true;
  }

  giveBack(): void {
    this.#retrying -= 1;
  }
}
