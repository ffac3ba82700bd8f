import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type http from 'node:http';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  contextOf,
  currentContext,
  deadline,
  DeadlineExceededError,
  type DeadlineExpiredMessage,
  type DeadlineOptions,
  IdleTimeoutError,
  type RequestContext,
  sse,
} from '../../src/index.ts';
import { bare, carriers, h2c, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(carriers)('deadline within deadline on $name', (carrier) => {
  it('can only shorten', async () => {
    const remaining: number[] = [];
    const keep: Middleware = (req, _res, next) => {
      remaining.push(contextOf(req).remaining());
      next();
    };
    const running = await serve(
      carrier,
      deadline({ default: 60_000 }),
      keep,
      deadline({ default: 10_000 }),
      keep,
      deadline({ default: 900_000, max: '1h' }),
      keep,
      deadline(),
      keep,
      (_req, res) => res.end(),
    );
    await settles((await settles(running.visit())).over);
    const [first, second, third, fourth] = remaining as [number, number, number, number];
    expect(first).toBeGreaterThan(10_000);
    for (const each of [second, third, fourth]) expect(each).toBeLessThanOrEqual(10_000);
  });

  it.each<[string, DeadlineOptions, DeadlineOptions, number]>([
    ['outer', { default: 50, status: 503 }, { default: '1h', status: 504 }, 504],
    ['inner', { default: '1h', status: 503 }, { default: 50, status: 504 }, 504],
  ])('answers once when that of the %s passes, as the inner one says', async (_name, outer, inner, status) => {
    const [outside, inside] = [deadline(outer), deadline(inner)];
    const running = await serve(carrier, outside, inside, (req, res) => {
      contextOf(req).signal.addEventListener('abort', () =>
        setImmediate(() => void (res as http.ServerResponse).write('late')),
      );
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading.status).toBe(status);
    await until(() => inside.lateCalls > 0);
    expect([outside.lateCalls, inside.lateCalls]).toEqual([0, 1]);
  });

  it('does not abort the outer context when the inner one expires, and ends both with the response', async () => {
    const contexts: RequestContext[] = [];
    const aborted: string[] = [];
    const over = deferred();
    const watch =
      (name: string): Middleware =>
      (req, _res, next) => {
        const context = contextOf(req);
        contexts.push(context);
        context.signal.addEventListener('abort', () => aborted.push(name));
        next();
      };
    const running = await serve(
      carrier,
      deadline({ default: 1000 }),
      watch('outer'),
      deadline({ default: 50 }),
      watch('inner'),
      (_req, res) => {
        (res as EventEmitter).on('close', () => setImmediate(over.resolve));
      },
    );
    expect((await settles(running.visit())).status).toBe(504);
    await settles(over.promise);
    expect(aborted).toEqual(['inner']);
    await until(() => contexts[0]!.remaining() === 0);
    await turns();
    expect(aborted).toEqual(['inner']);
  });

  it('aborts neither after an answer in time', async () => {
    const contexts: RequestContext[] = [];
    const aborted: string[] = [];
    const watch =
      (name: string): Middleware =>
      (req, _res, next) => {
        contexts.push(contextOf(req));
        contextOf(req).signal.addEventListener('abort', () => aborted.push(name));
        next();
      };
    const running = await serve(
      carrier,
      deadline({ default: 900 }),
      watch('outer'),
      deadline({ default: 800 }),
      watch('inner'),
      deadline({ default: '1h' }),
      watch('innermost'),
      (_req, res) => res.end('in time'),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    await pause(1000);
    await turns();
    expect(contexts.map((context) => context.remaining())).toEqual([0, 0, 0]);
    expect(aborted).toEqual([]);
  });
});

describe('idle, within or around', () => {
  it.each<[string, DeadlineOptions, DeadlineOptions]>([
    ['the max of an inner one holds when the outer one trades its default', { default: 80, idle: '1h' }, { max: 1000 }],
    ['the max of an outer one holds when the inner one trades its default', { max: 1000 }, { default: 80, idle: '1h' }],
    ['a default without idle holds beside one with it', { default: 1000 }, { default: 80, idle: '1h' }],
  ])('%s', async (_name, outer, inner) => {
    const reasons: unknown[] = [];
    const closed = deferred<string>();
    let count = 0;
    const running = await serve(
      bare,
      deadline(outer),
      deadline(inner),
      sse(async (stream, req) => {
        stream.onClose(closed.resolve);
        const { signal } = contextOf(req);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        for (; !stream.signal.aborted; count++) {
          await stream.send('x');
          await pause(15);
        }
      }),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('aborted');
    expect(await settles(closed.promise)).toBe('deadline');
    expect(reasons).toEqual([expect.any(DeadlineExceededError)]);
    // It has outlived the `default` that was traded.
    expect(count).toBeGreaterThan(5);
  });

  it.each([bare, h2c])('the shorter of two idle deadlines closes over $name', async (carrier) => {
    const closed = deferred<unknown>();
    const running = await serve(
      carrier,
      deadline({ idle: '1h' }),
      deadline({ idle: 100 }),
      sse((stream) => {
        stream.onClose(() => closed.resolve(stream.signal.reason));
      }),
    );
    await settles(running.visit());
    expect(await settles(closed.promise)).toBeInstanceOf(IdleTimeoutError);
  });
});

describe('requests at the same time under two deadlines', () => {
  it('are each told in a context of their own', async () => {
    const seen: boolean[] = [];
    const running = await serve(
      bare,
      deadline({ default: '1h' }),
      deadline({ default: 80, onExpired: (_error, req) => void seen.push(currentContext() === contextOf(req)) }),
      (req) => {
        const context = contextOf(req);
        context.signal.addEventListener('abort', () => void seen.push(currentContext() === context));
      },
    );
    await Promise.all(['/1', '/2', '/3'].map((path) => settles(running.visit({ path }))));
    expect(seen).toEqual([true, true, true, true, true, true]);
  });
});

describe('a deadline in another', () => {
  const stream = sse(async (events) => {
    await events.send('a part');
    await new Promise((resolve) => events.signal.addEventListener('abort', resolve));
  });

  it.each([
    ['before the head', () => undefined, 'answer'],
    ['in the middle of a body', (_req, res) => void (res as http.ServerResponse).write('a part'), 'cut'],
    ['in the middle of a stream', stream, 'stream'],
  ] satisfies [string, Middleware, string][])('is told once when both pass %s', async (_when, handler, outcome) => {
    const outcomes: string[] = [];
    const onMessage = (message: unknown): void => void outcomes.push((message as DeadlineExpiredMessage).outcome);
    subscribe('sluice:deadline:expired', onMessage);
    onTestFinished(() => void unsubscribe('sluice:deadline:expired', onMessage));
    const running = await serve(bare, deadline({ default: 40 }), deadline({ default: 40 }), handler);
    await settles((await settles(running.visit())).over);
    await turns();
    expect(outcomes).toEqual([outcome]);
  });
});

describe('routers with deadlines of their own', () => {
  it('keep to theirs', async () => {
    const app = express();
    const handler: express.RequestHandler = (req, res) =>
      void res.send(String(Math.ceil(contextOf(req).remaining() / 1000)));
    app.use(deadline({ default: '50s' }) as unknown as express.RequestHandler);
    app.get('/slow', deadline({ default: '90s' }) as unknown as express.RequestHandler, handler);
    app.get('/quick', deadline({ default: '5s' }) as unknown as express.RequestHandler, handler);
    const nested = express.Router();
    nested.use(deadline({ default: '20s' }) as unknown as express.RequestHandler);
    nested.get('/', handler);
    app.use('/nested', nested);
    app.use(handler);
    const running = await serve(bare, (req, res) => app(req as http.IncomingMessage, res as http.ServerResponse));
    const ask = async (path: string): Promise<string> => {
      const reading = await settles(running.visit({ path }));
      await settles(reading.over);
      return reading.text;
    };
    expect([await ask('/slow'), await ask('/quick'), await ask('/nested'), await ask('/other')]).toEqual([
      '50',
      '5',
      '20',
      '50',
    ]);
  });

  it('share no configuration between two applications in one process', async () => {
    const strict = await serve(bare, deadline({ default: 50, status: 503 }), () => undefined);
    const lenient = await serve(bare, deadline({ default: '1h' }), async (_req, res) => {
      await pause(120);
      res.end('in time');
    });
    const [first, second] = await Promise.all([settles(strict.visit()), settles(lenient.visit())]);
    await Promise.all([first.over, second.over]);
    expect([first.status, second.status, second.text]).toEqual([503, 200, 'in time']);
  });
});
