import { startTimer } from '../../internal/time/clock.ts';
import { LocalChannel } from '../channel.ts';
import type { ResolvedChannelOptions } from '../options.ts';

interface Held<M extends object> {
  readonly channel: LocalChannel<M>;
  /** By `performance.now()`. */
  usedAt: number;
}

// Channels that are freed in one turn of the event loop.
const sweepSize = 500;

/** The channels of a family that are in memory. One that is idle for `ttl` is freed. */
export class Rooms<M extends object> {
  readonly #options: ResolvedChannelOptions;
  readonly #ttl: number;
  /** By key. The one that was used last is the last. */
  readonly #held = new Map<string, Held<M>>();
  #stopTimer: (() => void) | undefined;

  /** @param ttl - ms */
  constructor(options: ResolvedChannelOptions, ttl: number) {
    this.#options = options;
    this.#ttl = ttl;
  }

  keys(): readonly string[] {
    return [...this.#held.keys()];
  }

  /** The channel, without making one. */
  peek(key: string): LocalChannel<M> | undefined {
    return this.#held.get(key)?.channel;
  }

  /** The channel, which is used now. */
  use(key: string): LocalChannel<M> {
    const held = this.#held.get(key) ?? { channel: new LocalChannel<M>(this.#options, key), usedAt: 0 };
    this.#touch(key, held);
    if (!this.#stopTimer) this.#arm(this.#ttl);
    return held.channel;
  }

  /** The channel was used until now. */
  touch(key: string): void {
    const held = this.#held.get(key);
    if (held) this.#touch(key, held);
  }

  /** Closes a channel. The next use makes another. */
  free(key: string): void {
    const held = this.#held.get(key);
    this.#held.delete(key);
    held?.channel.close();
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    for (const key of this.keys()) this.free(key);
  }

  #touch(key: string, held: Held<M>): void {
    held.usedAt = performance.now();
    this.#held.delete(key);
    this.#held.set(key, held);
  }

  #arm(delay: number): void {
    this.#stopTimer = startTimer(delay, () => this.#sweep());
  }

  #sweep(): void {
    this.#stopTimer = undefined;
    const now = performance.now();
    let left = sweepSize;
    for (const [key, held] of this.#held) {
      const wait = held.usedAt + this.#ttl - now;
      if (wait > 0 || left === 0) {
        this.#arm(Math.max(1, wait));
        return;
      }
      left -= 1;
      if (held.channel.isBusy) this.#touch(key, held);
      else this.free(key);
    }
  }
}
