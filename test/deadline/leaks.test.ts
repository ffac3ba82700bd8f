import { getEventListeners, setMaxListeners } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Agent, type Dispatcher } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { contextFetch, contextOf, deadline, deadlineInterceptor, propagate } from '../../src/deadline/index.ts';
import { Context, requireContext } from '../../src/internal/context/context.ts';
import { runIn } from '../../src/internal/context/request-context.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';

/** Bytes, of a request. */
const allowed = 100;

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc') as () => void;

/** What is reachable, once what is to be finalized is. */
async function heapUsed(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().heapUsed;
}

async function inParallel(count: number, task: (index: number) => Promise<void>, concurrency = 50): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) await task(next++);
    }),
  );
}

/** What each of many runs of a task leaves behind: bytes. */
async function retainedBy(
  requests: number,
  task: () => Promise<void>,
  settled = (): Promise<void> => Promise.resolve(),
): Promise<number> {
  // What is made once, and pools that fill.
  await inParallel(requests / 4, task);
  await settled();
  const before = await heapUsed();
  await inParallel(requests, task);
  await settled();
  return ((await heapUsed()) - before) / requests;
}

/** Objects of a class that are still reachable. */
function alive(constructor: abstract new (...args: never[]) => unknown): number {
  const { queryObjects } = v8 as unknown as {
    queryObjects(constructor: unknown, options: { format: 'count' }): number;
  };
  return queryObjects(constructor, { format: 'count' });
}

/** Lives as long as the process, as one that ends with it would. */
const root = new Context(undefined, Infinity);
const signal = root.signal;
const foreign = new AbortController();
setMaxListeners(0, foreign.signal, signal);

const listeners = (): number[] => [signal, foreign.signal].map((each) => getEventListeners(each, 'abort').length);

const answer: Middleware = (_req, res) => void (res as ServerResponse).end('answer');

/** What a handler does with a context: parts of the work, each with a signal that has a listener. */
async function work(context: Context, call: (context: Context) => Promise<unknown>): Promise<void> {
  const parts = [context.child(), context.child({ timeout: '1h' })];
  for (const part of parts) part.signal.addEventListener('abort', () => parts);
  const done = context.onAbort(() => parts);
  propagate(parts[1]!, {});
  await call(parts[0]!);
  done();
  for (const part of parts) part.dispose();
}

async function request(call: (context: Context) => Promise<unknown>): Promise<void> {
  const context = root.child({ timeout: '10m' });
  await work(context, call);
  context.dispose();
}

// A socket in a pool holds the context in which it was opened.
const held = 300;

async function expectFlat(requests: number, task: () => Promise<void>, settled?: () => Promise<void>): Promise<void> {
  const before = listeners();
  expect(await retainedBy(requests, task, settled)).toBeLessThan(allowed);
  expect(listeners()).toEqual(before);
  expect(alive(Context)).toBeLessThan(held);
}

describe('requests under one root that lives on', () => {
  it('leave nothing behind of the calls that they make, twenty thousand of them', { timeout: 240_000 }, async () => {
    const { origin } = await serve(bare, answer);
    const agent = new Agent({ connections: 50 });
    onTestFinished(() => agent.destroy());
    const dispatcher = agent.compose(deadlineInterceptor());
    const options: Dispatcher.RequestOptions = { origin, path: '/', method: 'GET' };
    const fetchIn = contextFetch();
    const calls = [
      async (context: Context) => (await fetchIn(origin, { context, signal: foreign.signal })).text(),
      (context: Context) => runIn(context, async () => (await dispatcher.request(options)).body.text()),
    ];
    let made = 0;
    await expectFlat(20_000, () => request(calls[made++ % 2]!));
  });

  it('leave nothing behind of the calls that fail, or that are not read', { timeout: 240_000 }, async () => {
    const failure = new Error('of the wrapped one');
    const failing = contextFetch((_input: string, _init?: RequestInit) => Promise.reject<Response>(failure));
    const answering = contextFetch(async (_input: string, _init?: RequestInit) => new Response('answer'));
    const calls = [
      (context: Context) => failing('', { context, signal: foreign.signal }).catch(() => undefined),
      (context: Context) => answering('', { context, signal: foreign.signal, timeout: 0 }).catch(() => undefined),
      async (context: Context) => (await answering('', { context, signal: foreign.signal })).body!.cancel(),
      (context: Context) => answering('', { context }),
    ];
    let made = 0;
    await expectFlat(8000, () => request(calls[made++ % 4]!));
  });

  it(
    'leave nothing behind of parts that are never ended, when their deadline has passed',
    { timeout: 240_000 },
    async () => {
      const parts = async (): Promise<void> => {
        const context = root.child({ timeout: 100 });
        context.child().signal.addEventListener('abort', () => context);
        context.child({ timeout: '1h' }).onAbort(() => context);
        context.dispose();
        await new Promise((resolve) => setImmediate(resolve));
      };
      await expectFlat(8000, parts, () => new Promise((resolve) => setTimeout(resolve, 150)));
    },
  );
});

it('requests to a server leave nothing behind', { timeout: 240_000 }, async () => {
  const call = contextFetch(async (_input: string, _init?: RequestInit) => new Response('answer'));
  const app = await serve(bare, deadline({ default: '10m' }), (async (req: IncomingMessage, res: ServerResponse) => {
    await work(requireContext('context', contextOf(req)), async (context) =>
      (await call('', { context, signal: foreign.signal })).text(),
    );
    res.end('answer');
  }) as Middleware);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });
  onTestFinished(() => agent.destroy());
  await expectFlat(
    10_000,
    () =>
      new Promise((resolve, reject) => {
        http
          .get(
            app.origin,
            { agent, headers: { 'grpc-timeout': '5M' } },
            (res) => void res.resume().on('close', resolve),
          )
          .on('error', reject);
      }),
  );
});
