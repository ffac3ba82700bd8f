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
