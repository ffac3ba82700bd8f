import uPlot from 'uplot';

const height = 172;
/** The time of day, the same everywhere on the page. */
export const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/**
 * A colour for a canvas, as the current colour scheme has it.
 *
 * @param {string} css - with variables of the style sheet
 */
function resolve(css) {
  const style = getComputedStyle(document.documentElement);
  return css.replaceAll(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
}

/** One card of the page: the newest value as text, the last minutes as lines, and gaps as shaded bands. */
export class Chart {
  #card;
  #plot;
  #columns;
  #gaps = [];
  #timeline;

  /**
   * @param {HTMLElement} card
   * @param {object} options
   * @param {import('./timeline.js').Timeline} options.timeline - of the page
   * @param {{ label: string, color: string, width?: number, fill?: boolean }[]} options.series - `color` as CSS has it
   * @param {(value: number) => string} options.format - a value with its unit
   * @param {(value: number) => string} [options.tick] - the same for the axis, where digits would repeat
   * @param {(highest: number) => number} options.top - the upper end of the scale, which starts at 0
   */
  constructor(card, options) {
    this.#card = card;
    this.#timeline = options.timeline;
    this.#timeline.add(this);
    this.#columns = Array.from({ length: options.series.length + 1 }, () => []);
    const target = card.querySelector('.plot');
    this.#plot = new uPlot(this.#describe(target.clientWidth, options), this.#columns, target);
    new ResizeObserver(() => this.#plot.setSize({ width: target.clientWidth, height })).observe(target);
  }

  /** @param {{ time: number, values: number[], text: string, note?: string }} point - `time` in seconds since 1970 */
  add({ time, values, text, note = '' }) {
    this.#append(time, values);
    this.#timeline.note(time);
    this.#card.querySelector('.value strong').textContent = text;
    this.#card.querySelector('.value small').textContent = note;
  }

  /** Ends the lines; they go on at `to`. */
  addGap({ from, to, label }) {
    this.#append((from + to) / 2, []);
    this.#gaps.push({ from, to, label });
  }

  /** Ends the lines where nothing is known, though nothing is missing. */
  breakAt(time) {
    this.#append(time, []);
  }

  /** @param {{ min: number, max: number }} window - in seconds since 1970 */
  draw(window) {
    this.#forget(window.min);
    const [times] = this.#columns;
    this.#plot.batch(() => {
      this.#plot.setData(this.#columns, false);
      this.#plot.setScale('x', window);
    });
    if (this.#plot.cursor.left < 0) this.#plot.setLegend({ idx: times.length - 1 });
  }

  #append(time, values) {
    const [times, ...series] = this.#columns;
    times.push(time);
    // null is what makes uPlot break a line.
    for (const [index, column] of series.entries()) column.push(values[index] ?? null);
  }

  #forget(before) {
    const [times] = this.#columns;
    const count = times.findIndex((time) => time >= before);
    if (count > 0) for (const column of this.#columns) column.splice(0, count);
    this.#gaps = this.#gaps.filter(({ to }) => to > before);
  }

  #describe(width, { series, format, tick = format, top }) {
    const axis = {
      stroke: () => resolve('var(--muted)'),
      grid: { stroke: () => resolve('var(--grid)'), width: 1 },
      ticks: { show: false },
      font: '11px system-ui',
    };
    return {
      width,
      height,
      padding: [8, 26, 0, 0],
      cursor: { sync: { key: 'metrics' }, drag: { setScale: false }, points: { size: 5 } },
      // More entries than fit would leave no room for the lines.
      legend: {
        show: series.length <= 5,
        // Elements, so that a variable in it follows the colour scheme.
        markers: { width: 0, fill: (_plot, index) => series[index - 1]?.color ?? 'none' },
      },
      scales: { x: { auto: false }, y: { range: (_plot, _low, high) => [0, top(high ?? 0)] } },
      axes: [
        { ...axis, space: 90, size: 26, values: (_plot, times) => times.map((time) => clock.format(time * 1000)) },
        { ...axis, space: 34, size: 64, values: (_plot, values) => values.map((value) => tick(value)) },
      ],
      series: [
        { label: 'Time', value: (_plot, time) => (time == null ? '–' : clock.format(time * 1000)) },
        ...series.map(({ label, color, width = 1.5, fill = false }) => ({
          label,
          stroke: () => resolve(color),
          width,
          fill: fill ? () => `color-mix(in srgb, ${resolve(color)} 18%, transparent)` : undefined,
          points: { show: false },
          value: (_plot, value) => (value == null ? '–' : format(value)),
        })),
      ],
      hooks: { drawClear: [(plot) => this.#drawGaps(plot)], draw: [(plot) => this.#publish(plot)] },
    };
  }

  #drawGaps(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const { from, to, label } of this.#gaps) {
      const left = plot.valToPos(from, 'x', true);
      const width = plot.valToPos(to, 'x', true) - left;
      ctx.fillStyle = resolve('var(--gap)');
      ctx.fillRect(left, bbox.top, width, bbox.height);
      ctx.fillStyle = resolve('var(--warn)');
      ctx.font = `${11 * devicePixelRatio}px system-ui`;
      ctx.textAlign = 'left';
      ctx.textBaseline = 'top';
      ctx.fillText(label, left + 4 * devicePixelRatio, bbox.top + 4 * devicePixelRatio);
    }
    ctx.restore();
  }

  /** Says in the document what is on the canvas, which nothing can be read from. */
  #publish(plot) {
    const [times, values] = plot.data;
    const { min, max } = plot.scales.x;
    Object.assign(this.#card.dataset, {
      points: String(values.filter((value) => value !== null).length),
      newest: String(times.at(-1) ?? ''),
      window: `${min}–${max}`,
      gaps: this.#gaps.map(({ from, to }) => `${from}–${to}`).join(' '),
    });
  }
}
