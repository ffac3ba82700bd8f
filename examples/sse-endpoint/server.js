// @ts-check
import { EventEmitter, once } from 'node:events';
import process from 'node:process';
import { setInterval } from 'node:timers';
import express from 'express';
import { heartbeat, sse } from 'sluice';

const history = /** @type {import('sluice').EventInput[]} */ ([]);
const news = new EventEmitter().setMaxListeners(0);
// Ids start at the time, so that they go on rising after a restart and clients resume across it.
let lastId = Date.now();
setInterval(() => {
  history.push({ id: String(++lastId), event: 'memory', data: process.memoryUsage() });
  if (history.length > 1000) history.shift();
  news.emit('event');
}, 1000);

const app = express();
app.use(heartbeat());
app.get(
  '/events',
  sse(async function* (stream) {
    let seen = Number(stream.lastEventId) || 0;
    for (;;) {
      const event = history.find(({ id }) => Number(id) > seen);
      if (!event) await once(news, 'event', { signal: stream.signal });
      else yield event;
      seen = Number(event?.id ?? seen);
    }
  }),
);
app.listen(process.env['PORT'] ?? 3000);
