// @ts-check
import { serveBare, serveCompressedSluice, serveCompression } from '../support/event-servers.js';
import { openScale, weightMetrics, withCount } from '../support/weight.js';

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'idle-gzip',
  summary: '5,000 event streams that say nothing after their first comment, gzip',
  baseline: 'bare',
  rounds: 3,
  // A process has one first time: it is weighed once.
  slices: 1,
  metrics: weightMetrics({ sluice: 1.25 }),
  prepare: async (server, { quick }) => openScale(server, quick ? 500 : 5000, 'gzip'),
  rowPeers: ['bare', 'sluice'],
  rows: [
    {
      title: '5,000 idle gzip event streams: memory of each',
      against: 'bare Express, uncompressed',
      better: 'less',
      ratio: ({ sluice, bare }) => sluice.rss / bare.rss,
      toReach: { 20: 1.2, 24: 1.25 },
    },
  ],
  peers: [
    { name: 'bare', title: 'Express, uncompressed', serve: () => withCount(serveBare()) },
    {
      name: 'compression',
      title: 'Express, compression, res.flush',
      serve: async () => withCount(await serveCompression()),
    },
    { name: 'sluice', title: 'sse and compress', serve: async () => withCount(await serveCompressedSluice()) },
  ],
};

export default scenario;
