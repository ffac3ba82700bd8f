// @ts-check
import { deliveryMetrics, openDelivery } from '../support/delivery.js';
import { serveBare, serveBetterSse, serveSluice } from '../support/event-servers.js';
import { tickFor } from '../support/tick.js';

/**
 * @param {import('sluice').SseOptions} [options]
 * @param {(app: import('express').Express) => void} [setUp]
 */
async function serveOurs(options, setUp) {
  const { app, clients } = await serveSluice(options, setUp);
  const tick = (/** @type {number} */ number) => {
    let client = 0;
    for (const stream of clients)
      void stream.send({ event: 'tick', id: String(number), data: tickFor(client++, number) });
  };
  return { app, calls: { tick } };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'event-streams',
  summary: '1,000 event streams, a text of its own to each at every tick, uncompressed',
  baseline: 'bare',
  rounds: 5,
  slices: 4,
  metrics: deliveryMetrics({ sluice: 0.7 }),
  prepare: (server, { quick }) =>
    openDelivery(server, quick ? { clients: 100, warmUp: 10, ticks: 20 } : { clients: 1000, warmUp: 20, ticks: 25 }),
  rowPeers: ['bare', 'sluice'],
  rows: [
    {
      title: '1,000 event streams, own text each: CPU per event',
      against: 'bare Express',
      better: 'less',
      ratio: ({ sluice, bare }) => sluice.cpu / bare.cpu,
      limit: { title: "the kernel's part", of: ({ sluice, bare }) => (sluice.cpu - sluice.user) / bare.cpu },
      toReach: { 20: 0.6, 24: 0.75 },
    },
  ],
  peers: [
    {
      name: 'bare',
      title: 'Express, res.write',
      serve() {
        const { app, clients } = serveBare();
        const tick = (/** @type {number} */ number) => {
          let client = 0;
          for (const res of clients)
            res.write(`event: tick\nid: ${number}\ndata: ${JSON.stringify(tickFor(client++, number))}\n\n`);
        };
        return { app, calls: { tick } };
      },
    },
    {
      name: 'better-sse',
      title: 'session.push',
      async serve() {
        const { app, clients } = await serveBetterSse();
        const tick = (/** @type {number} */ number) => {
          let client = 0;
          for (const session of clients) session.push(tickFor(client++, number), 'tick', String(number));
        };
        return { app, calls: { tick } };
      },
    },
    { name: 'sluice', title: 'stream.send', serve: () => serveOurs() },
    {
      name: 'sluice-heartbeat',
      title: 'stream.send, heartbeat',
      async serve() {
        const { heartbeat } = await import('sluice/heartbeat');
        return serveOurs({}, (app) => void app.use(heartbeat()));
      },
    },
    {
      name: 'sluice-indirect',
      title: 'stream.send, directChunks: false',
      serve: () => serveOurs({ directChunks: false }),
    },
  ],
};

export default scenario;
