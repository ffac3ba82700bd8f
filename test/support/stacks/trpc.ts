import http, { type RequestListener } from 'node:http';
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpSubscriptionLink } from '@trpc/client';
import { initTRPC } from '@trpc/server';
import { createExpressMiddleware } from '@trpc/server/adapters/express';
import { createHTTPHandler } from '@trpc/server/adapters/standalone';
import { EventSource } from 'eventsource';
import express, { type RequestHandler } from 'express';
import { settles } from '../until.ts';
import { type Gates, listenOn, type Stack, type StackRequest } from './stack.ts';

const json = { 'content-type': 'application/json' };
const lines = { 'trpc-accept': 'application/jsonl' };
const ticks = ['tick 0', 'tick 1', 'tick 2'];

const requests: readonly StackRequest[] = [
  { name: 'a query', path: '/trpc/rows' },
  { name: 'a batch', path: '/trpc/rows,rows?batch=1&input=%7B%7D' },
  { name: 'a mutation', method: 'POST', path: '/trpc/make', headers: json, body: '{"a":1}' },
  { name: 'an error', path: '/trpc/fails' },
  { name: 'what is not there', path: '/trpc/nothing' },
  { name: 'a batch that streams', path: '/trpc/rows,slow?batch=1&input=%7B%7D', headers: lines, parts: ['row 79'] },
];

function routerOf(gates: Gates) {
  const { procedure, router } = initTRPC.create();
  return router({
    rows: procedure.query(() => Array.from({ length: 80 }, (_row, id) => ({ id, name: `row ${id}` }))),
    make: procedure.mutation(() => ({ made: true })),
    fails: procedure.query((): string => {
      throw new Error('no rows');
    }),
    slow: procedure.query(async () => {
      await gates.pass('row 79');
      return 'slow';
    }),
    parts: procedure.query(async function* () {
      for (const tick of ticks) {
        yield `part ${tick}`;
        await gates.pass(`part ${tick}`);
      }
    }),
    ticks: procedure.subscription(async function* () {
      for (const tick of ticks) {
        yield tick;
        await gates.pass(tick);
      }
    }),
  });
}

type Router = ReturnType<typeof routerOf>;

const talks: NonNullable<Stack['talks']> = {
  async batches(port) {
    const client = createTRPCClient<Router>({ links: [httpBatchLink({ url: urlOf(port) })] });
    const failure = client.fails.query().catch((error: unknown) => String(error));
    return Promise.all([client.rows.query(), client.rows.query(), failure]);
  },
  async 'a batch that streams'(port, gates) {
    const client = createTRPCClient<Router>({ links: [httpBatchStreamLink({ url: urlOf(port) })] });
    const slow = client.slow.query();
    const rows = await settles(client.rows.query(), 5000);
    gates.open('row 79');
    return [rows, await settles(slow, 5000)];
  },
  async 'a query that yields'(port, gates) {
    const client = createTRPCClient<Router>({ links: [httpBatchStreamLink({ url: urlOf(port) })] });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const part of await client.parts.query()) {
        seen.push(part);
        gates.open(part);
      }
    })();
    await settles(reading, 5000);
    return seen;
  },
  async 'a subscription'(port, gates) {
    const client = createTRPCClient<Router>({ links: [httpSubscriptionLink({ url: urlOf(port), EventSource })] });
    const seen: string[] = [];
    const reading = new Promise<void>((resolve, reject) => {
      const subscription = client.ticks.subscribe(undefined, {
        onData(tick) {
          seen.push(tick);
          gates.open(tick);
        },
        onError: reject,
        onComplete: () => {
          subscription.unsubscribe();
          resolve();
        },
      });
    });
    await settles(reading, 5000);
    return seen;
  },
};

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}/trpc`;
}

/** tRPC on Express. */
export const trpcExpressStack: Stack = {
  name: 'tRPC on Express',
  requests,
  talks,
  start(compress, gates) {
    const app = express();
    app.use(compress as unknown as RequestHandler);
    app.use('/trpc', createExpressMiddleware({ router: routerOf(gates) }));
    return listenOn(http.createServer(app as unknown as RequestListener));
  },
};

/** tRPC's own server, with the middleware in the option that it has for that. */
export const trpcStack: Stack = {
  name: 'tRPC standalone',
  requests,
  talks,
  start(compress, gates) {
    const handler = createHTTPHandler({ router: routerOf(gates), middleware: compress as never, basePath: '/trpc/' });
    return listenOn(http.createServer(handler));
  },
};
