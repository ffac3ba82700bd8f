// @ts-check
import { EventEmitter, on } from 'node:events';
import { initTRPC, tracked } from '@trpc/server';
import { createExpressMiddleware } from '@trpc/server/adapters/express';
import express from 'express';
import { compress, heartbeat, lifecycle } from 'sluice';

const news = new EventEmitter().setMaxListeners(0);
let lastId = 0;

const { procedure, router } = initTRPC.create();

/** @param {unknown} value */
function parseText(value) {
  if (typeof value !== 'string') throw new TypeError('Expected a string');
  return value;
}

const appRouter = router({
  publish: procedure.input(parseText).mutation(({ input }) => {
    news.emit('item', { id: String(++lastId), text: input });
    return { listeners: news.listenerCount('item') };
  }),
  // `signal` aborts when the client leaves. `tracked` gives each event an id, which the client resumes after.
  news: procedure.subscription(async function* ({ signal }) {
    yield tracked(String(lastId), 'hello');
    for await (const [{ id, text }] of on(news, 'item', { signal })) yield tracked(id, text);
  }),
});

/** @typedef {typeof appRouter} AppRouter */

const app = express();
// Short, to try it out: behind a load balancer the defaults fit.
const life = lifecycle({ preDrain: 0, spread: '1s' });
app.use(life);
app.use(heartbeat());
app.use(compress());
app.use('/trpc', createExpressMiddleware({ router: appRouter }));
const server = app.listen(process.env['PORT'] ?? 3000, () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://localhost:${address?.port}`);
});
life.attach(server);
