// @ts-check
import express from 'express';
import { Child } from '../support/child.js';

const item = {
  id: 'order-000042',
  lines: Array.from({ length: 18 }, (_, line) => ({ line, sku: `SKU-${1000 + line * 37}`, title: `An article, number ${line}`, quantity: 1 + (line % 4), price: 995 + line * 110, currency: 'EUR' })),
};

/**
 * An app with one small answer.
 * @param {(app: import('express').Express) => void} [setUp] - before the route
 */
function serveItem(setUp) {
  const app = express();
  setUp?.(app);
  app.get('/item', (_req, res) => {
    res.json(item);
  });
  return { app };
}

/**
 * Every response gets the library's seam with one layer, which passes everything on: what a middleware of ours costs where it has nothing to do.
 * @param {boolean} transforms - whether the layer says that it may change bytes, as an encoder does
 */
async function serveSeam(transforms) {
  const { openSeam } = await import('../../dist/internal/response.js');
  const { Layer, rank } = await import('../../dist/internal/layer.js');
  class PassiveLayer extends Layer {
    /** @override */
    rank = rank.compress;
    /** @override */
    transforms = transforms;
    /** @override */
    head() {
      return false;
    }
  }
  return serveItem((app) => {
    app.use((_req, res, next) => {
      openSeam(res).add(new PassiveLayer());
      next();
    });
  });
}

/** @type {import('../support/rounds.js').Scenario['prepare']} */
async function prepare(server, { quick }) {
  const clients = new Child('clients', 'request-clients.js');
  const port = await server.call('port');
  const load = (/** @type {number} */ duration) => clients.call('load', port, { connections: 32, duration });
  try {
    await load(quick ? 200 : 1000);
  } catch (error) {
    await clients.stop();
    throw error;
  }
  return {
    async measure() {
      const [cpuBefore, requestsBefore] = await Promise.all([server.call('cpu'), server.call('requests')]);
      const { responses, bytes, seconds } = await load(quick ? 200 : 1000);
      const [cpu, requests] = await Promise.all([server.call('cpu'), server.call('requests')]);
      if (requests - requestsBefore !== responses) throw new Error(`${requests - requestsBefore} requests had ${responses} answers`);
      return { rate: responses / seconds, cpu: (cpu - cpuBefore) / responses, bytes };
    },
    close: () => clients.stop(),
  };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'identity',
  summary: 'answers of 2 kB JSON over 32 connections, nothing for the library to do',
  baseline: 'bare',
  rounds: 5,
  slices: 4,
  metrics: [
    { key: 'rate', title: 'requests per second', better: 'more', digits: 0, toReach: { mounted: 0.97, seam: 0.97 } },
    { key: 'cpu', title: 'CPU of the server per request, µs', better: 'less', digits: 1 },
    { key: 'bytes', title: 'bytes of an answer', better: 'less', digits: 0 },
  ],
  prepare,
  peers: [
    { name: 'bare', title: 'Express', serve: () => serveItem() },
    { name: 'empty', title: 'Express and a middleware that does nothing', serve: () => serveItem((app) => void app.use((_req, _res, next) => next())) },
    {
      name: 'mounted',
      title: 'Express and an sse route elsewhere',
      async serve() {
        const { sse } = await import('sluice');
        return serveItem((app) => void app.get('/events', sse(() => {})));
      },
    },
    { name: 'seam', title: 'the seam and a passive layer on every response', serve: () => serveSeam(false) },
    { name: 'seam-encoder', title: 'the seam and a layer that could transform but does not', serve: () => serveSeam(true) },
  ],
};

export default scenario;
