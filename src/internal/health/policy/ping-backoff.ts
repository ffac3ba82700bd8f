// A peer that asks for it again and again gets a PING every 40 s by default.
const most = 4;

// Behind a load balancer one address stands for many peers, and what one of them asked for holds for all. So not for
// ever. In ms.
const memory = 600_000;

// Addresses that are remembered. The one that asked for it the longest ago is forgotten.
const capacity = 1000;

interface Request {
  readonly factor: number;
  readonly until: number;
}

/** Peers that complained of too many PINGs, by address. Each time they are pinged half as often, for ten minutes. */
export class PingBackoff {
  readonly #requests = new Map<string, Request>();

  /** By what the least interval of a peer is multiplied: 1, 2 or 4. */
  factorOf(address: string | undefined, now: number): number {
    const request = this.#requests.get(address ?? '');
    return request && now < request.until ? request.factor : 1;
  }

  slowDown(address: string | undefined, now: number): void {
    const key = address ?? '';
    const factor = Math.min(most, 2 * this.factorOf(key, now));
    this.#requests.delete(key);
    this.#requests.set(key, { factor, until: now + memory });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > capacity && oldest !== undefined) this.#requests.delete(oldest);
  }
}
