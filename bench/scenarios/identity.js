// @ts-check
import express from 'express';
import { item as listed } from '../support/item.js';
import { loadMetrics, openLoad } from '../support/load.js';

const item = { ...listed, lines: listed.lines.map((line) => ({ ...line, currency: 'EUR' })) };

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
 * Every response gets the library's seam with one layer, which passes everything on: what a middleware of ours costs
 * where it has nothing to do.
 * @param {import('../../dist/internal/seam/layer.js').LayerKind} kind - what the layer says that it may do
 */
async function serveSeam(kind) {
  const { openSeam } = await import('../../dist/internal/seam/response.js');
  const { keep, Layer, rank } = await import('../../dist/internal/seam/layer.js');
  class PassiveLayer extends Layer {
    /** @override */
    rank = rank.compress;
    /** @override */
    kind = kind;
    /** @override */
    head() {
      return keep;
    }
  }
  return serveItem((app) => {
    app.use((_req, res, next) => {
      openSeam(res).add(new PassiveLayer());
      next();
    });
  });
}

/** @param {import('sluice').CompressOptions} [options] */
async function serveCompress(options) {
  const { compress } = await import('sluice');
  return serveItem((app) => void app.use(compress(options)));
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'identity',
  summary: 'answers of 2 kB JSON over 32 connections, nothing for the library to do',
  baseline: 'bare',
  rounds: 5,
  slices: 4,
  metrics: [
    ...loadMetrics({ mounted: 0.97, seam: 0.97, 'compress-small': 0.97, 'compress-unasked': 0.97 }),
    { key: 'bytes', title: 'bytes of an answer', better: 'less', digits: 0 },
  ],
  prepare: (server, { quick, peer: { acceptEncoding = 'gzip, deflate, br' } }) =>
    openLoad(server, { text: JSON.stringify(item), acceptEncoding, quick }),
  peers: [
    { name: 'bare', title: 'Express', serve: () => serveItem() },
    {
      name: 'empty',
      title: 'Express and a middleware that does nothing',
      serve: () => serveItem((app) => void app.use((_req, _res, next) => next())),
    },
    {
      name: 'mounted',
      title: 'Express and an sse route elsewhere',
      async serve() {
        const { sse } = await import('sluice');
        return serveItem(
          (app) =>
            void app.get(
              '/events',
              sse(() => {}),
            ),
        );
      },
    },
    { name: 'seam', title: 'the seam and a passive layer on every response', serve: () => serveSeam('observer') },
    {
      name: 'seam-encoder',
      title: 'the seam and a layer that could transform but does not',
      serve: () => serveSeam('encoder'),
    },
    {
      name: 'compress-small',
      title: 'compress, the body below its threshold',
      serve: () => serveCompress({ threshold: '4kb' }),
    },
    {
      name: 'compress-unasked',
      title: 'compress, the request without Accept-Encoding',
      acceptEncoding: null,
      serve: () => serveCompress(),
    },
  ],
};

export default scenario;
