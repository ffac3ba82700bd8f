// @ts-check
import { serveBare, serveCompressedSluice, serveCompression } from '../support/event-servers.js';
import { openScale, weightMetrics, withCount } from '../support/weight.js';

// The young generation doubles when much of what is new has survived: V8 then keeps up to 100 MB for it, and some 20 MB
// of its compiler, which the first 5,000 clients are charged with. Bounded, what is left is the clients' own.
const bounded = ['--max-semi-space-size=8', '--no-maglev'];

async function serveOurs() {
  return withCount(await serveCompressedSluice());
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'idle-gzip',
  summary: '5,000 event streams that say nothing after their first comment, gzip',
  baseline: 'bare',
  rounds: 3,
  // A process has one first time: it is weighed once.
  slices: 1,
  metrics: weightMetrics({ sluice: 1.25, 'sluice-bounded': 1.25 }),
  prepare: async (server, { quick }) => openScale(server, quick ? 500 : 5000, 'gzip'),
  rowPeers: ['bare', 'sluice', 'bare-bounded', 'sluice-bounded'],
  rows: [
    {
      title: '5,000 idle gzip event streams: memory of each',
      against: 'bare Express, uncompressed',
      better: 'less',
      ratio: ({ sluice, bare }) => sluice.rss / bare.rss,
      toReach: { 20: 1.2, 24: 1.25 },
    },
    {
      title: 'the same, where V8 keeps no more than 24 MB in reserve',
      against: 'bare Express, the same',
      better: 'less',
      ratio: (peers) => peers['sluice-bounded'].rss / peers['bare-bounded'].rss,
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
    { name: 'sluice', title: 'sse and compress', serve: serveOurs },
    {
      name: 'bare-bounded',
      title: `Express, uncompressed, ${bounded.join(' ')}`,
      flags: bounded,
      serve: () => withCount(serveBare()),
    },
    { name: 'sluice-bounded', title: `sse and compress, ${bounded.join(' ')}`, flags: bounded, serve: serveOurs },
  ],
};

export default scenario;
