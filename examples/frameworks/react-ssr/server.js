// @ts-check
import { EventEmitter, once } from 'node:events';
import express from 'express';
import { createElement as h, Suspense, use } from 'react';
import { renderToPipeableStream } from 'react-dom/server';
import { compress, deadline, heartbeat, lifecycle } from 'sluice';

const prices = new EventEmitter().setMaxListeners(0);

/** @param {{ price: Promise<string> }} props */
function Price({ price }) {
  return h('strong', null, `The price is ${use(price)}`);
}

/** @param {{ price: Promise<string> }} props */
function Page({ price }) {
  return h(
    'html',
    null,
    h('head', null, h('title', null, 'Prices')),
    h(
      'body',
      null,
      h('h1', null, 'Prices'),
      h(Suspense, { fallback: h('p', null, 'The price comes with the next trade.') }, h(Price, { price })),
    ),
  );
}

const app = express();
// Short, to try it out: behind a load balancer the defaults fit.
const life = lifecycle({ preDrain: 0, spread: '1s' });
app.use(life);
app.use(deadline({ default: '5s', idle: '60s' }));
app.use(heartbeat());
app.use(compress());
app.get('/', (_req, res) => {
  // The client that leaves ends its render, and what the render waits for.
  const left = new AbortController();
  const price = once(prices, 'trade', { signal: left.signal }).then(([value]) => String(value));
  price.catch(() => undefined);
  const { pipe, abort } = renderToPipeableStream(h(Page, { price }), {
    onShellReady() {
      res.type('html');
      pipe(res);
    },
    onShellError() {
      res.status(500).send('The page could not be rendered');
    },
    onError(error) {
      if (!left.signal.aborted) console.error(error);
    },
  });
  res.on('close', () => {
    left.abort();
    abort();
  });
});
app.post('/trades', express.text(), (req, res) => {
  prices.emit('trade', req.body);
  res.status(204).end();
});
app.get('/waiting', (_req, res) => void res.json(prices.listenerCount('trade')));
const server = app.listen(process.env['PORT'] ?? 3000, () => {
  const address = server.address();
  if (typeof address === 'object') console.log(`http://localhost:${address?.port}`);
});
life.attach(server);
