// @ts-check
import express from 'express';
import { loadMetrics, openLoad } from '../support/load.js';

const item = {
  id: 'order-000042',
  lines: Array.from({ length: 18 }, (_, line) => ({
    line,
    sku: `SKU-${1000 + line * 37}`,
    title: `An article, number ${line}`,
    quantity: 1 + (line % 4),
    price: 995 + line * 110,
  })),
};

/** @param {boolean} isMonitored */
async function serveStack(isMonitored) {
  const { compress, sluice } = await import('sluice');
  const app = express();
  // Without a governor: all answers have the same bytes.
  app.use(sluice({ lifecycle: { signals: false }, compress: compress(), monitor: isMonitored ? {} : false }));
  app.get('/item', (_req, res) => {
    res.json(item);
  });
  return { app };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'monitor',
  summary: 'answers of 2 kB JSON over 32 connections through all middlewares, gzip level 6',
  baseline: 'stack',
  rounds: 5,
  slices: 4,
  metrics: loadMetrics({ monitored: 0.98 }),
  prepare: (server, { quick }) => openLoad(server, { text: JSON.stringify(item), acceptEncoding: 'gzip', quick }),
  peers: [
    { name: 'stack', title: 'sluice() without a monitor', serve: () => serveStack(false) },
    { name: 'monitored', title: 'sluice()', serve: () => serveStack(true) },
  ],
};

export default scenario;
