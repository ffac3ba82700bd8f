/** A histogram at one moment. */
export interface HistogramSnapshot {
  /** How many values were recorded. */
  readonly count: number;
  /** The sum of them. */
  readonly sum: number;
  /**
   * For each bound, how many values were at most as large: cumulative, as in Prometheus. The last bound is `Infinity`.
   */
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
}

/** Times of responses, in seconds: those of OpenTelemetry for HTTP, and 30 s. */
export const responseBounds: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30,
];

/** Lives of streams, in seconds: 1 s to 24 h. */
export const streamBounds: readonly number[] = [1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200, 86_400];

/** Counts values by size. Recording one costs the same, however many there are. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  record(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  snapshot(): HistogramSnapshot {
    let count = 0;
    const buckets = [...this.#bounds, Infinity].map((le, index) => {
      count += this.#counts[index] ?? 0;
      return { le, count };
    });
    return { count, sum: this.#sum, buckets };
  }
}

/** The value below which a share of the values lies, guessed within its bucket; `undefined` without any. */
export function quantile({ count, buckets }: HistogramSnapshot, share: number): number | undefined {
  if (count === 0) return undefined;
  const wanted = share * count;
  let lower = { le: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= wanted) {
      // Nothing is known of how far the last bucket goes.
      if (bucket.le === Infinity) return lower.le;
      const part = (wanted - lower.count) / Math.max(1, bucket.count - lower.count);
      return lower.le + (bucket.le - lower.le) * part;
    }
    lower = bucket;
  }
  return lower.le;
}
