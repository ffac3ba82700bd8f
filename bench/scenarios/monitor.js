// @ts-check
import { item, serveItem } from '../support/item.js';
import { loadMetrics, openLoad } from '../support/load.js';

/** @param {boolean} isMonitored */
async function makeStack(isMonitored) {
  const { compress, sluice } = await import('sluice');
  // Without a governor: all answers have the same bytes.
  return sluice({ lifecycle: { signals: false }, compress: compress(), monitor: isMonitored ? {} : false });
}

/** @type {import('express').RequestHandler} */
const empty = (_req, _res, next) => next();

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'monitor',
  summary: 'answers of 2 kB JSON over 32 connections through all middlewares, gzip level 6',
  baseline: 'stack',
  rounds: 5,
  slices: 4,
  metrics: loadMetrics({ monitored: 0.98 }, { monitored: 1.02 }),
  prepare: (server, { quick }) => openLoad(server, { text: JSON.stringify(item), acceptEncoding: 'gzip', quick }),
  rowPeers: ['stack', 'empty', 'monitored'],
  rows: [
    {
      title: '`monitor` in the full stack: requests/s',
      against: 'the same without it',
      better: 'more',
      ratio: ({ monitored, stack }) => monitored.rate / stack.rate,
      limit: { title: 'one empty middleware more', of: ({ empty, stack }) => empty.rate / stack.rate },
      toReach: 0.98,
    },
    {
      title: 'the same: CPU',
      against: 'the same without it',
      better: 'less',
      ratio: ({ monitored, stack }) => monitored.cpu / stack.cpu,
      limit: { title: 'one empty middleware more', of: ({ empty, stack }) => empty.cpu / stack.cpu },
      toReach: 1.02,
    },
  ],
  peers: [
    { name: 'stack', title: 'sluice() without a monitor', serve: async () => serveItem(await makeStack(false)) },
    {
      name: 'empty',
      title: 'the same behind a middleware that does nothing',
      serve: async () => serveItem(empty, await makeStack(false)),
    },
    { name: 'monitored', title: 'sluice()', serve: async () => serveItem(await makeStack(true)) },
  ],
};

export default scenario;
