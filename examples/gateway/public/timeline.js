const span = 120;
const leastSpan = 30;

/** The time that all charts of a page show: they have the same window, and the same gaps. */
export class Timeline {
  /** @type {import('./charts.js').Chart[]} */
  #charts = [];
  #oldest;
  #newest;
  #isDue = false;

  /** @param {import('./charts.js').Chart} chart */
  add(chart) {
    this.#charts.push(chart);
  }

  /** @param {number} time - of a point, in seconds since 1970 */
  note(time) {
    this.#oldest ??= time;
    this.#newest = Math.max(time, this.#newest ?? time);
    this.#oldest = Math.max(this.#oldest, this.#newest - span);
    this.drawSoon();
  }

  /** The times that are shown. */
  get window() {
    return { min: Math.min(this.#oldest, this.#newest - leastSpan), max: this.#newest };
  }

  /** @param {{ from: number, to: number, label: string }} gap */
  addGap(gap) {
    for (const chart of this.#charts) chart.addGap(gap);
  }

  /** A replay of many samples is drawn once. */
  drawSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#newest === undefined) return;
      for (const chart of this.#charts) chart.draw(this.window);
    });
  }
}
