// @ts-check
import { once } from 'node:events';
import express from 'express';
import { createCanary, proxy } from 'sluice';
import { tokens } from './tokens.js';

// Shares of the clients, at first. The dashboard changes them.
const weights = { stable: 90, next: 10 };

/**
 * Two versions of a model behind a proxy: each client stays with one of them. They are servers of their own, here on
 * this machine, as they would be on others.
 */
export async function startModels() {
  const [stable, next] = await Promise.all([startModel('stable'), startModel('next')]);
  const canary = createCanary({
    arms: {
      stable: { target: stable.origin, weight: weights.stable },
      next: { target: next.origin, weight: weights.next },
    },
  });
  // Without the `no-transform` of the models, so that this server compresses their events.
  const toModel = proxy({ route: canary, responseHeaders: { 'Cache-Control': 'no-cache' } });
  return {
    canary,
    proxy: toModel,
    async close() {
      await toModel.close();
      stable.close();
      next.close();
    },
  };
}

/** @param {string} version */
async function startModel(version) {
  const app = express();
  app.disable('x-powered-by');
  app.get('/tokens', (_req, res, next) => {
    res.setHeader('X-Model', version);
    next();
  });
  app.get('/tokens', tokens());
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
