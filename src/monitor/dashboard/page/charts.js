// The charts: the last minutes of some numbers, drawn by uPlot, and the same in words.
import { clock, count, make, ms, percent, rate, setText } from './format.js';

const uPlot = /** @type {any} */ (globalThis).uPlot;
const height = 150;
/** So many points are kept, as many as the server keeps. */
const mostPoints = 300;
const longestGap = 3;

/**
 * A colour for a canvas, as the theme has it now. A variable may hold an expression, which only a property resolves.
 *
 * @param {string} name - of a variable of the style sheet
 */
function colorOf(name) {
  const known = colors.get(name);
  if (known) return known;
  const probe = document.getElementById('probe');
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  colors.set(name, color);
  return color;
}

/** Those of the theme that were asked for. */
const colors = new Map();

/** A scale from 0, with room above, that does not change with each point. */
function roundTop(highest, least) {
  const value = Math.max(highest * 1.1, least);
  const step = 10 ** Math.floor(Math.log10(value)) / 2;
  return Math.ceil(value / step) * step;
}

/** @typedef {{ time: number, transports: Record<string, number>, streams: number, in: number, out: number, unresponsive: number, roundTrip: number | null, load: number | null, tier: number | null, busy: number, delay: number }} Point */

/**
 * @typedef {object} Description
 * @property {string} id
 * @property {string} title
 * @property {{ label: string, of: (point: Point) => number | null | undefined, dash?: number[], scale?: string }[]} series
 * @property {(value: number) => string} format
 * @property {number} least - the top of the scale is at least this
 * @property {number} [most] - and at most this
 * @property {string} [alert] - the alert whose threshold belongs to it
 * @property {string} [empty] - why there may be nothing
 */

/** @type {Description[]} */
const descriptions = [
  {
    id: 'chart-connections',
    title: 'Connections',
    format: count,
    least: 4,
    series: [
      { label: 'streams', of: ({ streams }) => streams, dash: [6, 4] },
      ...['http1', 'http2', 'http2-stream', 'websocket', 'socket', 'upstream'].map((name) => ({
        label: name,
        of: ({ transports }) => transports[name],
      })),
    ],
    empty: 'No connection and no stream yet.',
  },
  {
    id: 'chart-throughput',
    title: 'Throughput',
    format: rate,
    least: 1000,
    series: [
      { label: 'before compression', of: (point) => point.in, dash: [6, 4] },
      { label: 'as sent', of: (point) => point.out },
    ],
  },
  {
    id: 'chart-round-trip',
    title: 'Heartbeat round trip',
    format: ms,
    least: 10,
    alert: 'avg_heartbeat_rt',
    series: [{ label: 'mean', of: ({ roundTrip }) => roundTrip }],
    empty: 'No round trip measured yet.',
  },
  {
    id: 'chart-unresponsive',
    title: 'Unresponsive connections',
    format: percent,
    least: 0.1,
    most: 1,
    alert: 'unresponsive_ratio',
    series: [{ label: 'share', of: ({ unresponsive }) => unresponsive }],
  },
  {
    id: 'chart-load',
    title: 'Load and tier',
    format: percent,
    least: 1,
    most: 1,
    series: [
      { label: 'event loop busy', of: ({ busy }) => busy, dash: [6, 4] },
      { label: 'load', of: ({ load }) => load },
      { label: 'tier', of: ({ tier }) => tier, scale: 'tier' },
    ],
  },
  {
    id: 'chart-delay',
    title: 'Event-loop delay',
    format: ms,
    least: 10,
    series: [{ label: '99th percentile', of: ({ delay }) => delay }],
  },
];

const formats = { tier: (value) => String(value) };

class Chart {
  #description;
  #plot;
  #card;
  #columns;
  #legend;
  #isSeen;
  #threshold = Infinity;

