/** The place of one entry in a roster. */
export interface RosterEntry<T> {
  readonly value: T;
  previous: RosterEntry<T> | undefined;
  next: RosterEntry<T> | undefined;
  isListed: boolean;
}

/**
 * What is under way, for things that come and go by the thousand.
 *
 * Not a `Set`: when entries come and go, V8 renews its table again and again, and each table that it leaves points to
 * the next. With one of them in the old generation, those behind it keep their entries alive, all that ever were in
 * them, until the next full garbage collection. Here an entry that leaves points to nothing.
 */
export class Roster<T> implements Iterable<T> {
  #first: RosterEntry<T> | undefined;
  #size = 0;

  /** The number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Adds a value. Returns its place, for `remove`. */
  add(value: T): RosterEntry<T> {
    const next = this.#first;
    const entry: RosterEntry<T> = { value, previous: undefined, next, isListed: true };
    if (next) next.previous = entry;
    this.#first = entry;
    this.#size += 1;
    return entry;
  }

  /** Removes an entry; `false`: it was removed before. */
  remove(entry: RosterEntry<T>): boolean {
    if (!entry.isListed) return false;
    const { previous, next } = entry;
    if (previous) previous.next = next;
    else this.#first = next;
    if (next) next.previous = previous;
    entry.previous = entry.next = undefined;
    entry.isListed = false;
    this.#size -= 1;
    return true;
  }

  /** The values that are there now, the last one first. Others may come and go meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    const values: T[] = [];
    for (let entry = this.#first; entry; entry = entry.next) values.push(entry.value);
    return values[Symbol.iterator]();
  }
}
