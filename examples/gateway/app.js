// @ts-check
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express from 'express';
import { deadline, heartbeat } from 'sluice';
import { setCompression } from './compression.js';
import { docs } from './docs.js';
import { follow } from './follow.js';
import { metrics } from './metrics.js';
import { tokens } from './tokens.js';
import { Traffic } from './traffic.js';

/**
 * @param {object} parts
 * @param {import('./metrics.js').Sampler} parts.sampler
 * @param {import('sluice').Compression} parts.compression
 * @param {import('sluice').Lifecycle} parts.life
 * @param {string | undefined} parts.file - to be followed
 */
export function createApp({ sampler, compression, life, file }) {
  const app = express();
  const traffic = new Traffic();
  const beat = heartbeat();
  app.disable('x-powered-by');
  app.use(life);
  app.use(compression);
  app.use(beat);
  app.get('/livez', life.live);
  app.get('/readyz', life.ready);
  app.post('/compression', setCompression(compression));
  // Without a deadline: a file may be silent for as long as it likes.
  app.get('/follow', traffic.meter('follow'), follow(file));
  app.use(deadline({ default: '10s', idle: '30s' }));
  app.get(
    '/metrics',
    traffic.meter('metrics'),
    metrics({ sampler, compression, traffic, life, registry: beat.registry, file }),
  );
  app.get('/tokens', traffic.meter('tokens'), tokens());
  app.get('/docs/:page', docs());
  app.use('/uplot', express.static(dirname(createRequire(import.meta.url).resolve('uplot'))));
  app.use(express.static(join(import.meta.dirname, 'public')));
  return app;
}
