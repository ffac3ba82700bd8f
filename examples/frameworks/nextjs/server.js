import express from 'express';
import next from 'next';
import { compress, heartbeat, lifecycle, sse } from 'sluice';

const app = next({ dev: process.env['NODE_ENV'] !== 'production' });
await app.prepare();
const handle = app.getRequestHandler();

const server = express();
const life = lifecycle();
server.use(life);
server.use(heartbeat());
// In place of Next's own, which next.config.js turns off: that one holds events back, and leaves no room for heartbeats.
server.use(compress());
server.get(
  '/events',
  sse(async function* () {
    for (let count = 1; ; count += 1) {
      yield { id: String(count), data: { count } };
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }),
);
server.use((req, res) => handle(req, res));
const listening = server.listen(process.env['PORT'] ?? 3000, () => {
  console.log(`http://localhost:${listening.address().port}`);
});
life.attach(listening);
life.on('state', ({ state }) => {
  if (state === 'dead') void app.close();
});
