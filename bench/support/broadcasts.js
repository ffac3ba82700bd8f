// @ts-check
import { deliveryMetrics, openDelivery } from './delivery.js';
import {
  serveBare,
  serveCompressedBetterSse,
  serveCompressedChannel,
  serveCompressedSluice,
  serveCompression,
  serveReadyBytes,
} from './event-servers.js';
import { tickFor } from './tick.js';
import { withCount } from './weight.js';

/**
 * Peer → our ratios to it.
 * @typedef {object} ToReach
 * @property {{ cpu: number, wire: number }} bare
 * @property {{ cpu: number }} each
 * @property {{ cpu: number }} compression
 */

/**
 * Event streams in gzip that get the same events at every tick, beside ones that are not compressed.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {number} options.events - at each tick
 * @param {string} options.each - the same in words
 * @param {ToReach} options.toReach
 * @returns {import('./rounds.js').Scenario}
 */
export function broadcasts({ name, summary, events, each, toReach }) {
  const eventsOf = (/** @type {number} */ tick) =>
    Array.from({ length: events }, (_, index) => {
      const number = (tick - 1) * events + index + 1;
      return { event: 'tick', id: String(number), data: tickFor(0, number) };
    });
  const textsOf = (/** @type {number} */ tick) =>
    eventsOf(tick).map(({ event, id, data }) => `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  return {
    name,
    summary,
    baseline: 'bare',
    rounds: 5,
    slices: 4,
    rows: rowsOf(`channel, gzip, ${each} a tick`, toReach),
    rowPeers: ['bare', 'ready', 'compression', 'sluice'],
    metrics: deliveryMetrics().flatMap((metric) =>
      Object.entries(toReach).flatMap(([baseline, ratios]) => {
        const ratio = /** @type {Record<string, number | undefined>} */ (ratios)[metric.key];
        return ratio === undefined ? [] : [{ ...metric, baseline, toReach: { sluice: ratio } }];
      }),
    ),
    prepare: (server, { quick }) =>
      openDelivery(server, quick ? { clients: 100, warmUp: 10, ticks: 20 } : { clients: 1000, warmUp: 20, ticks: 25 }, {
        acceptEncoding: 'gzip',
        events,
      }),
    peers: [
      {
        name: 'bare',
        title: 'Express, texts framed once, res.write to each, uncompressed',
        serve() {
          const served = serveBare();
          const tick = (/** @type {number} */ number) => {
            for (const text of textsOf(number)) for (const res of served.clients) res.write(text);
          };
          return withCount(served, { tick, end: () => served.clients.forEach((res) => res.end()) });
        },
      },
      {
        name: 'compression',
        title: 'the same, compression and res.flush',
        async serve() {
          const served = await serveCompression();
          const tick = (/** @type {number} */ number) => {
            for (const text of textsOf(number)) for (const res of served.clients) res.write(text);
            for (const res of served.clients) res.flush();
          };
          return withCount(served, { tick, end: () => served.clients.forEach((res) => res.end()) });
        },
      },
      {
        name: 'better-sse',
        title: 'channel.broadcast, compression and res.flush',
        async serve() {
          const { createChannel } = await import('better-sse');
          const channel = createChannel();
          const served = await serveCompressedBetterSse((session) => channel.register(session));
          const tick = (/** @type {number} */ number) => {
            for (const { event, id, data } of eventsOf(number)) channel.broadcast(data, event, { eventId: id });
            for (const { res } of served.clients) res.flush();
          };
          return withCount(served, { tick, end: () => served.clients.forEach(({ res }) => res.end()) });
        },
      },
      {
        name: 'ready',
        title: 'bytes that are ready, socket.write to each: the floor',
        async serve() {
          const { send, end, ...served } = await serveReadyBytes();
          return withCount(served, { tick: (/** @type {number} */ number) => send(textsOf(number).join('')), end });
        },
      },
      {
        name: 'each',
        title: 'stream.send to each, and compress',
        async serve() {
          const served = await serveCompressedSluice();
          const tick = (/** @type {number} */ number) => {
            for (const event of eventsOf(number)) for (const stream of served.clients) void stream.send(event);
          };
          return withCount(served, { tick, end: () => served.clients.forEach((stream) => void stream.end()) });
        },
      },
      {
        name: 'sluice',
        title: 'createChannel, and compress',
        async serve() {
          const { channel, ...served } = await serveCompressedChannel();
          const tick = (/** @type {number} */ number) => {
            for (const { event, data } of eventsOf(number)) void channel.publish({ event, data });
          };
          return withCount(served, { tick, end: () => void channel.end() });
        },
      },
    ],
  };
}

/**
 * @param {string} title
 * @param {ToReach} toReach
 * @returns {import('./summary.js').Row[]}
 */
function rowsOf(title, { bare, compression }) {
  const cpuTo = (/** @type {'bare' | 'compression'} */ peer, /** @type {string} */ against) => ({
    title: `${title}, CPU of a delivery`,
    against,
    better: /** @type {const} */ ('less'),
    ratio: (/** @type {any} */ round) => round.sluice.cpu / round[peer].cpu,
    limit: { title: 'one `socket.write` to each', of: (/** @type {any} */ round) => round.ready.cpu / round[peer].cpu },
  });
  return [
    { ...cpuTo('bare', '`res.write` to each, uncompressed'), toReach: bare.cpu },
    { ...cpuTo('compression', '`compression` and `res.flush()`'), toReach: compression.cpu },
    {
      title: `${title}, bytes of an event`,
      against: 'uncompressed',
      better: 'less',
      ratio: (round) => round.sluice.wire / round.bare.wire,
      toReach: bare.wire,
    },
  ];
}
