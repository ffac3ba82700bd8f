// @ts-check
import { deliveryMetrics, openDelivery } from './delivery.js';
import { serveBare, serveCompressedBetterSse, serveCompressedSluice, serveCompression } from './event-servers.js';
import { weightMetrics, withCount } from './weight.js';

/** @typedef {import('./rounds.js').Metric} Metric */

/**
 * Event streams that are compressed, a text of its own to each at every tick, beside one that is not.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {(client: number, number: number) => unknown} options.dataFor - what a client is told at a tick
 * @param {Partial<Record<'cpu' | 'wire' | 'rss', number>>} [options.toReach] - our ratios to `compression`
 * @param {Partial<Record<'cpu' | 'wire', number>>} [options.toReachBare] - our ratios to the bare peer
 * @param {readonly import('./summary.js').Row[]} [options.rows]
 * @returns {import('./rounds.js').Scenario}
 */
export function compressedStreams({ name, summary, dataFor, toReach = {}, toReachBare = {}, rows }) {
  const textFor = textOf(dataFor);
  return {
    name,
    summary,
    baseline: 'compression',
    rounds: 5,
    slices: 4,
    metrics: compressedMetrics(toReach, toReachBare),
    ...(rows && { rows, rowPeers: ['compression', 'bare', 'sluice'] }),
    prepare: (server, { quick }) =>
      openDelivery(server, quick ? { clients: 100, warmUp: 10, ticks: 20 } : { clients: 1000, warmUp: 20, ticks: 25 }, {
        acceptEncoding: 'gzip',
      }),
    peers: [
      {
        name: 'compression',
        title: 'Express, compression, res.write and res.flush',
        async serve() {
          const served = await serveCompression();
          const tick = (/** @type {number} */ number) => {
            let client = 0;
            for (const res of served.clients) {
              res.write(textFor(client++, number));
              res.flush();
            }
          };
          return withCount(served, { tick, end: () => served.clients.forEach((res) => res.end()) });
        },
      },
      {
        name: 'better-sse',
        title: 'session.push, compression and res.flush',
        async serve() {
          const served = await serveCompressedBetterSse();
          const tick = (/** @type {number} */ number) => {
            let client = 0;
            for (const { session, res } of served.clients) {
              session.push(dataFor(client++, number), 'tick', String(number));
              res.flush();
            }
          };
          return withCount(served, { tick, end: () => served.clients.forEach(({ res }) => res.end()) });
        },
      },
      { name: 'bare', title: 'Express, res.write, uncompressed', serve: () => serveBareTicks(dataFor) },
      { name: 'sluice', title: 'stream.send and compress', serve: () => serveSluiceTicks(dataFor) },
    ],
  };
}

/** @typedef {(client: number, number: number) => unknown} DataFor */

/** @param {DataFor} dataFor */
function textOf(dataFor) {
  return (/** @type {number} */ client, /** @type {number} */ number) =>
    `event: tick\nid: ${number}\ndata: ${JSON.stringify(dataFor(client, number))}\n\n`;
}

/** `res.write`, uncompressed. @param {DataFor} dataFor - what a client is told at a tick */
export function serveBareTicks(dataFor) {
  const textFor = textOf(dataFor);
  const served = serveBare();
  const tick = (/** @type {number} */ number) => {
    let client = 0;
    for (const res of served.clients) res.write(textFor(client++, number));
  };
  return withCount(served, { tick, end: () => served.clients.forEach((res) => res.end()) });
}

/** `stream.send` under `compress`. @param {DataFor} dataFor - what a client is told at a tick */
export async function serveSluiceTicks(dataFor) {
  const served = await serveCompressedSluice();
  const tick = (/** @type {number} */ number) => {
    let client = 0;
    for (const stream of served.clients)
      void stream.send({ event: 'tick', id: String(number), data: dataFor(client++, number) });
  };
  return withCount(served, { tick, end: () => served.clients.forEach((stream) => void stream.end()) });
}

/**
 * Each against `compression`, and what is better without it against the bare peer too.
 * @param {Partial<Record<string, number>>} toReach
 * @param {Partial<Record<string, number>>} toReachBare
 */
function compressedMetrics(toReach, toReachBare) {
  /** @type {Metric[]} */
  const all = [...deliveryMetrics(), ...weightMetrics()];
  return all.flatMap((metric) => [
    limited(metric, toReach[metric.key]),
    ...(metric.key in toReachBare ? [{ ...limited(metric, toReachBare[metric.key]), baseline: 'bare' }] : []),
  ]);
}

/**
 * @param {Metric} metric
 * @param {number | undefined} ratio
 * @returns {Metric}
 */
function limited(metric, ratio) {
  return ratio === undefined ? metric : { ...metric, toReach: { sluice: ratio } };
}
