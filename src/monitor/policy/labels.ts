/** The label of all that found no room under its own. */
export const otherLabel = '__other__';

/**
 * Values by label, with a bound: metrics must not grow with what clients send. Labels that come when it is full share
 * the value of `__other__`.
 */
export class LabelTable<T> {
  readonly #values = new Map<string, T>();
  readonly #most: number;
  readonly #make: (label: string) => T;

  /** @param most - labels beside `__other__` */
  constructor(most: number, make: (label: string) => T) {
    this.#most = most;
    this.#make = make;
  }

  /** The value of a label, made when it is first asked for. */
  get(label: string): T {
    const found = this.#values.get(label);
    if (found !== undefined) return found;
    if (label !== otherLabel && this.#values.size >= this.#most + Number(this.#values.has(otherLabel)))
      return this.get(otherLabel);
    const value = this.#make(label);
    this.#values.set(label, value);
    return value;
  }

  /** An object of all labels. */
  toObject<U>(snapshot: (value: T) => U): Record<string, U> {
    return Object.fromEntries([...this.#values].map(([label, value]) => [label, snapshot(value)]));
  }
}

/** Counts by label, with the same bound. */
export class LabelCounts {
  readonly #table: LabelTable<{ count: number }>;

  constructor(most: number) {
    this.#table = new LabelTable(most, () => ({ count: 0 }));
  }

  add(label: string, count = 1): void {
    this.#table.get(label).count += count;
  }

  toObject(): Record<string, number> {
    return this.#table.toObject(({ count }) => count);
  }
}
