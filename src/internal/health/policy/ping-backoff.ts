// Whoever asks for it again and again gets a ping every 40 s by default.
const most = 4;

// An address may be that of many, behind a load balancer: what one of them asked for holds for all, so not for ever. In
// ms.
const memory = 600_000;

// Addresses that are remembered; the one that has asked for it the longest ago is forgotten.
const capacity = 1000;

interface Request {
  readonly factor: number;
  readonly until: number;
}

/** Peers that found that they are pinged too often, by address: each time, they are half as often, for ten minutes. */
export class Calm {
  readonly #requests = new Map<string, Request>();

  /** By what the least interval of a peer is to be multiplied. */
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

const calms = new WeakMap<object, Calm>();

/** What a registry knows of its peers: their next session is another. */
export function calmOf(registry: object): Calm {
  let calm = calms.get(registry);
  if (!calm) calms.set(registry, (calm = new Calm()));
  return calm;
}
