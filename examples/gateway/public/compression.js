import { Chart } from './charts.js';
import { connectSwitch } from './switch.js';
import { sumOf, Traffic, trafficOfFiles } from './traffic.js';

const tiers = ['hardly loaded', 'somewhat loaded', 'busy', 'saturated'];
const titles = { files: 'Page', metrics: 'Metrics', follow: 'File', tokens: 'Answers' };

/** The card of compression: its switch, and what it does for this page. */
export class CompressionCard {
  #card;
  #traffic = new Traffic();
  #chart;
  #setSwitch;
  #reopen;
  #state;
  #rows = {};
  /** Whether the stream of metrics was opened while it was off, and so does not follow; `undefined` until that is known. */
  #isPlain;
  #drawnAt;

  /**
   * @param {HTMLElement} card
   * @param {object} options
   * @param {string} options.url - of the switch
   * @param {() => void} options.reopen - asks for the stream of metrics anew, from where it is
   * @param {import('./timeline.js').Timeline} options.timeline - of the page
   */
  constructor(card, { url, reopen, timeline }) {
    this.#card = card;
    this.#reopen = reopen;
    this.#setSwitch = connectSwitch(this.#find('[role="switch"]'), {
      url,
      key: 'c',
      onFailure: (reason) => (this.#find('.failure').textContent = reason === '' ? '' : `Not switched: ${reason}`),
    });
    this.#chart = new Chart(card, {
      timeline,
      series: [
        { label: 'Text', color: 'var(--series-2)', width: 1.5 },
        { label: 'On the wire', color: 'var(--series-1)', width: 2, fill: true },
      ],
      format: rate,
      top: (highest) => Math.max(500, highest * 1.15),
    });
    // Not before the last of them is there.
    if (document.readyState === 'complete') this.#takeFiles();
    else addEventListener('load', () => this.#takeFiles());
  }

  /** The stream of metrics is a new one. */
  opened() {
    this.#isPlain = undefined;
    this.#find('.failure').textContent = '';
  }

  takeState(state) {
    this.#state = state;
    this.#isPlain ??= !state.enabled;
    this.#setSwitch(state.enabled);
    Object.assign(this.#card.dataset, { enabled: String(state.enabled), version: String(state.version) });
    this.#find('.version').textContent = String(state.version);
    this.#takeLoad(state);
    this.#showRows();
    if (state.enabled && this.#isPlain) this.#reopen();
  }

  takeTraffic(report) {
    const { streams, rate: spent } = this.#traffic.add(report);
    this.#takeLoad(report);
    this.#find('.encoders').textContent = String(report.encoders.open);
    this.#find('.memory').textContent = bytes(report.encoders.bytes);
    Object.assign(this.#rows, streams);
    this.#showRows();
    this.#chartRate(report.time / 1000, spent);
  }

  #find(selector) {
    return this.#card.querySelector(selector);
  }

  #takeFiles() {
    const files = trafficOfFiles();
    if (files) this.#rows.files = files;
    this.#showRows();
  }

  #takeLoad({ tier, load }) {
    this.#card.dataset.tier = String(tier);
    this.#find('.tier').textContent = String(tier);
    this.#find('.load').textContent = `load ${load.toFixed(2)}, ${tiers[tier]}`;
  }

  #showRows() {
    const rows = Object.keys(titles).flatMap((name) =>
      this.#rows[name] ? [toRow(name, this.#rows[name], this.#state)] : [],
    );
    this.#find('tbody').replaceChildren(...rows);
    this.#find('tfoot').replaceChildren(toRow('all', { coding: '', open: true, ...sumOf(Object.values(this.#rows)) }));
    const isStuck =
      this.#state?.enabled && Object.values(this.#rows).some(({ open, coding }) => open && coding === 'identity');
    this.#find('.stuck').hidden = !isStuck;
  }

  #chartRate(at, spent) {
    if (!spent) return;
    // Samples that were missed come later, rates do not.
    if (at - this.#drawnAt > 3) this.#chart.breakAt((this.#drawnAt + at) / 2);
    this.#drawnAt = at;
    this.#chart.add({
      time: at,
      values: [spent.text, spent.wire],
      text: rate(spent.wire),
      note: `for ${rate(spent.text)} text`,
    });
  }
}

function toRow(name, { coding, open, text, wire }, state) {
  const row = document.createElement('tr');
  Object.assign(row.dataset, { stream: name, coding, open: String(open), text: String(text), wire: String(wire) });
  const title = document.createElement('th');
  title.scope = 'row';
  title.textContent = titles[name] ?? 'All';
  row.append(
    title,
    ...[
      describeCoding(coding, open, state),
      bytes(text),
      bytes(wire),
      text > 0 ? `${Math.round((100 * wire) / text)} %` : '',
    ].map(toCell),
  );
  return row;
}

/** Off, an open stream stays in its coding and is only not made shorter: in the stored blocks of RFC 1951. */
function describeCoding(coding, open, state) {
  return open && coding !== '' && coding !== 'identity' && state?.enabled === false ? `${coding}, stored` : coding;
}

function toCell(text) {
  const cell = document.createElement('td');
  cell.textContent = text;
  return cell;
}

function bytes(value) {
  if (value < 1000) return `${Math.round(value)} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(2)} MB`;
}

function rate(value) {
  return `${bytes(value)}/s`;
}
