// @ts-check
// One instance of the service. All are alike: what outlives one of them is in Redis.
import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';
import express from 'express';
import { createChannel, createChannels, mergeDeltas, redisBackplane, redisSwitch, resumable, sluice } from 'sluice';
import { write } from './model.js';

const [name = ''] = process.argv.slice(2);
const { REDIS_URL: url = 'redis://localhost:6379' } = process.env;

const backplane = redisBackplane({ url });
const ticks = createChannel({ name: 'ticks', backplane });
const rooms = createChannels({ name: 'answers', backplane, history: { count: 10_000, bytes: '1mb' } });
const answers = resumable(rooms, {
  key: (req) => req.params.id,
  async *run({ req, signal }) {
    yield { event: 'begun', data: { instance: name } };
    let characters = 0;
    for await (const text of write(req.body.question, Number(req.body.words), signal)) {
      characters += text.length;
      yield text;
    }
    // So that the page can tell whether it has all of it.
    yield { event: 'whole', data: { characters } };
  },
  coalesce: mergeDeltas({ ms: 40 }),
  // An instance that is killed is missed after one and a half times as long.
  lease: '5s',
});

const all = sluice({
  // The page takes 2.5 of these without a sign of life for a dead connection.
  heartbeat: { every: '1s' },
  compress: { switch: redisSwitch({ url, profiles: { normal: {}, cheap: { level: 1 } } }), live: true },
});

const app = express();
app.disable('x-powered-by');
app.use(all);
app.use((req, res, next) => {
  // The page comes from another port, and wants to know who serves it.
  res.set({
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Headers': 'Last-Event-ID',
    'Access-Control-Allow-Methods': 'DELETE',
    'Access-Control-Expose-Headers': 'X-Instance',
    'X-Instance': name,
  });
  if (req.method === 'OPTIONS') res.set('Access-Control-Max-Age', '600').sendStatus(204);
  else next();
});
app.get('/livez', all.lifecycle.live);
app.get('/ticks', ticks.subscribe());
app.post('/answers/:id', express.urlencoded({ extended: false }), checkQuestion, answers.start);
app.get('/answers/:id', answers.resume);
app.delete('/answers/:id', answers.cancel);

const server = createServer(app);
all.attach(server);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
process.send?.({ port: typeof address === 'object' && address ? address.port : 0 });
// The program that has started it is gone.
process.once('disconnect', () => process.exit());

/**
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {import('express').NextFunction} next
 */
function checkQuestion({ body }, res, next) {
  const { question, words } = body ?? {};
  const isQuestion = typeof question === 'string' && question.length <= 500;
  if (isQuestion && /^\d{1,3}$/.test(words)) next();
  else res.status(400).json({ error: 'An answer needs a question of up to 500 characters, and up to 999 words' });
}
