// @ts-check
import express from 'express';

/** An answer of 2 kB. */
export const item = {
  id: 'order-000042',
  lines: Array.from({ length: 18 }, (_, line) => ({
    line,
    sku: `SKU-${1000 + line * 37}`,
    title: `An article, number ${line}`,
    quantity: 1 + (line % 4),
    price: 995 + line * 110,
  })),
};

/**
 * An app with that answer.
 * @param {...import('express').RequestHandler} middlewares - before the route
 */
export function serveItem(...middlewares) {
  const app = express();
  for (const middleware of middlewares) app.use(middleware);
  app.get('/item', (_req, res) => {
    res.json(item);
  });
  return { app };
}
