// @ts-check
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '../support/child.js';
import { serveBare, serveBetterSse, serveSluice } from '../support/event-servers.js';

/** @typedef {import('../support/rounds.js').Bench} Bench */
/** @typedef {import('node:http').RequestListener} Listener */

// Streams that come and go before the empty server is weighed, so that code loaded and compiled for the first one is not charged to the others.
const visitors = 50;

/** @param {{ app: Listener, clients: Set<unknown> }} served */
function withCount({ app, clients }) {
  return { app, calls: { connected: () => clients.size } };
}

/**
 * @param {Child} server
 * @param {number} expected
 */
async function connected(server, expected) {
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await server.call('connected')) === expected) return;
    await delay(50);
  }
  throw new Error(`the server counts ${await server.call('connected')} streams instead of ${expected}`);
}

/**
 * @param {Child} server
 * @param {Child} readers
 * @param {number} clients
 */
async function weigh(server, readers, clients) {
  const port = await server.call('port');
  await readers.call('open', port, visitors);
  await readers.call('close');
  await connected(server, 0);
  const before = await server.call('memory');
  await readers.call('open', port, clients);
  await connected(server, clients);
  const after = await server.call('memory');
  // One event each, the first, and nothing closed since.
  await readers.call('verify', 1);
  await connected(server, clients);
  await readers.call('close');
  await connected(server, 0);
  return { rss: (after.rss - before.rss) / clients / 1024, heap: (after.heap - before.heap) / clients / 1024 };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'idle',
  summary: '5,000 event streams that say nothing',
  baseline: 'bare',
  rounds: 3,
  // A process has one first time: it is weighed once.
  slices: 1,
  metrics: [
    { key: 'rss', title: 'RSS of the server per connection, kB', better: 'less', digits: 2, toReach: { sluice: 1.15 } },
    { key: 'heap', title: 'of these, JavaScript heap and external, kB', better: 'less', digits: 2 },
  ],
  async prepare(server, { quick }) {
    const readers = new Child('clients', 'stream-clients.js');
    return { measure: () => weigh(server, readers, quick ? 500 : 5000), close: () => readers.stop() };
  },
  peers: [
    { name: 'bare', title: 'Express, res kept in a Set', serve: () => withCount(serveBare()) },
    { name: 'better-sse', title: 'session kept in a Set', serve: async () => withCount(await serveBetterSse()) },
    { name: 'sluice', title: 'stream kept in a Set', serve: async () => withCount(await serveSluice()) },
  ],
};

export default scenario;
