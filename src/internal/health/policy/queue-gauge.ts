/**
 * Tells whether something left a queue, where no count of that is kept: what it was shorter by from one look to the
 * next.
 */
export class QueueGauge {
  #length = 0;
  #taken = 0;

  /** @returns a number that is higher than before if something has left since */
  look(length: number): number {
    if (length < this.#length) this.#taken += this.#length - length;
    this.#length = length;
    return this.#taken;
  }
}