  /** @param {Description} description */
  constructor(description) {
    const { id, title, series, empty = '' } = description;
    this.#description = description;
    this.#columns = [[], ...series.map(() => [])];
    this.#isSeen = series.map(() => false);
    this.#legend = series.map(({ label, dash }, index) => {
      const value = make('strong', {}, '–');
      const entry = make(
        'li',
        { class: `series-${index + 1}${dash ? ' dashed' : ''}` },
        make('i', { 'aria-hidden': 'true' }),
        `${label} `,
        value,
      );
      return { entry, value };
    });
    const target = make('div', { class: 'plot', role: 'img', 'aria-label': title });
    this.#card = make(
      'section',
      { class: 'card chart', id, 'aria-labelledby': `${id}-title`, 'data-points': '0' },
      make('header', {}, make('h3', { id: `${id}-title` }, title), make('p', { class: 'threshold muted' })),
      make('ul', { class: 'legend' }, ...this.#legend.map(({ entry }) => entry)),
      target,
      make('p', { class: 'empty overlay' }, empty),
    );
    document.querySelector('#charts .charts').append(this.#card);
    this.#plot = new uPlot(this.#options(), this.#columns, target);
    new ResizeObserver(() => {
      if (target.clientWidth > 0) this.#plot.setSize({ width: target.clientWidth, height });
    }).observe(target);
  }

  /** @param {{ name: string, above: number }[]} alerts */
  setAlerts(alerts) {
    const { alert, format } = this.#description;
    this.#threshold = alerts.find(({ name }) => name === alert)?.above ?? Infinity;
    const text = this.#threshold === Infinity ? '' : `alert above ${format(this.#threshold)}`;
    setText(this.#card.querySelector('.threshold'), text);
  }

  /** @param {(Point | { time: number })[]} points @param {number} span - ms */
  draw(points, span) {
    const { series } = this.#description;
    this.#columns = [
      points.map(({ time }) => time / 1000),
      ...series.map(({ of }) => points.map((point) => ('in' in point ? (of(point) ?? null) : null))),
    ];
    const [times, ...values] = this.#columns;
    for (const [index, column] of values.entries()) {
      // A kind of connection that never was is left out.
      this.#isSeen[index] = column.some((value) => value !== null && (series.length < 4 || value > 0));
      this.#legend[index].entry.hidden = !this.#isSeen[index] && series.length > 1;
      setText(this.#legend[index].value, this.#format(index, column.at(-1)));
    }
    const newest = times.at(-1) ?? 0;
    const oldest = Math.min(Math.max(times[0] ?? 0, newest - span / 1000), newest - 30);
    this.#plot.batch(() => {
      this.#plot.setData(this.#columns, false);
      this.#plot.setScale('x', { min: oldest, max: newest });
    });
    this.#describe(times, values);
  }

  /** Draws again, for other colours. */
  redraw() {
    this.#plot.redraw(false, true);
  }

  #format(index, value) {
    const { format, series } = this.#description;
    return value == null ? '–' : (formats[series[index].scale] ?? format)(value);
  }

  /** Says in words what is on the canvas. */
  #describe(times, values) {
    const { title, series, empty } = this.#description;
    const seen = series.flatMap(({ label }, index) => {
      const known = values[index].filter((value) => value !== null);
      if (!this.#isSeen[index] || known.length === 0) return [];
      const [low, high] = [Math.min(...known), Math.max(...known)].map((value) => this.#format(index, value));
      return [`${label}: now ${this.#format(index, values[index].at(-1))}, between ${low} and ${high}`];
    });
    const since = times.length > 0 ? `, since ${clock(times[0] * 1000)}` : '';
    const text = seen.length > 0 ? `${title}${since}. ${seen.join('. ')}.` : `${title}: ${empty ?? 'nothing yet'}`;
    this.#card.querySelector('.plot').setAttribute('aria-label', text);
    const overlay = /** @type {HTMLElement} */ (this.#card.querySelector('.overlay'));
    overlay.hidden = seen.length > 0 || empty === undefined;
    this.#card.dataset.points = String(values[0].filter((value) => value !== null).length);
    this.#card.dataset.newest = String(times.at(-1) ?? '');
  }

  #options() {
    const { series, format, least, most = Infinity } = this.#description;
    const axis = {
      stroke: () => colorOf('--muted'),
      grid: { stroke: () => colorOf('--grid'), width: 1 },
      ticks: { show: false },
      font: '11px system-ui, sans-serif',
    };
    const tier = series.findIndex(({ scale }) => scale === 'tier');
    const hasTier = tier !== -1;
    // Without a governor there is no tier.
    const splits = () => [0, 1, 2, 3];
    const tierValues = (_plot, values) => values.map((value) => (this.#isSeen[tier] ? String(value) : ''));
    return {
      width: 320,
      height,
      padding: [8, hasTier ? 4 : 26, 0, 0],
      cursor: { sync: { key: 'charts' }, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      legend: { show: false },
      scales: {
        x: { auto: false },
        y: { range: (_plot, _low, high) => [0, Math.min(most, roundTop(high ?? 0, least))] },
        ...(hasTier && { tier: { range: () => [0, 3] } }),
      },
      axes: [
        { ...axis, space: 70, size: 24, values: (_plot, times) => times.map((time) => clock(time * 1000)) },
        { ...axis, space: 30, size: 62, values: (_plot, values) => values.map((value) => format(value)) },
        ...(hasTier
          ? [{ ...axis, scale: 'tier', side: 1, size: 22, grid: { show: false }, splits, values: tierValues }]
          : []),
      ],
      series: [
        {},
        ...series.map(({ label, dash, scale = 'y' }, index) => ({
          label,
          scale,
          dash,
          stroke: () => colorOf(`--series-${index + 1}`),
          width: 1.75,
          points: { show: false },
          // A tier holds until the next: steps.
          ...(scale === 'tier' && { paths: uPlot.paths.stepped({ align: 1 }) }),
        })),
      ],
      hooks: { draw: [(plot) => this.#drawThreshold(plot)], setCursor: [(plot) => this.#showAt(plot)] },
    };
  }

  #drawThreshold(plot) {
    const { ctx, bbox, scales } = plot;
    if (!(this.#threshold < scales.y.max)) return;
    const top = plot.valToPos(this.#threshold, 'y', true);
    ctx.save();
    ctx.strokeStyle = colorOf('--bad');
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, top);
    ctx.lineTo(bbox.left + bbox.width, top);
    ctx.stroke();
    ctx.restore();
  }

  /** The legend says the values under the pointer, or the newest ones. */
  #showAt(plot) {
    const { idx } = plot.cursor;
    for (const [index, column] of this.#columns.slice(1).entries())
      setText(this.#legend[index].value, this.#format(index, column[idx ?? column.length - 1]));
  }
}

/** All charts of the page, over the same times. */
export class Charts {
  #charts;
  /** @type {(Point | { time: number })[]} */
  #points = [];
  #interval = 1000;

  constructor() {
    document.body.append(make('i', { id: 'probe', hidden: '' }));
    this.#charts = descriptions.map((description) => new Chart(description));
    document.addEventListener('visibilitychange', () => this.#draw());
  }

  /** @param {{ interval: number, alerts: { name: string, above: number }[] }} settings */
  configure({ interval, alerts }) {
    this.#interval = interval;
    for (const chart of this.#charts) chart.setAlerts(alerts);
  }

  /** What the server remembers takes the place of what the page saw of the same time. @param {Point[]} points */
  begin(points) {
    const first = points[0]?.time ?? Infinity;
    this.#points = this.#points.filter(({ time }) => time < first);
    for (const point of points) this.#append(point);
    this.#draw();
  }

  /** @param {Point} point */
  add(point) {
    this.#append(point);
    this.#draw();
  }

  redraw() {
    colors.clear();
    for (const chart of this.#charts) chart.redraw();
  }

  #append(point) {
    const before = this.#points.at(-1)?.time ?? Infinity;
    if (point.time <= before && before !== Infinity) return;
    // A line must not lead over a time without numbers.
    if (point.time - before > longestGap * this.#interval + 2000) this.#points.push({ time: before + this.#interval });
    this.#points.push(point);
    this.#points.splice(0, this.#points.length - mostPoints);
  }

  #draw() {
    if (document.hidden || this.#points.length === 0) return;
    for (const chart of this.#charts) chart.draw(this.#points, mostPoints * this.#interval);
  }
}
