// @ts-check
import { openDownloads } from '../support/downloads.js';
import { openUpstream, proxies, withUpstream } from '../support/proxies/servers.js';

const megabytes = 64;

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'proxy-64m',
  summary: 'bodies of 64 MB passed on from an upstream, one download at a time',
  baseline: 'hpm',
  rounds: 5,
  slices: 4,
  metrics: [
    { key: 'rate', title: 'MB per second', better: 'more', digits: 0, toReach: { sluice: 1 } },
    { key: 'cpu', title: 'CPU of the proxy per MB, ms', better: 'less', digits: 3 },
  ],
  async prepare(server, { quick }) {
    const upstream = await openUpstream(server);
    return withUpstream(upstream, async () => {
      await upstream.call('setLog', megabytes * 1024 * 1024);
      return openDownloads(server, { megabytes, coding: 'identity', quick });
    });
  },
  rowPeers: ['hpm', 'nginx', 'sluice'],
  rows: [
    {
      title: 'proxy, bodies of 64 MB: MB/s',
      against: '`http-proxy-middleware`',
      better: 'more',
      ratio: ({ sluice, hpm }) => sluice.rate / hpm.rate,
      limit: { title: 'nginx', of: ({ nginx, hpm }) => nginx.rate / hpm.rate },
      toReach: 1,
    },
  ],
  peers: [proxies.middleware, proxies.httpProxy3, proxies.httpxy, proxies.byHand, proxies.nginx, proxies.sluice],
};

export default scenario;
