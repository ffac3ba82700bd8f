// @ts-check
import { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '../support/child.js';
import { serveBetterSse, serveSluice } from '../support/event-servers.js';
import { connected, emptyMemory, weightOf, withCount } from '../support/weight.js';

/** @typedef {import('node:http').RequestListener} RequestListener */
/** @typedef {import('../support/rounds.js').Served} Served */

// A comment, and the frame of its chunk: what each peer sends.
const beatBytes = Buffer.byteLength('2\r\n:\n\r\n');

// In the server's process, as the parent says before anybody connects.
let every = 15_000;

/**
 * @param {{ app: RequestListener, clients: Set<unknown> }} served
 * @returns {Served}
 */
function withReset({ app, clients }) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  /** @type {RequestListener} */
  const listed = (req, res) => {
    sockets.add(req.socket);
    app(req, res);
  };
  return withCount(
    { app: listed, clients },
    {
      setEvery: (/** @type {number} */ ms) => void (every = ms),
      /** By a reset, after which neither end keeps the connection in the kernel's table for a minute. */
      reset() {
        for (const socket of sockets) socket.resetAndDestroy();
        sockets.clear();
      },
    },
  );
}

/** @param {import('sluice/heartbeat').HeartbeatOptions} [options] */
async function serveHeartbeat(options) {
  const { heartbeat } = await import('sluice/heartbeat');
  /** @type {import('sluice/heartbeat').Heartbeat | undefined} */
  let middleware;
  return withReset(
    await serveSluice(
      {},
      (app) => void app.use((req, res, next) => (middleware ??= heartbeat({ every, ...options }))(req, res, next)),
    ),
  );
}

/** @type {import('../support/rounds.js').Scenario['prepare']} */
async function prepare(server, { quick, peer }) {
  const [clients, interval] = quick ? [500, 1000] : [9500, 15_000];
  const expected = peer.name === 'idle' ? 0 : (clients * 1000) / interval;
  await server.call('setEvery', interval);
  return {
    async measure() {
      // The kernel's table has the rows of the whole machine: each peer has its clients while it is measured, and only
      // then.
      const readers = new Child('clients', 'stream-clients.js');
      try {
        const before = await emptyMemory(server, readers);
        await readers.call('open', await server.call('port'), clients);
        await connected(server, clients);
        // The first heartbeats compile; and V8 clears up what the opening left behind, some 15 s later.
        await delay(interval * 1.6);
        const { cpu, beats } = await watch(server, readers, expected === 0 ? interval / 3 : interval);
        if (Math.abs(beats - expected) > expected / 5)
          throw new Error(`${beats} heartbeats a second instead of ${expected}`);
        const { heap } = weightOf(before, await server.call('memory'), clients);
        await connected(server, clients);
        return { cpu, heap };
      } finally {
        await server.call('reset');
        await readers.stop();
        await connected(server, 0);
      }
    },
    close: async () => {},
  };
}

/**
 * What happens in some time, in percent of one core and heartbeats a second.
 * @param {Child} server
 * @param {Child} readers
 * @param {number} time
 */
async function watch(server, readers, time) {
  const [cpuBefore, bytesBefore] = await Promise.all([server.call('cpu'), readers.call('bytes')]);
  const start = performance.now();
  await delay(time);
  const [cpu, bytes] = await Promise.all([server.call('cpu'), readers.call('bytes')]);
  const elapsed = performance.now() - start;
  return { cpu: (cpu - cpuBefore) / 10 / elapsed, beats: ((bytes - bytesBefore) / beatBytes / elapsed) * 1000 };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'heartbeats',
  summary:
    '9,500 event streams that say nothing but a comment every 15 s; both ends are in the kernel’s table of connections',
  baseline: 'better-sse',
  rounds: 1,
  // A process has one first time: it is weighed once.
  slices: 1,
  metrics: [
    { key: 'cpu', title: 'CPU of the server, % of one core', better: 'less', digits: 2 },
    { key: 'heap', title: 'JavaScript heap and external per connection, kB', better: 'less', digits: 3 },
  ],
  prepare,
  peers: [
    { name: 'idle', title: 'sse, no heartbeats', serve: async () => withReset(await serveSluice()) },
    {
      name: 'better-sse',
      title: 'keepAlive',
      serve: async () => withReset(await serveBetterSse(undefined, () => every)),
    },
    { name: 'unprobed', title: 'sse and heartbeat, ackProbe: false', serve: () => serveHeartbeat({ ackProbe: false }) },
    { name: 'sluice', title: 'sse and heartbeat', serve: () => serveHeartbeat() },
  ],
};

export default scenario;
