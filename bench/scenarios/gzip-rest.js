// @ts-check
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from '../support/child.js';
import { serveBareTicks, serveSluiceTicks } from '../support/compressed-streams.js';
import { tickFor } from '../support/tick.js';
import { connected, emptyMemory, weightMetrics, weightOf } from '../support/weight.js';

// In ms. V8 gives memory back some seconds after the last allocation.
const rest = 20_000;
const interval = 1000;

/**
 * Sends ticks for a while, and weighs the streams when nothing was sent for some time.
 * @param {Child} server
 * @param {{ clients: number, duration: number }} size - duration in ms
 * @returns {import('../support/rounds.js').Bench}
 */
function openRest(server, { clients, duration }) {
  const readers = new Child('clients', 'stream-clients.js');
  return {
    async measure() {
      const before = await emptyMemory(server, readers, 'gzip');
      await readers.call('open', await server.call('port'), clients, 'gzip');
      await connected(server, clients);
      let sent = 0;
      for (const end = performance.now() + duration; performance.now() < end;) {
        const next = performance.now() + interval;
        await server.call('tick', ++sent);
        await readers.call('arrived', sent + 1);
        await delay(Math.max(0, next - performance.now()));
      }
      await delay(rest);
      const after = await server.call('memory');
      await readers.call('verify', sent + 1);
      await readers.call('close');
      return { ...weightOf(before, after, clients), ticks: sent };
    },
    close: () => readers.stop(),
  };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'gzip-rest',
  summary: '5,000 streams with a text of its own to each every second, for ten minutes, and then at rest, gzip',
  baseline: 'bare',
  rounds: 1,
  slices: 1,
  metrics: [
    ...weightMetrics({ sluice: 1.25 }),
    { key: 'ticks', title: 'events of each stream', better: 'more', digits: 0 },
  ],
  prepare: async (server, { quick }) =>
    openRest(server, quick ? { clients: 5000, duration: 45_000 } : { clients: 5000, duration: 600_000 }),
  peers: [
    { name: 'bare', title: 'Express, res.write, uncompressed', serve: () => serveBareTicks(tickFor) },
    { name: 'sluice', title: 'stream.send and compress', serve: () => serveSluiceTicks(tickFor) },
  ],
};

export default scenario;
