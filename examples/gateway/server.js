// @ts-check
import console from 'node:console';
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { createServer } from 'node:http';
import process from 'node:process';
import { lifecycle } from 'sluice';
import { createApp } from './app.js';
import { closeCompression, createCompression } from './compression.js';
import { createSampler } from './metrics.js';
import { startModels } from './models.js';

const port = process.env['PORT'] ?? '3000';
// Clients of this server can read the followed file. So only this machine reaches it, unless HOST says otherwise.
const host = process.env['HOST'] ?? '127.0.0.1';
const file = process.argv[2];

try {
  await run();
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}

async function run() {
  if (file !== undefined) await access(file, constants.R_OK);
  const sampler = createSampler();
  const compression = createCompression();
  // Short, since you wait for it. Behind a load balancer the defaults fit.
  const life = lifecycle({ signals: ['SIGINT', 'SIGTERM'], preDrain: '1s', spread: '1s', drainTimeout: '10s' });
  const models = await startModels();
  const { app, close } = createApp({ sampler, compression, life, models, file });
  const server = createServer(app);
  life.attach(server);
  try {
    server.listen({ port: Number(port), host });
    await once(server, 'listening');
    console.log(`http://localhost:${portOf(server)}`);
    if (!life.signal.aborted) await once(life.signal, 'abort');
    await life.drain();
  } finally {
    life.close();
    close();
    await models.close();
    closeCompression(compression);
    sampler.close();
  }
}

/** @param {import('node:http').Server} server */
function portOf(server) {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}

/** @param {unknown} error */
function explain(error) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is in use: stop the other program, or set PORT to another port`;
    case 'EACCES':
    case 'ENOENT':
      return error instanceof Error ? error.message : code;
    case 'ERR_SOCKET_BAD_PORT':
      return `PORT must be a number from 0 to 65535, not "${port}"`;
    default:
      return error;
  }
}
