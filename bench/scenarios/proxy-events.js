// @ts-check
import { deliveryMetrics, openDelivery } from '../support/delivery.js';
import { openUpstream, proxies, withUpstream } from '../support/proxies/servers.js';

const [cpu, user] = deliveryMetrics();
if (!cpu || !user) throw new Error('the CPU is what counts here');

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'proxy-events',
  summary: '1,000 event streams passed on from an upstream, a text of its own to each at every tick',
  baseline: 'hpm',
  rounds: 5,
  slices: 4,
  metrics: [
    { ...cpu, title: 'CPU of the proxy per event, µs', toReach: { sluice: 0.8 } },
    user,
    { ...cpu, title: 'CPU of the proxy per event, µs', toReach: { 'sluice-express': 0.8 }, baseline: 'hpm-express' },
  ],
  async prepare(server, { quick }) {
    const size = quick ? { clients: 100, warmUp: 10, ticks: 20 } : { clients: 1000, warmUp: 20, ticks: 25 };
    const upstream = await openUpstream(server);
    return withUpstream(upstream, () => openDelivery(server, size, { source: upstream }));
  },
  rowPeers: ['hpm', 'nginx', 'sluice'],
  rows: [
    {
      title: 'proxy, 1,000 event streams: CPU per event',
      against: '`http-proxy-middleware`',
      better: 'less',
      ratio: ({ sluice, hpm }) => sluice.cpu / hpm.cpu,
      limit: { title: 'nginx', of: ({ nginx, hpm }) => nginx.cpu / hpm.cpu },
      toReach: 0.8,
    },
  ],
  peers: [
    proxies.middleware,
    proxies.middlewareExpress,
    proxies.byHand,
    proxies.nginx,
    proxies.sluice,
    proxies.sluiceExpress,
  ],
};

export default scenario;
