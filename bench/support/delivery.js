// @ts-check
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.js';
import { emptyMemory, weightOf } from './weight.js';

/** @typedef {import('./rounds.js').Bench} Bench */
/** @typedef {import('./rounds.js').Metric} Metric */

/** @param {Record<string, number>} [toReach] - peer → ratio of CPU */
export function deliveryMetrics(toReach = {}) {
  /** @type {Metric[]} */
  const metrics = [
    { key: 'cpu', title: 'CPU of the server per delivered event, µs', better: 'less', digits: 2, toReach },
    { key: 'user', title: 'of these outside the kernel, µs', better: 'less', digits: 2 },
    { key: 'wire', title: 'bytes on the wire per event', better: 'less', digits: 1 },
  ];
  return metrics;
}

/**
 * Connects an audience and sends ticks to it: a call of `tick(number)` in the server sends each client one event
 * with that number as its id. A tick starts when the one before has arrived everywhere.
 *
 * The clients read when the server has written. On one machine a write to a process that sleeps pays for waking it, so
 * the writer's CPU would depend on how often the readers fall asleep; a client elsewhere costs nothing of the kind.
 * @param {Child} server
 * @param {{ clients: number, warmUp: number, ticks: number }} size
 * @param {object} [options]
 * @param {string} [options.acceptEncoding] - with it, servers may write from other threads, and are weighed; a call of
 *   `end` ends their streams, for the checksums
 * @param {number} [options.events] - events of a tick, with the ids that follow; by default one
 * @param {Child} [options.source] - where `tick` is called, if the server passes on what comes from there
 * @returns {Promise<Bench>}
 */
export async function openDelivery(
  server,
  { clients, warmUp, ticks },
  { acceptEncoding, events = 1, source = server } = {},
) {
  const readers = new Child('clients', 'stream-clients.js');
  let sent = 0;
  // One event more than those of the ticks: what the stream begins with.
  const run = async (/** @type {number} */ count) => {
    for (const end = sent + count; sent < end;) {
      await readers.call('hold');
      await source.call('tick', ++sent);
      // `cpu` is answered in a later turn: whatever the tick put off to the end of its own is written.
      await server.call(acceptEncoding === undefined && source === server ? 'cpu' : 'quiet');
      readers.release();
      await readers.call('arrived', sent * events + 1);
    }
  };
  const open = async () => {
    const before = acceptEncoding === undefined ? undefined : await emptyMemory(server, readers, acceptEncoding);
    await readers.call('open', await server.call('port'), clients, acceptEncoding);
    await run(warmUp);
    return before && weightOf(before, await server.call('memory'), clients);
  };
  const weight = await open().catch(async (/** @type {unknown} */ error) => {
    await readers.stop();
    throw error;
  });
  return {
    async measure() {
      const [cpuBefore, userBefore, bytesBefore] = await Promise.all([
        server.call('cpu'),
        server.call('userCpu'),
        readers.call('bytes'),
      ]);
      await run(ticks);
      const [cpu, user, bytes] = await Promise.all([server.call('cpu'), server.call('userCpu'), readers.call('bytes')]);
      // Time for an event too many to show up.
      await delay(20);
      await readers.call('verify', sent * events + 1);
      const deliveries = clients * ticks * events;
      return {
        cpu: (cpu - cpuBefore) / deliveries,
        user: (user - userBefore) / deliveries,
        wire: (bytes - bytesBefore) / deliveries,
        ...weight,
      };
    },
    async finish() {
      if (acceptEncoding === undefined) return;
      await server.call('end');
      await readers.call('ended');
    },
    close: () => readers.stop(),
  };
}
