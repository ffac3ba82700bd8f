// Whoever asks for it again and again gets a ping in more than five minutes: then others see to it that dead sessions end.
const most = 32;

// Addresses that are remembered; the one that has asked for it the longest ago is forgotten.
const capacity = 1000;

/** Peers that found that they are pinged too often, by address: each time, they are from then on half as often. */
export class Calm {
  readonly #factors = new Map<string, number>();

  /** By what the least interval of a peer is to be multiplied. */
  factorOf(address: string | undefined): number {
    return this.#factors.get(address ?? '') ?? 1;
  }

  slowDown(address: string | undefined): void {
    const key = address ?? '';
    const factor = Math.min(most, 2 * this.factorOf(key));
    this.#factors.delete(key);
    this.#factors.set(key, factor);
    const [oldest] = this.#factors.keys();
    if (this.#factors.size > capacity && oldest !== undefined) this.#factors.delete(oldest);
  }
}

const calms = new WeakMap<object, Calm>();

/** What a registry knows of its peers: their next session is another. */
export function calmOf(registry: object): Calm {
  let calm = calms.get(registry);
  if (!calm) calms.set(registry, (calm = new Calm()));
  return calm;
}
