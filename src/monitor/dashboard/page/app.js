// The page: takes what the server sends, and hands it to its parts.
import { Settings } from './actions.js';
import { Charts } from './charts.js';
import { clock, count, make, ms, percent, setText } from './format.js';
import { showCompression, showConnections, showDetails, showOverview, showProcess } from './overview.js';
import { ConnectionTable } from './table.js';

const find = (selector) => document.querySelector(selector);

/** @type {{ interval: number, alerts: { name: string, above: number, for: number }[], actions: Record<string, boolean>, profiles: string[] } | undefined} */
let settings;
let lastAt = 0;

setText(find('#host'), location.host);
const theme = startTheme();
const charts = new Charts();
const controls = new Settings();
const table = new ConnectionTable();
theme.onChange(() => charts.redraw());

function takeSettings(given) {
  settings = given;
  charts.configure(given);
  controls.configure(given);
  table.configure(given.actions.evict);
}

function takeSnapshot(snapshot) {
  lastAt = performance.now();
  setLink('live');
  if (snapshot.point) charts.add(snapshot.point);
  showOverview(snapshot, settings.alerts);
  showCompression(snapshot);
  showProcess(snapshot);
  showConnections(snapshot);
  showDetails(snapshot);
  showAlerts(snapshot.alerts, snapshot.time);
  controls.show(snapshot);
  setProcessState(snapshot.lifecycle);
}

// Connection to the server.

const linkWords = { connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', late: 'Late' };

function setLink(state) {
  const link = find('#link');
  link.dataset.state = state;
  setText(link, linkWords[state]);
  document.body.dataset.stale = String(state !== 'live');
}

function connect() {
  const source = new EventSource('events');
  const take = (name, show) => source.addEventListener(name, ({ data }) => show(JSON.parse(data)));
  take('settings', takeSettings);
  take('history', (points) => charts.begin(points));
  take('snapshot', takeSnapshot);
  source.addEventListener('error', () => {
    if (lastAt > 0) setLink('reconnecting');
    // An answer that is no stream, as of a proxy whose server is away: browsers give up then.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

// A connection that is open and silent is as bad as none.
setInterval(() => {
  const limit = 4 * (settings?.interval ?? 1000) + 2000;
  if (find('#link').dataset.state === 'live' && performance.now() - lastAt > limit) setLink('late');
}, 1000);

const processWords = { active: 'Serving', draining: 'Draining', dead: 'Ended' };

function setProcessState(state) {
  const badge = find('#process-state');
  badge.parentElement.hidden = state === undefined;
  badge.dataset.state = state ?? 'unknown';
  setText(badge, processWords[state] ?? 'Not known');
}

// Alerts.

const alertWords = {
  unresponsive_ratio: { title: 'Too many connections are unresponsive', format: percent },
  avg_heartbeat_rt: { title: 'Heartbeats take too long', format: ms },
};
const mostPast = 5;
/** @type {Map<string, { element: HTMLElement, since: number }>} */
const firing = new Map();

/** @param {{ name: string, value: number, above: number, since: number }[]} alerts */
function showAlerts(alerts, now) {
  const names = new Set(alerts.map(({ name }) => name));
  for (const [name, { element, since }] of firing) {
    if (names.has(name)) continue;
    firing.delete(name);
    element.remove();
    const past = find('#alerts .past');
    past.prepend(make('li', {}, `${titleOf(name)}: ${clock(since)} to ${clock(now)}, over`));
    while (past.children.length > mostPast) past.lastElementChild.remove();
  }
  for (const { name, value, above, since } of alerts) {
    const { format } = alertWords[name] ?? { format: count };
    if (!firing.has(name)) {
      const element = make('li', { 'data-alert': name }, make('strong', {}, titleOf(name)), make('span'));
      find('#alerts .firing').append(element);
      firing.set(name, { element, since });
      // Once: what changes in it later is not read out again.
      setText(element.lastElementChild, ` ${name} above ${format(above)} since ${clock(since)}; now `);
      element.append(make('output', { 'aria-live': 'off' }));
    }
    setText(firing.get(name).element.querySelector('output'), format(value));
  }
  find('#alerts').dataset.firing = String(firing.size);
  find('#alerts .none').hidden = firing.size > 0;
  document.title = firing.size > 0 ? `(${firing.size}) sluice dashboard` : 'sluice dashboard';
}

function titleOf(name) {
  return alertWords[name]?.title ?? name;
}

// Colours.

/** The button that chooses light or dark colours, or leaves it to the system. */
function startTheme() {
  const order = ['system', 'light', 'dark'];
  const button = find('#theme');
  const listeners = [];
  const apply = (name) => {
    if (name === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    setText(button, `Theme: ${name}`);
    for (const listener of listeners) listener();
  };
  let current = order.includes(readStored()) ? readStored() : 'system';
  apply(current);
  button.addEventListener('click', () => {
    current = order[(order.indexOf(current) + 1) % order.length];
    store(current);
    apply(current);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => apply(current));
  return { onChange: (listener) => listeners.push(listener) };
}

// A browser may forbid it.
function readStored() {
  try {
    return localStorage.getItem('sluice-theme');
  } catch {
    return null;
  }
}

function store(name) {
  try {
    localStorage.setItem('sluice-theme', name);
  } catch {
    // Chosen for this page only.
  }
}

connect();
