import type { Chunk } from '../../seam/layer.ts';

/** What happens to the items for a client that reads too slowly. */
export type Overflow = 'close' | 'drop' | 'latest';

/**
 * What a client that lags has not taken yet when the next item for it comes. Lengths are in characters or in bytes,
 * whichever costs nothing.
 */
export interface Backlog {
  /** Whether a sender already waits for the client to catch up. */
  readonly hasWaiter: boolean;
  /** Written to the response, and not yet taken by the kernel. */
  readonly handedDown: number;
  /** Still in the outbox. */
  readonly waiting: number;
  /** The part of `waiting` that the item would supersede; `undefined` for an item without a key. */
  readonly superseded: number | undefined;
}

/** What to do with the item, or with the stream. */
export type OverflowDecision = 'take' | 'drop' | 'close';

/** Decides whether one more item may wait for a client that lags. */
export function decideOverflow(overflow: Overflow, backlog: Backlog, maxBuffered: number): OverflowDecision {
  const { hasWaiter, handedDown, waiting, superseded } = backlog;
  // No sender was told to wait since the client fell behind. This one may be one that does wait when told to.
  if (!hasWaiter) return 'take';
  const others = waiting - (superseded ?? 0);
  // Alone of its kind, it can be followed only by what supersedes it. So it may exceed the bound, as any one item may.
  if (superseded !== undefined && others === 0) return 'take';
  if (handedDown + others <= maxBuffered) return 'take';
  return overflow === 'drop' ? 'drop' : 'close';
}

/**
 * Items that wait, of each key only the newest. They keep the order in which they were put, so that ascending ids stay
 * ascending: an item that supersedes another moves to the end.
 */
export class LatestItems {
  // An item without a key is kept under a number, which no key is.
  #items = new Map<string | number, Chunk>();
  #unkeyed = 0;
  #length = 0;

  /** Characters of the texts and bytes of the rest. */
  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    let bytes = 0;
    for (const item of this.#items.values()) bytes += Buffer.byteLength(item);
    return bytes;
  }

  /** The length of the item of a key; 0 for none. */
  lengthOf(key: string): number {
    return this.#items.get(key)?.length ?? 0;
  }

  /** @returns whether it superseded another */
  put(key: string | undefined, item: Chunk): boolean {
    const supersedes = key !== undefined && this.#remove(key);
    this.#items.set(key ?? this.#unkeyed++, item);
    this.#length += item.length;
    return supersedes;
  }

  values(): Iterable<Chunk> {
    return this.#items.values();
  }

  #remove(key: string): boolean {
    this.#length -= this.lengthOf(key);
    return this.#items.delete(key);
  }
}
