import { withParams } from './address.js';
import { Chart, color } from './charts.js';
import { CompressionCard } from './compression.js';
import { connect } from './connection.js';
import { showConnections } from './connections.js';
import { follow } from './follow.js';
import { askForTokens } from './tokens.js';

const gibibyte = 2 ** 30;
// Keeps neighbours apart, however many there are.
const goldenAngle = 137.5;
const stateTexts = { live: 'Live', reconnecting: 'Reconnecting', gone: 'Server gone, still trying' };
const lifecycleTexts = { active: 'Serving', draining: 'Draining: streams move to the next process', dead: 'Gone' };
const element = (id) => document.getElementById(id);

/** @type {Record<string, Chart> | undefined} */
let charts;
let host;
let newest;
let restarted = false;
let gaps = 0;
let frame;

// Not randomUUID, which only secure contexts have.
const pageName = Array.from(crypto.getRandomValues(new Uint32Array(3)), (number) => number.toString(36)).join('');
const ofThisPage = (url) => withParams(url, [['page', pageName]]);

const compression = new CompressionCard(element('compression'), { url: '/compression', reopen: () => reopen() });
const reopen = connect(ofThisPage('/metrics'), {
  events: {
    host: takeHost,
    sample: takeSample,
    lifecycle: takeLifecycle,
    compression: (state) => compression.takeState(state),
    traffic: (report) => compression.takeTraffic(report),
    connections: (stats) => showConnections(element('connections'), stats),
  },
  onState(state) {
    if (state === 'live') compression.opened();
    element('connection').dataset.state = state;
    element('connection').textContent = stateTexts[state];
  },
});
void follow(ofThisPage('/follow'), element('follow'));
askForTokens(ofThisPage('/tokens'), element('tokens'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  drawSoon();
  compression.draw();
});

function takeHost(next) {
  restarted ||= host !== undefined && next.startedAt !== host.startedAt;
  host = next;
  takeLifecycle({ state: 'active' });
  charts ??= makeCharts(host);
  element('host').textContent =
    `${host.name} · ${host.cpu} · ${host.cores} cores · ${size(host.memory / gibibyte)} · ${host.runtime}`;
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
  drawSoon();
}

/** A process that drains still answers; the page goes on with the next one. */
function takeLifecycle({ state }) {
  element('lifecycle').dataset.state = state;
  element('lifecycle').textContent = lifecycleTexts[state];
}

/** Samples that are missing were never taken, or are older than what the server keeps. */
function markGap(at) {
  const late = at - newest > (3 * host.interval) / 1000;
  if (newest !== undefined && (late || restarted)) {
    const seconds = `${(at - newest).toFixed(1)} s`;
    for (const chart of Object.values(charts)) chart.addGap({ from: newest, to: at, label: seconds });
    gaps += 1;
    element('gaps').dataset.gaps = String(gaps);
    element('gaps').textContent =
      `${gaps === 1 ? '1 gap' : `${gaps} gaps, last`} of ${seconds}${restarted ? ', the server restarted' : ''}`;
  }
  restarted = false;
}

/** A replay of many samples is drawn once. */
function drawSoon() {
  frame ??= requestAnimationFrame(() => {
    frame = undefined;
    for (const chart of Object.values(charts ?? {})) chart.draw();
  });
}

function makeCharts({ cores, memory }) {
  const coreColor = (index) => () => `hsl(${30 + index * goldenAngle} 65% ${color('--core-lightness')})`;
  const line = (label, number, more) => ({ label, color: () => color(`--series-${number}`), ...more });
  return {
    cpu: new Chart(element('cpu'), {
      series: [
        line('All', 1, { width: 2.5, fill: true }),
        ...Array.from({ length: cores }, (_, index) => ({ label: `Core ${index}`, color: coreColor(index), width: 1 })),
      ],
      format: percent,
      top: () => 100,
    }),
    load: new Chart(element('load'), {
      series: [line('1 min', 1, { width: 2, fill: true }), line('5 min', 2), line('15 min', 3)],
      format: (value) => value.toFixed(2),
      top: (highest) => Math.max(1, highest * 1.15),
    }),
    memory: new Chart(element('memory'), {
      series: [line('Machine', 1, { width: 2, fill: true }), line('This server', 2)],
      format: size,
      tick: (value) => `${value} GiB`,
      top: (highest) => Math.min(memory / gibibyte, highest * 1.5),
    }),
    delay: new Chart(element('delay'), {
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
