// @ts-check
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express from 'express';
import { deadline, heartbeat, monitor } from 'sluice';
import { setCompression } from './compression.js';
import { docs } from './docs.js';
import { follow } from './follow.js';
import { metrics } from './metrics.js';
import { Traffic } from './traffic.js';

const require = createRequire(import.meta.url);

/**
 * @param {object} parts
 * @param {import('./metrics.js').Sampler} parts.sampler
 * @param {import('sluice').Compression} parts.compression
 * @param {import('sluice').Lifecycle} parts.life
 * @param {Awaited<ReturnType<typeof import('./models.js').startModels>>} parts.models
 * @param {string | undefined} parts.file - to be followed
 */
export function createApp({ sampler, compression, life, models, file }) {
  const app = express();
  const traffic = new Traffic();
  const beat = heartbeat();
  const watch = monitor({
    // Only this machine reaches the server, unless HOST says otherwise. Ask for a password then.
    authorize: (req) => isLoopback(req.socket.remoteAddress),
    registry: [beat.registry, models.proxy.registry],
    compress: compression,
    lifecycle: life,
    proxies: { models: models.proxy },
    canaries: { model: models.canary },
  });
  app.disable('x-powered-by');
  app.use(watch);
  app.use(life);
  app.use(compression);
  app.use(beat);
  app.get('/livez', life.live);
  app.get('/readyz', life.ready);
  app.get('/prometheus', watch.metrics);
  app.use('/dashboard', watch.dashboard);
  app.post('/compression', setCompression(compression));
  // Without a deadline: a file may be silent for as long as it likes.
  app.get('/follow', traffic.meter('follow'), follow(file));
  app.use(deadline({ default: '10s', idle: '30s' }));
  app.get(
    '/metrics',
    traffic.meter('metrics'),
    metrics({ sampler, compression, traffic, life, registry: beat.registry, file }),
  );
  app.get('/tokens', traffic.meter('tokens'), models.proxy);
  app.get('/docs/:page', docs());
  // Modules of packages that the page imports: see the import map in index.html.
  for (const name of ['uplot', 'sluice/client', 'eventsource-parser'])
    app.use(`/modules/${name}`, express.static(dirname(require.resolve(name))));
  app.use(express.static(join(import.meta.dirname, 'public')));
  return { app, close: () => watch.close() };
}

/** @param {string | undefined} address */
function isLoopback(address = '') {
  return /^(::1|(::ffff:)?127\.)/.test(address);
}
