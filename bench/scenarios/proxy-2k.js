// @ts-check
import { loadMetrics, openLoad } from '../support/load.js';
import { makeOrders } from '../support/orders.js';
import { openUpstream, proxies, withUpstream } from '../support/proxies/servers.js';

const text = JSON.stringify(makeOrders(2000));

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'proxy-2k',
  summary: 'answers of 2 kB JSON passed on from an upstream, over 32 connections',
  baseline: 'hpm',
  rounds: 5,
  slices: 4,
  metrics: [
    ...loadMetrics({ sluice: 2.2 }),
    { key: 'user', title: 'of these outside the kernel, µs', better: 'less', digits: 1 },
    ...loadMetrics({ 'sluice-express': 2.2 }).map((metric) => ({ ...metric, baseline: 'hpm-express' })),
  ],
  async prepare(server, { quick }) {
    const upstream = await openUpstream(server);
    return withUpstream(upstream, async () => {
      await upstream.call('setItem', text);
      return openLoad(server, { text, acceptEncoding: null, quick, counter: upstream, warmUps: 3 });
    });
  },
  rowPeers: ['hpm', 'nginx', 'sluice'],
  rows: [
    {
      title: 'proxy, answers of 2 kB: requests/s',
      against: '`http-proxy-middleware`',
      better: 'more',
      ratio: ({ sluice, hpm }) => sluice.rate / hpm.rate,
      limit: { title: 'nginx', of: ({ nginx, hpm }) => nginx.rate / hpm.rate },
      toReach: 2.2,
    },
  ],
  peers: [
    proxies.middleware,
    proxies.middlewareExpress,
    proxies.httpProxy3,
    proxies.httpxy,
    proxies.byHand,
    proxies.nginx,
    proxies.sluice,
    proxies.sluiceExpress,
  ],
};

export default scenario;
