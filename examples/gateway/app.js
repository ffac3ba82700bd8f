// @ts-check
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express from 'express';
import { follow } from './follow.js';
import { metrics } from './metrics.js';
import { tokens } from './tokens.js';

/**
 * @param {object} parts
 * @param {import('./metrics.js').Sampler} parts.sampler
 * @param {import('./open-streams.js').OpenStreams} parts.openStreams
 * @param {string | undefined} parts.file - to be followed
 */
export function createApp({ sampler, openStreams, file }) {
  const app = express();
  app.disable('x-powered-by');
  app.get('/metrics', metrics(sampler, openStreams));
  app.get('/follow', follow(file, openStreams));
  app.get('/tokens', tokens(openStreams));
  app.use('/uplot', express.static(dirname(createRequire(import.meta.url).resolve('uplot'))));
  app.use(express.static(join(import.meta.dirname, 'public')));
  return app;
}
