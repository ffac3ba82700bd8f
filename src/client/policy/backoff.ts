/** What decides how long to wait before the next try. */
export interface BackoffFacts {
  /** Tries in a row that brought nothing. */
  readonly failures: number;
  /** Milliseconds that the server asked to wait: its last `retry:`, or `Retry-After`. */
  readonly told: number | undefined;
  /** Milliseconds: the bound of the first random wait. */
  readonly min: number;
  /** Milliseconds: the bound of every random wait. */
  readonly max: number;
}

/**
 * Milliseconds before the next try: "full jitter", evenly spread between 0 and a bound that doubles with each failure.
 * A server that says when to come back has spread its clients itself. It is obeyed to the letter once. After a failure
 * the jitter comes on top.
 *
 * | told | failures | wait |
 * |---|---|---|
 * | – | n | random × min(max, min × 2ⁿ) |
 * | t | 0 | t |
 * | t | n | t + random × min(max, min × 2ⁿ) |
 */
export function backoff({ failures, told, min, max }: BackoffFacts, random: () => number): number {
  if (told !== undefined && failures === 0) return told;
  return (told ?? 0) + random() * Math.min(max, min * 2 ** failures);
}
