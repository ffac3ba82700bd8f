// @ts-check

/** @param {readonly number[]} values - one or more */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1);
  return (low + high) / 2;
}

/**
 * Median and extremes: with a handful of rounds, quartiles would say no more.
 * @param {readonly number[]} values
 */
export function summarise(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Ratios round by round: what was slow in one round was slow for both.
 * @param {readonly number[]} values
 * @param {readonly number[]} baseline
 */
export function pairedRatios(values, baseline) {
  return values.map((value, round) => value / (baseline[round] ?? NaN));
}
