// @ts-check
import { deliveryMetrics, openDelivery } from '../support/delivery.js';
import { serveBare, serveBetterSse, serveSluice } from '../support/event-servers.js';
import { tickFor } from '../support/tick.js';

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'broadcast',
  summary: '1,000 event streams, the same event to all at every tick, uncompressed',
  baseline: 'bare',
  rounds: 5,
  slices: 4,
  metrics: deliveryMetrics(),
  prepare: (server, { quick }) =>
    openDelivery(server, quick ? { clients: 100, warmUp: 10, ticks: 20 } : { clients: 1000, warmUp: 20, ticks: 25 }),
  peers: [
    {
      name: 'bare',
      title: 'Express, a text framed once, res.write to each',
      serve() {
        const { app, clients } = serveBare();
        const tick = (/** @type {number} */ number) => {
          const text = `event: tick\nid: ${number}\ndata: ${JSON.stringify(tickFor(0, number))}\n\n`;
          for (const res of clients) res.write(text);
        };
        return { app, calls: { tick } };
      },
    },
    {
      name: 'better-sse',
      title: 'channel.broadcast',
      async serve() {
        const { createChannel } = await import('better-sse');
        const channel = createChannel();
        const { app } = await serveBetterSse((session) => channel.register(session));
        const tick = (/** @type {number} */ number) =>
          void channel.broadcast(tickFor(0, number), 'tick', { eventId: String(number) });
        return { app, calls: { tick } };
      },
    },
    {
      name: 'sluice',
      title: 'one event object, stream.send to each',
      async serve() {
        const { app, clients } = await serveSluice();
        const tick = (/** @type {number} */ number) => {
          const event = { event: 'tick', id: String(number), data: tickFor(0, number) };
          for (const stream of clients) void stream.send(event);
        };
        return { app, calls: { tick } };
      },
    },
  ],
};

export default scenario;
