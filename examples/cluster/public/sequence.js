/** Checks that numbers come one after the other, each once. */
export class Sequence {
  received = 0;
  missed = 0;
  twice = 0;
  newest;

  /** @param {number} number */
  take(number) {
    this.received += 1;
    // The first number is where the stream begins.
    const expected = this.newest === undefined ? number : this.newest + 1;
    if (number < expected) this.twice += 1;
    else this.missed += number - expected;
    this.newest = Math.max(number, this.newest ?? number);
  }
}
