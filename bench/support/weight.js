// @ts-check
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.js';

/** @typedef {import('./rounds.js').Bench} Bench */
/** @typedef {import('./rounds.js').Metric} Metric */
/** @typedef {{ rss: number, heap: number }} Memory */

// Streams that come and go before the empty server is weighed, so that code loaded and compiled for the first one is
// not charged to the others.
const visitors = 50;

/**
 * A server that tells how many are connected.
 * @param {{ app: import('node:http').RequestListener, clients: { readonly size: number } }} served
 * @param {Record<string, (...args: any[]) => unknown>} [calls] - others of its own
 */
export function withCount({ app, clients }, calls = {}) {
  return { app, calls: { ...calls, connected: () => clients.size } };
}

/**
 * @param {Child} server
 * @param {number} expected
 */
export async function connected(server, expected) {
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await server.call('connected')) === expected) return;
    await delay(50);
  }
  throw new Error(`the server counts ${await server.call('connected')} streams instead of ${expected}`);
}

/**
 * The memory of a server that had a few clients and has none.
 * @param {Child} server
 * @param {Child} readers
 * @param {string} [acceptEncoding]
 * @returns {Promise<Memory>}
 */
export async function emptyMemory(server, readers, acceptEncoding) {
  await readers.call('open', await server.call('port'), visitors, acceptEncoding);
  await readers.call('close');
  await connected(server, 0);
  return server.call('memory');
}

/**
 * What each of the clients that came between takes, in kB.
 * @param {Memory} before
 * @param {Memory} after
 * @param {number} clients
 */
export function weightOf(before, after, clients) {
  return { rss: (after.rss - before.rss) / clients / 1024, heap: (after.heap - before.heap) / clients / 1024 };
}

/**
 * @param {Record<string, number>} [toReach] - peer → ratio of RSS
 * @returns {Metric[]}
 */
export function weightMetrics(toReach = {}) {
  return [
    { key: 'rss', title: 'RSS of the server per connection, kB', better: 'less', digits: 2, toReach },
    { key: 'heap', title: 'of these, JavaScript heap and external, kB', better: 'less', digits: 2 },
  ];
}

/**
 * Weighs streams that have sent their first event and nothing since.
 * @param {Child} server
 * @param {number} clients
 * @param {string} [acceptEncoding]
 * @returns {Bench}
 */
export function openScale(server, clients, acceptEncoding) {
  const readers = new Child('clients', 'stream-clients.js');
  return {
    async measure() {
      const before = await emptyMemory(server, readers, acceptEncoding);
      await readers.call('open', await server.call('port'), clients, acceptEncoding);
      await connected(server, clients);
      const after = await server.call('memory');
      // One event each, the first, and nothing closed since.
      await readers.call('verify', 1);
      await connected(server, clients);
      await readers.call('close');
      await connected(server, 0);
      return weightOf(before, after, clients);
    },
    close: () => readers.stop(),
  };
}
