// @ts-check
// One instance of the service. All are alike: what outlives one of them is in Redis.
import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';
import express from 'express';
import { createChannel, redisBackplane, redisSwitch, sluice } from 'sluice';

const [name = ''] = process.argv.slice(2);
const { REDIS_URL: url = 'redis://localhost:6379' } = process.env;

const ticks = createChannel({ name: 'ticks', backplane: redisBackplane({ url }) });
const all = sluice({
  // The page takes 2.5 of these without a sign of life for a dead connection.
  heartbeat: { every: '1s' },
  compress: { switch: redisSwitch({ url, profiles: { normal: {}, cheap: { level: 1 } } }), live: true },
});

const app = express();
app.disable('x-powered-by');
app.use(all);
app.use((_req, res, next) => {
  // The page comes from another port, and wants to know who serves it.
  res.set({
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Headers': 'Last-Event-ID',
    'Access-Control-Expose-Headers': 'X-Instance',
    'X-Instance': name,
  });
  next();
});
app.get('/livez', all.lifecycle.live);
app.get('/ticks', ticks.subscribe());
app.options('/ticks', (_req, res) => void res.set('Access-Control-Max-Age', '600').sendStatus(204));

const server = createServer(app);
all.attach(server);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
process.send?.({ port: typeof address === 'object' && address ? address.port : 0 });
// The program that has started it is gone.
process.once('disconnect', () => process.exit());
