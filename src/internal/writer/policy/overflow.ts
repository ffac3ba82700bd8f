/** What becomes of items for a client that does not keep up. */
export type Overflow = 'close' | 'drop' | 'latest';

/**
 * What lies before a client that lags when the next item for it comes. Lengths are in characters or in bytes, whichever
 * costs nothing.
 */
export interface Backlog {
  /** Whether a sender waits already for the client to catch up. */
  readonly hasWaiter: boolean;
  /** Handed down to the response and not yet taken by the kernel. */
  readonly handedDown: number;
  /** Still here, in the outbox. */
  readonly waiting: number;
  /** The part of `waiting` that the item would take the place of; `undefined` for an item that has no key. */
  readonly superseded: number | undefined;
}

/** What to do with the item, or with the stream. */
export type OverflowDecision = 'take' | 'drop' | 'close';

/** Whether one more item may wait for a client that lags. */
export function decideOverflow(overflow: Overflow, backlog: Backlog, maxBuffered: number): OverflowDecision {
  const { hasWaiter, handedDown, waiting, superseded } = backlog;
  // Nobody was told to wait since the client fell behind: this sender may be one that does when it is.
  if (!hasWaiter) return 'take';
  const others = waiting - (superseded ?? 0);
  // Alone of its kind, it can be followed only by what takes its place: as any one item, it may be larger than the
  // budget.
  if (superseded !== undefined && others === 0) return 'take';
  if (handedDown + others <= maxBuffered) return 'take';
  return overflow === 'drop' ? 'drop' : 'close';
}

/**
 * Items that wait, of each key only the newest. They leave in the order in which they were put, so that ids that ascend
 * still do: an item that takes the place of another moves to the end.
 */
export class LatestItems {
  // Items without a key are kept under a number, which is nobody's key.
  #texts = new Map<string | number, string>();
  #unkeyed = 0;
  #length = 0;

  /** Characters of all of them. */
  get length(): number {
    return this.#length;
  }

  get bytes(): number {
    let bytes = 0;
    for (const text of this.#texts.values()) bytes += Buffer.byteLength(text);
    return bytes;
  }

  /** Characters of the one that a key stands for, 0 for none. */
  lengthOf(key: string): number {
    return this.#texts.get(key)?.length ?? 0;
  }

  /** @returns whether it took the place of another */
  put(key: string | undefined, text: string): boolean {
    const supersedes = key !== undefined && this.#remove(key);
    this.#texts.set(key ?? this.#unkeyed++, text);
    this.#length += text.length;
    return supersedes;
  }

  join(): string {
    return [...this.#texts.values()].join('');
  }

  #remove(key: string): boolean {
    this.#length -= this.lengthOf(key);
    return this.#texts.delete(key);
  }
}
