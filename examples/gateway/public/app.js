import { withParams } from './address.js';
import { Chart, clock } from './charts.js';
import { CompressionCard } from './compression.js';
import { connect } from './connection.js';
import { showConnections } from './connections.js';
import { showFile } from './follow.js';
import { describeServer } from './server-state.js';
import { explainTerms } from './terms.js';
import { Timeline } from './timeline.js';
import { showTokens } from './tokens.js';

const gibibyte = 2 ** 30;
// Keeps neighbours apart, however many there are.
const goldenAngle = 137.5;
const element = (id) => document.getElementById(id);
const timeline = new Timeline();

/** @type {Record<string, Chart> | undefined} */
let charts;
let host;
let newest;
let restarted = false;
let gaps = 0;
let server = { stream: 'connecting', said: undefined };

// Not randomUUID, which only secure contexts have.
const pageName = Array.from(crypto.getRandomValues(new Uint32Array(3)), (number) => number.toString(36)).join('');
const ofThisPage = (url) => withParams(url, [['page', pageName]]);

explainTerms(document.body);
showTokens(ofThisPage('/tokens'), element('tokens'));
const takeFile = showFile(ofThisPage('/follow'), element('follow'));
const compression = new CompressionCard(element('compression'), {
  url: '/compression',
  reopen: () => reopen(),
  timeline,
});
const reopen = connect(ofThisPage('/metrics'), {
  events: {
    host: takeHost,
    sample: takeSample,
    lifecycle: ({ state }) => showServer({ said: state }),
    compression: (state) => compression.takeState(state),
    traffic: (report) => compression.takeTraffic(report),
    connections: (stats) => showConnections(element('connections'), stats),
  },
  onState(stream) {
    if (stream === 'live') compression.opened();
    showServer({ stream });
  },
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => timeline.drawSoon());

function takeHost(next) {
  restarted ||= host !== undefined && next.startedAt !== host.startedAt;
  host = next;
  showServer({ said: 'active' });
  takeFile(host.file);
  element('no-file').hidden = host.file !== null;
  charts ??= makeCharts(host);
  element('host').textContent =
    `${host.name} · ${host.cpu} · ${host.cores} cores · ${size(host.memory / gibibyte)} · ${host.runtime}`;
}

/** @param {{ stream?: string, said?: string }} change - see `describeServer` */
function showServer(change) {
  server = { ...server, ...change };
  const { stream, streamText, process, processText, isOld, reason } = describeServer(server);
  showBadge(element('connection'), stream, streamText);
  showBadge(element('lifecycle'), process, processText);
  const since = newest === undefined ? '' : ` from ${clock.format(newest * 1000)}`;
  document.body.dataset.old = String(isOld);
  for (const label of document.querySelectorAll('.card .old')) {
    label.hidden = !isOld;
    label.textContent = isOld ? `Old${since}` : '';
  }
  element('old').hidden = !isOld;
  element('old').textContent = isOld
    ? `${reason} The grey numbers are old${since && `:${since}`}. They go on when a server answers again.`
    : '';
}

/** Screen readers say what changes, and only that. */
function showBadge(badge, state, text) {
  badge.dataset.state = state;
  if (badge.textContent !== text) badge.textContent = text;
}

function takeSample({ time, cores, load, memory, delay }) {
  const at = time / 1000;
  markGap(at);
  newest = at;
  const all = cores.reduce((sum, core) => sum + core, 0) / cores.length;
  charts.cpu.add({ time: at, values: [all, ...cores], text: percent(all) });
  charts.load.add({ time: at, values: load, text: load[0].toFixed(2), note: `on ${host.cores} cores` });
  charts.memory.add({
    time: at,
    values: [memory.used / gibibyte, memory.process / gibibyte],
    text: size(memory.used / gibibyte),
    note: `of ${size(host.memory / gibibyte)}`,
  });
  charts.delay.add({ time: at, values: [delay.median, delay.p99, delay.max], text: milliseconds(delay.p99) });
}

/** Samples that are missing were never taken, or are older than what the server keeps. */
function markGap(at) {
  const late = at - newest > (3 * host.interval) / 1000;
  if (newest !== undefined && (late || restarted)) {
    const seconds = `${(at - newest).toFixed(1)} s`;
    timeline.addGap({ from: newest, to: at, label: seconds });
    gaps += 1;
    element('gaps').dataset.gaps = String(gaps);
    element('gaps').textContent =
      `${gaps === 1 ? '1' : `${gaps}, the last`} of ${seconds}${restarted ? ': the server restarted' : ''}`;
  }
  restarted = false;
}

function makeCharts({ cores, memory }) {
  const coreColor = (index) => `hsl(${30 + index * goldenAngle} 65% var(--core-lightness))`;
  const line = (label, number, more) => ({ label, color: `var(--series-${number})`, ...more });
  return {
    cpu: new Chart(element('cpu'), {
      timeline,
      series: [
        line('All', 1, { width: 2.5, fill: true }),
        ...Array.from({ length: cores }, (_, index) => ({ label: `Core ${index}`, color: coreColor(index), width: 1 })),
      ],
      format: percent,
      top: () => 100,
    }),
    load: new Chart(element('load'), {
      timeline,
      series: [line('1 min', 1, { width: 2, fill: true }), line('5 min', 2), line('15 min', 3)],
      format: (value) => value.toFixed(2),
      top: (highest) => Math.max(1, highest * 1.15),
    }),
    memory: new Chart(element('memory'), {
      timeline,
      series: [line('Machine', 1, { width: 2, fill: true }), line('This server', 2)],
      format: size,
      tick: (value) => `${value} GiB`,
      top: (highest) => Math.min(memory / gibibyte, highest * 1.5),
    }),
    delay: new Chart(element('delay'), {
      timeline,
      series: [line('Median', 3), line('p99', 1, { width: 2, fill: true }), line('Max', 2, { width: 1 })],
      format: milliseconds,
      top: (highest) => Math.max(5, highest * 1.15),
    }),
  };
}

function percent(value) {
  return `${Math.round(value)} %`;
}

function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function size(gib) {
  return gib < 1 ? `${Math.round(gib * 1024)} MiB` : `${gib.toFixed(1)} GiB`;
}
