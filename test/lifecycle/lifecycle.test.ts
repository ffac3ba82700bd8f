import { hasSubscribers, subscribe, unsubscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openEventStream } from '../../src/index.ts';
import type { HttpResponse } from '../../src/internal/http/message.ts';
import { contextFor, contextIn } from '../../src/internal/context/request-context.ts';
import { contextOf, currentContext, deadline } from '../../src/deadline/index.ts';
import { type DrainReport, lifecycle, type LifecycleChange } from '../../src/lifecycle/index.ts';
import { bare, carriers, http1Carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { connectRaw, getRequest } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';
import { makeCounter, makeLife, probe, routes, serveAttached } from './support.ts';

function published<T>(name: string): T[] {
  const messages: T[] = [];
  const note = (message: unknown): void => void messages.push(message as T);
  subscribe(name, note);
  onTestFinished(() => void unsubscribe(name, note));
  return messages;
}

describe('drain()', () => {
  it('is one drain for all callers', async () => {
    const life = makeLife();
    const reports = [life.drain(), life.drain(), life.drain()];
    expect(new Set(reports).size).toBe(1);
    const report = await settles(reports[0]!);
    expect(await life.drain()).toBe(report);
    expect(life.state).toBe('dead');
  });

  it('may be called by who hears of it', async () => {
    const life = makeLife();
    const inside: unknown[] = [];
    life.signal.addEventListener('abort', () => inside.push(life.drain()));
    life.on('state', () => inside.push(life.drain()));
    const outside = life.drain();
    await settles(outside);
    expect(inside).toEqual([outside, outside, outside]);
    expect(inside.every((each) => each === outside)).toBe(true);
  });

  it('reports nothing where there was nothing', async () => {
    const report = await settles(makeLife().drain());
    expect(report).toEqual({
      finished: { requests: 0, streams: 0, webSockets: 0, holds: 0 },
      told: { streams: 0, webSockets: 0 },
      aborted: { requests: 0, streams: 0 },
      refused: { requests: 0, streams: 0 },
      cut: { requests: 0, streams: 0, webSockets: 0, sockets: 0, holds: 0 },
      untold: {},
      duration: report.duration,
      forced: false,
      reason: 'complete',
    });
    expect(report.duration).toBeGreaterThanOrEqual(0);
    expect([report, report.cut].map((each) => Object.isFrozen(each))).toEqual([true, true]);
  });

  it('is published, with the states', async () => {
    const [states, drains] = [
      published<LifecycleChange>('sluice:lifecycle:state'),
      published<DrainReport>('sluice:lifecycle:drain'),
    ];
    const report = await settles(makeLife().drain());
    expect(states).toEqual([
      { state: 'draining', previous: 'active' },
      { state: 'dead', previous: 'draining' },
    ]);
    expect(drains).toEqual([report]);
  });
});

describe("on('state')", () => {
  it('tells of each step, and returns its undo', async () => {
    const life = makeLife();
    const [told, undone]: [LifecycleChange[], LifecycleChange[]] = [[], []];
    life.on('state', (change) => {
      expect(change.state).toBe(life.state);
      told.push(change);
    });
    life.on('state', (change) => undone.push(change))();
    await settles(life.drain());
    expect(told.map(({ state }) => state)).toEqual(['draining', 'dead']);
    expect(undone).toEqual([]);
  });

  it('publishes what a listener throws, and goes on', async () => {
    const errors = published<{ error: unknown }>('sluice:lifecycle:error');
    const life = makeLife();
    const told: string[] = [];
    const error = new Error('mine');
    life.on('state', () => {
      throw error;
    });
    life.on('state', ({ state }) => told.push(state));
    await settles(life.drain());
    expect([told, errors]).toEqual([
      ['draining', 'dead'],
      [{ error }, { error }],
    ]);
  });
});

describe('hold()', () => {
  it('keeps the drain from its end until it is released', async () => {
    const life = makeLife();
    const [release, other] = [life.hold(), life.hold()];
    const drained = life.drain();
    release();
    release();
    await turns(10);
    expect(life.state).toBe('draining');
    other();
    expect(await settles(drained)).toMatchObject({ finished: { holds: 2 }, cut: { holds: 0 } });
  });

  it('counts as cut when it is not released in time', async () => {
    const life = makeLife({ drainTimeout: 50 });
    const release = life.hold();
    expect(await settles(life.drain())).toMatchObject({ cut: { holds: 1 }, finished: { holds: 0 }, reason: 'timeout' });
    release();
  });

  it('counts nothing before a drain', async () => {
    const life = makeLife();
    life.hold()();
    expect(await settles(life.drain())).toMatchObject({ finished: { holds: 0 } });
  });
});

describe('a response that somebody answers already', () => {
  it('is not refused', async () => {
    const life = makeLife();
    await life.drain();
    const served = await serve(
      bare,
      (req, res, next) => {
        const stream = openEventStream(req, res);
        void stream.send('mine').then(() => stream.end());
        next();
      },
      life as Middleware,
      () => undefined,
    );
    const reading = await served.visit({ headers: { accept: 'text/event-stream' } });
    expect([await reading.over, reading.text]).toEqual(['end', ':ok\ndata: mine\n\n']);
  });
});

describe('exempt', () => {
  it('that throws means no, and is published', async () => {
    const errors = published<{ error: unknown }>('sluice:lifecycle:error');
    const error = new Error('mine');
    const life = makeLife({
      exempt: () => {
        throw error;
      },
    });
    const served = await serve(bare, life as Middleware);
    await life.drain();
    expect((await served.visit()).status).toBe(503);
    expect(errors).toEqual([{ error }]);
  });
});

describe('the context of a request', () => {
  it.each(carriers.map((carrier) => ({ on: carrier.name, carrier })))(
    'is made where there is none, when it is first asked for, on $on',
    async ({ carrier }) => {
      const seen: unknown[] = [];
      const served = await serve(carrier, makeLife() as Middleware, async (req, res) => {
        const before = contextIn(req);
        const context = contextFor(req);
        await turns(1);
        seen.push(before, contextFor(req) === context, context?.signal.aborted, context?.deadline);
        res.end();
      });
      await (
        await served.visit()
      ).over;
      expect(seen).toEqual([undefined, true, false, Infinity]);
    },
  );

  it.each(carriers.map((carrier) => ({ on: carrier.name, carrier })))(
    'aborts when the client leaves, on $on',
    async ({ carrier }) => {
      const reasons: unknown[] = [];
      const served = await serve(carrier, makeLife() as Middleware, (req, res) => {
        const { signal } = contextFor(req)!;
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        (res as http.ServerResponse).write('a');
      });
      const reading = await served.visit();
      reading.destroy();
      await until(() => reasons.length > 0);
      expect(reasons).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_CLIENT_CLOSED' })]);
    },
  );

  it('does not abort when the response ends', async () => {
    const signals: AbortSignal[] = [];
    const life = makeLife();
    const served = await serveAttached(bare, life, (req, res) => {
      signals.push(contextFor(req)!.signal);
      res.end();
    });
    await (
      await served.visit()
    ).over;
    await settles(life.drain());
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });

  it('aborts with the draining of a request that is cut', async () => {
    const reasons: unknown[] = [];
    const life = makeLife({ drainTimeout: 50 });
    const served = await serveAttached(bare, life, (req, res) => {
      const { signal } = contextFor(req)!;
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      (res as http.ServerResponse).write('a');
    });
    const reading = await served.visit();
    expect(await settles(life.drain())).toMatchObject({
      cut: { requests: 1, sockets: 0 },
      forced: true,
      reason: 'timeout',
    });
    expect(await reading.over).toBe('aborted');
    expect(reasons).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_DRAINING' })]);
  });

  it('is aborted from the start for a client that has left already', async () => {
    const aborted = deferred<boolean>();
    const life = makeLife();
    const served = await serve(
      bare,
      async (req, res, next) => {
        await until(() => req.destroyed && res.destroyed);
        next();
      },
      life as Middleware,
      (req) => aborted.resolve(contextFor(req)!.signal.aborted),
    );
    const client = await served.dial();
    client.send(getRequest());
    await turns(5);
    client.destroy();
    expect(await settles(aborted.promise)).toBe(true);
    expect(await settles(life.drain())).toMatchObject({ finished: { requests: 0 } });
  });
});

describe('beside deadline()', () => {
  const orders: [name: string, stack: (life: Middleware) => Middleware[]][] = [
    ['before it', (life) => [deadline({ default: '1m' }) as Middleware, life]],
    ['behind it', (life) => [life, deadline({ default: '1m' }) as Middleware]],
  ];

  it.each(orders)('a request that is cut hears of the draining, with deadline %s', async (_name, stack) => {
    const reasons: unknown[] = [];
    const life = makeLife({ drainTimeout: 50 });
    const served = await serve(bare, ...stack(life as Middleware), (req, res) => {
      const { signal } = contextOf(req);
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      (res as http.ServerResponse).write('a');
    });
    const reading = await served.visit();
    expect(await settles(life.drain())).toMatchObject({ cut: { requests: 1 } });
    expect(await reading.over).toBe('aborted');
    expect(reasons).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_DRAINING' })]);
  });

  it.each(orders)('the deadline holds, with deadline %s', async (_name, stack) => {
    const remaining: number[] = [];
    const served = await serve(bare, ...stack(makeLife() as Middleware), (req, res) => {
      remaining.push(contextOf(req).remaining(), currentContext().remaining());
      res.end();
    });
    await (
      await served.visit()
    ).over;
    expect(remaining.every((each) => each > 0 && each <= 60_000)).toBe(true);
  });
});

describe('a request', () => {
  it.each(carriers.map((carrier) => ({ on: carrier.name, carrier })))(
    'is counted once where the server and the middleware both see it, on $on',
    async ({ carrier }) => {
      const life = probe(makeLife({ preDrain: 1000 }));
      const served = await serveAttached(
        carrier,
        life,
        life as Middleware,
        routes({ '/': (_req, res) => res.end('x') }),
      );
      const drained = life.drain();
      await (
        await served.visit()
      ).over;
      await (
        await served.visit()
      ).over;
      expect(await settles(drained)).toMatchObject({ finished: { requests: 2 }, refused: { requests: 0 } });
    },
  );

  it('that was destroyed before its turn on the connection does not hold a drain', async () => {
    const life = makeLife();
    const destroyed = deferred<HttpResponse>();
    const served = await serve(
      bare,
      // The first on the connection is not one of the lifecycle, and goes on.
      (req, res, next) => (req.url === '/1' ? (res as http.ServerResponse).write('first') : life(req, res, next)),
      (_req, res) => {
        res.destroy();
        destroyed.resolve(res);
      },
    );
    const client = await served.dial();
    client.send(getRequest('/1') + getRequest('/2'));
    const res = await settles(destroyed.promise);
    const closed = vi.fn();
    res.on('close', closed);
    expect(await settles(life.drain(), 5000)).toMatchObject({ reason: 'complete', aborted: { requests: 1 } });
    expect(closed).not.toHaveBeenCalled();
  });

  it('that never reaches the middleware is waited for by a server that is attached', async () => {
    const life = makeLife();
    const gate = deferred();
    const { note, reached } = makeCounter();
    const served = await serve(bare, async (_req, res) => {
      note();
      await gate.promise;
      res.end('x');
    });
    life.attach(served.server);
    const reading = served.visit();
    await until(() => served.server.listenerCount('request') > 1);
    const client = await served.dial();
    client.send(getRequest());
    await reached(2);
    const drained = life.drain();
    await until(() => !served.server.listening);
    expect(life.state).toBe('draining');
    gate.resolve();
    expect([await (await reading).over, await settles(drained)]).toMatchObject(['end', { finished: { requests: 2 } }]);
  });

  // Node before 24 forgets to close them.
  it.each(http1Carriers.map((carrier) => ({ on: carrier.name, carrier })))(
    'behind another on a connection that dies holds nothing up, on $on',
    async ({ carrier }) => {
      const life = makeLife();
      const signals: AbortSignal[] = [];
      const served = await serve(carrier, life as Middleware, (req) => void signals.push(contextFor(req)!.signal));
      const client = await connectRaw(served.port);
      client.send(getRequest('/1') + getRequest('/2') + getRequest('/3'));
      await until(() => signals.length === 3);
      client.destroy();
      await until(() => signals.every(({ aborted }) => aborted));
      expect(await settles(life.drain())).toMatchObject({ finished: { requests: 0 }, cut: { requests: 0 } });
    },
  );
});

it('is subscribed to the ends of streams for as long as it drains', async () => {
  const isHeard = (): boolean => hasSubscribers('sluice:stream:close');
  const life = makeLife();
  const release = life.hold();
  expect(isHeard()).toBe(false);
  const drained = life.drain();
  expect(isHeard()).toBe(true);
  release();
  await settles(drained);
  expect(isHeard()).toBe(false);
});

describe('close()', () => {
  it('removes what it registered, and ends nothing', async () => {
    const life = lifecycle({ signals: ['SIGTERM', 'SIGUSR2'] });
    const server = http.createServer();
    const before = {
      signals: process.listenerCount('SIGUSR2'),
      term: process.listenerCount('SIGTERM'),
      names: server.eventNames().length,
    };
    life.attach(server);
    const told: unknown[] = [];
    life.on('state', (change) => told.push(change));
    expect(server.keepAliveTimeout).toBe(75_000);
    life.close();
    life.close();
    expect([process.listenerCount('SIGUSR2'), process.listenerCount('SIGTERM')]).toEqual([
      before.signals - 1,
      before.term - 1,
    ]);
    expect(server.eventNames().length).toBe(before.names);
    expect([server.keepAliveTimeout, server.headersTimeout]).toEqual([5000, 60_000]);
    expect(life.state).toBe('active');
  });

  it('leaves requests alone from then on', async () => {
    const life = makeLife();
    const served = await serve(bare, life as Middleware, routes({ '/': (_req, res) => res.end('x') }));
    life.close();
    await life.drain();
    expect((await served.visit()).status).toBe(200);
  });

  it('lets a drain under way go on to its end', async () => {
    const life = makeLife();
    const gate = deferred();
    const { note, reached } = makeCounter();
    const served = await serveAttached(bare, life, async (_req, res) => {
      note();
      await gate.promise;
      res.end('x');
    });
    const reading = served.visit();
    await reached(1);
    const drained = life.drain();
    life.close();
    gate.resolve();
    expect([await (await reading).over, (await settles(drained)).reason, life.state]).toEqual([
      'end',
      'complete',
      'dead',
    ]);
  });
});

describe('two lifecycles in one process', () => {
  it('share nothing', async () => {
    const [one, other] = [
      makeLife({ drainTimeout: '7s', keepAlive: '20s', exempt: () => true }),
      makeLife({ retryAfter: '1s', keepAlive: '90s' }),
    ];
    const [first, second] = await Promise.all([
      serveAttached(bare, one, one.ready as Middleware),
      serveAttached(bare, other, other.ready as Middleware),
    ]);
    expect([first, second].map(({ server }) => (server as http.Server).keepAliveTimeout)).toEqual([20_000, 90_000]);
    const report = await settles(one.drain());
    expect([one.state, other.state, one.signal.aborted, other.signal.aborted]).toEqual(['dead', 'active', true, false]);
    expect([first.server.listening, second.server.listening]).toEqual([false, true]);
    const reading = await second.visit({ headers: { connection: 'keep-alive' } });
    expect([reading.status, reading.headers['connection']]).toEqual([200, 'keep-alive']);
    expect((await settles(other.drain())).duration).not.toBe(report.duration);
  });

  it('may both watch one server, and each waits for it', async () => {
    const [one, other] = [makeLife(), makeLife()];
    const gate = deferred();
    const { note, reached } = makeCounter();
    const served = await serve(bare, one as Middleware, other as Middleware, async (_req, res) => {
      note();
      await gate.promise;
      res.end('x');
    });
    one.attach(served.server);
    other.attach(served.server);
    const reading = served.visit();
    await reached(1);
    const drained = one.drain();
    await turns(20);
    expect([one.state, other.state]).toEqual(['draining', 'active']);
    gate.resolve();
    await (
      await reading
    ).over;
    expect(await settles(drained)).toMatchObject({ finished: { requests: 1 } });
    expect(await settles(other.drain())).toMatchObject({ finished: { requests: 0 } });
  });
});
