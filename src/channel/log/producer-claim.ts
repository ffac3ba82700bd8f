import type { ClaimResult } from './backplane.ts';

/** Who of several producers has a channel. Each claim has a fence, which is greater than those of all before. */
export class ProducerClaim {
  readonly #now: () => number;
  /** Of the newest claim. 0: there was none. */
  #fence = 0;
  /** The newest claim holds until then. */
  #heldUntil = -Infinity;

  /** @param now - milliseconds that do not go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  get isHeld(): boolean {
    return this.#now() < this.#heldUntil;
  }

  claim(ttl: number): ClaimResult {
    if (this.isHeld) return { status: 'held' };
    this.#fence += 1;
    this.#heldUntil = this.#now() + ttl;
    return { status: 'claimed', fence: String(this.#fence) };
  }

  /** Prolongs a claim, also one whose time is over. @returns whether it is the newest */
  renew(fence: string, ttl: number): boolean {
    if (!this.isNewest(fence)) return false;
    this.#heldUntil = this.#now() + ttl;
    return true;
  }

  release(fence: string): void {
    if (this.isNewest(fence)) this.#heldUntil = -Infinity;
  }

  isNewest(fence: string): boolean {
    return fence === String(this.#fence);
  }
}
