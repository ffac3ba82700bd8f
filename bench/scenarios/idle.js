// @ts-check
import { serveBare, serveBetterSse, serveSluice } from '../support/event-servers.js';
import { openScale, weightMetrics, withCount } from '../support/weight.js';

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'idle',
  summary: '5,000 event streams that say nothing',
  baseline: 'bare',
  rounds: 3,
  // A process has one first time: it is weighed once.
  slices: 1,
  metrics: weightMetrics({ sluice: 1.15 }),
  prepare: async (server, { quick }) => openScale(server, quick ? 500 : 5000),
  peers: [
    { name: 'bare', title: 'Express, res kept in a Set', serve: () => withCount(serveBare()) },
    { name: 'better-sse', title: 'session kept in a Set', serve: async () => withCount(await serveBetterSse()) },
    { name: 'sluice', title: 'stream kept in a Set', serve: async () => withCount(await serveSluice()) },
  ],
};

export default scenario;
