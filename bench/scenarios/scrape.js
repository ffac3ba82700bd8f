// @ts-check
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { clearImmediate, setImmediate } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '../support/child.js';
import { median } from '../support/statistics.js';
import { connected } from '../support/weight.js';

const routes = 50;
const scrapes = 10;
const [few, many] = [50, 20_000];
// Clients of one process, which all come from one address: its ports are not enough for all.
const clientsOfProcess = 5_000;
// Files that a server has open beside its streams.
const otherFiles = 500;

/** So many streams as a process may have open, at most 20,000. */
function mostStreams() {
  const limit = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));
  return Number.isNaN(limit) ? many : Math.min(many, limit - otherFiles);
}

async function serveMonitored() {
  const { default: express } = await import('express');
  const { compress, heartbeat, monitor, sse } = await import('sluice');
  const beats = heartbeat({ every: '10m' });
  const watch = monitor({ authorize: () => true, registry: beats.registry });
  const app = express();
  app.use(watch, beats, compress());
  app.get('/metrics', watch.metrics);
  app.get(
    '/events',
    sse(async (stream) => {
      await stream.send('open');
      await new Promise((resolve) => void stream.onClose(resolve));
    }),
  );
  for (let route = 0; route < routes; route++) app.get(`/route-${route}`, (_req, res) => void res.json({ route }));

  let longest = { time: 0, cpu: 0 };
  /** @type {NodeJS.Immediate | undefined} */
  let turn;
  /** @param {number} before @param {number} cpuBefore */
  function measureTurn(before, cpuBefore) {
    const cpu = usedCpu();
    longest = { time: Math.max(longest.time, performance.now() - before), cpu: Math.max(longest.cpu, cpu - cpuBefore) };
    turn = setImmediate(measureTurn, performance.now(), cpu);
  }
  return {
    app,
    calls: {
      connected: () => watch.snapshot().streams.active,
      /** Measures turns of the event loop from now on. */
      watchTurns() {
        longest = { time: 0, cpu: 0 };
        measureTurn(performance.now(), usedCpu());
      },
      /** The longest turn since then, and the most CPU time of one, in ms. */
      longestTurn() {
        clearImmediate(turn);
        return longest;
      },
    },
  };
}

/** In ms: of the thread of the event loop where Node can tell, else of all threads. */
function usedCpu() {
  const read = /** @type {{ threadCpuUsage?: () => NodeJS.CpuUsage }} */ (process).threadCpuUsage;
  const { user, system } = read?.call(process) ?? process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * @param {number} port
 * @param {string} path
 * @returns {Promise<string>}
 */
function get(port, path) {
  return new Promise((resolve, reject) => {
    http
      .get({ port, path, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (part) => (text += part));
        res.on('end', () => (res.statusCode === 200 ? resolve(text) : reject(new Error(`${res.statusCode}: ${text}`))));
      })
      .on('error', reject);
  });
}

/**
 * @param {Child} server
 * @param {number} streams - that are open
 * @returns {Promise<import('../support/rounds.js').Bench>}
 */
async function openScrape(server, streams) {
  const port = await server.call('port');
  const processes = Array.from(
    { length: Math.ceil(streams / clientsOfProcess) },
    (_, index) => new Child(`clients ${index}`, 'stream-clients.js'),
  );
  const close = async () => {
    await Promise.all(processes.map((clients) => clients.stop()));
  };

  async function scrape() {
    await server.call('watchTurns');
    const start = performance.now();
    const text = await get(port, '/metrics');
    const time = performance.now() - start;
    const hold = await server.call('longestTurn');
    if (!text.includes(`\nsluice_streams_active ${streams}\n`)) throw new Error(`the scrape misses some of ${streams}`);
    return { time, hold };
  }

  try {
    for (let route = 0; route < routes; route++) await get(port, `/route-${route}`);
    let left = streams;
    for (const [index, clients] of processes.entries()) {
      const share = Math.min(left, clientsOfProcess);
      left -= share;
      await clients.call('open', port, share, undefined, `127.0.0.${2 + index}`);
    }
    await connected(server, streams);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async measure() {
      const first = await scrape();
      const others = [];
      for (let index = 0; index < scrapes; index++) {
        await delay(50);
        others.push(await scrape());
      }
      return {
        first: first.time,
        firstHold: first.hold.time,
        firstCpu: first.hold.cpu,
        time: median(others.map(({ time }) => time)),
        hold: median(others.map(({ hold }) => hold.time)),
        cpu: median(others.map(({ hold }) => hold.cpu)),
      };
    },
    close,
  };
}

/**
 * @param {string} key
 * @param {string} title
 * @returns {import('../support/rounds.js').Metric}
 */
const milliseconds = (key, title) => ({ key, title, better: 'less', digits: 1 });

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'scrape',
  summary: `a scrape of Prometheus: ${routes} routes, and up to 20,000 open event streams`,
  baseline: 'few',
  rounds: 3,
  // A process has one first scrape.
  slices: 1,
  metrics: [
    milliseconds('first', 'the first scrape, ms'),
    milliseconds('firstHold', 'longest turn of the event loop in the first scrape, ms'),
    milliseconds('firstCpu', 'most CPU time of a turn in the first scrape, ms'),
    milliseconds('time', 'a later scrape, ms'),
    milliseconds('hold', 'longest turn of the event loop in a later scrape, ms'),
    milliseconds('cpu', 'most CPU time of a turn in a later scrape, ms'),
  ],
  prepare: (server, { quick, peer }) => openScrape(server, peer.name === 'few' ? few : quick ? 500 : mostStreams()),
  peers: [
    { name: 'few', title: `monitor, ${few} streams`, serve: serveMonitored },
    { name: 'many', title: 'monitor, 20,000 streams', serve: serveMonitored },
  ],
};

export default scenario;
