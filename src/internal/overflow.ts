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
