import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { sse, type EventStream } from '../../src/index.ts';
import { carriers, express5, h2c, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { useRandom } from '../support/random.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, probe, routes, serveAttached } from './support.ts';

const matrix = carriers.map((carrier) => ({ on: carrier.name, carrier }));
const http1 = matrix.filter(({ carrier }) => carrier.protocol === 'http1');

/** A handler that answers when it is told to. */
function slow(): { handler: Middleware; answer: () => void; reached: () => Promise<void> } {
  const gate = deferred();
  let calls = 0;
  return {
    handler: async (_req, res) => {
      calls += 1;
      await gate.promise;
      res.end('slow');
    },
    answer: () => gate.resolve(),
    reached: () => until(() => calls > 0),
  };
}

const eventStreamRequest = { headers: { accept: 'text/event-stream' } };

describe('before a drain', () => {
  it.each(matrix)('requests pass as without it, on $on', async ({ carrier }) => {
    const life = makeLife();
    const served = await serveAttached(carrier, life, routes({ '/': (_req, res) => res.end('hello') }));
    const reading = await served.visit();
    expect([await reading.over, reading.status, reading.text]).toEqual(['end', 200, 'hello']);
    expect([life.state, life.signal.aborted]).toEqual(['active', false]);
  });

  it.each(matrix)('probes answer 200 on $on', async ({ carrier }) => {
    const life = makeLife();
    const served = await serveAttached(carrier, life, routes({ '/readyz': life.ready, '/livez': life.live }));
    for (const path of ['/readyz', '/livez']) {
      const reading = await served.visit({ path });
      expect([
        await reading.over,
        reading.status,
        reading.text,
        reading.headers['content-type'],
        reading.headers['cache-control'],
      ]).toEqual(['end', 200, '{"state":"active"}', 'application/json', 'no-store']);
    }
    const head = await served.visit({ path: '/readyz', method: 'HEAD' });
    expect([await head.over, head.status, head.text]).toEqual(['end', 200, '']);
  });
});

describe('while a drain is announced', () => {
  it.each(matrix)('everything is served, readiness fails and liveness does not, on $on', async ({ carrier }) => {
    const life = probe(makeLife({ preDrain: '10s' }));
    const served = await serveAttached(
      carrier,
      life,
      routes({ '/': (_req, res) => res.end('hello'), '/readyz': life.ready, '/livez': life.live }),
    );
    void life.drain();
    expect(life.state).toBe('draining');
    const answers = await Promise.all(['/', '/readyz', '/livez'].map((path) => served.visit({ path })));
    expect(await Promise.all(answers.map(({ over }) => over))).toEqual(['end', 'end', 'end']);
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [200, 'hello'],
      [503, '{"state":"draining"}'],
      [200, '{"state":"draining"}'],
    ]);
  });

  it.each(http1)('responses close their connection, in flight and new, on $on', async ({ carrier }) => {
    const life = makeLife({ preDrain: '10s' });
    const { handler, answer, reached } = slow();
    const served = await serveAttached(
      carrier,
      life,
      routes({ '/': (_req, res) => res.end('hello'), '/slow': handler }),
    );
    const before = await served.visit({ headers: { connection: 'keep-alive' } });
    const inFlight = served.visit({ path: '/slow', headers: { connection: 'keep-alive' } });
    await reached();
    void life.drain();
    answer();
    const after = await served.visit({ headers: { connection: 'keep-alive' } });
    expect([before, await inFlight, after].map(({ headers }) => headers['connection'])).toEqual([
      'keep-alive',
      'close',
      'close',
    ]);
  });

  it('HTTP/2 responses have no Connection field', async () => {
    const life = makeLife({ preDrain: '10s' });
    const { handler, answer, reached } = slow();
    const served = await serveAttached(h2c, life, routes({ '/': handler }));
    const inFlight = served.visit();
    await reached();
    void life.drain();
    answer();
    expect((await inFlight).headers).not.toHaveProperty('connection');
    expect((await inFlight).status).toBe(200);
  });

  it('a response whose head is out is left alone', async () => {
    const life = makeLife({ preDrain: '10s' });
    const gate = deferred();
    const served = await serveAttached(express5, life, async (_req, res) => {
      (res as ServerResponse).write('first ');
      await gate.promise;
      res.end('last');
    });
    const reading = await served.visit();
    void life.drain();
    gate.resolve();
    expect([await reading.over, reading.text]).toEqual(['end', 'first last']);
  });
});

describe('when it leaves', () => {
  const resumable = (streams: EventStream[]): Middleware =>
    sse(async (stream) => {
      streams.push(stream);
      await stream.send({ id: '1', data: 'one' });
      await new Promise((resolve) => stream.onClose(resolve));
    });

  it.each(matrix)('a request in flight finishes, and then it is dead, on $on', async ({ carrier }) => {
    const life = makeLife();
    const { handler, answer, reached } = slow();
    const served = await serveAttached(carrier, life, routes({ '/slow': handler }));
    const reading = served.visit({ path: '/slow' });
    await reached();
    const drained = life.drain();
    await until(() => !served.server.listening);
    expect(life.state).toBe('draining');
    answer();
    expect([await (await reading).over, (await reading).text]).toEqual(['end', 'slow']);
    const report = await settles(drained);
    expect(life.state).toBe('dead');
    expect(report).toMatchObject({
      finished: { requests: 1 },
      cut: { requests: 0, streams: 0, sockets: 0 },
      forced: false,
      reason: 'complete',
    });
  });

  it.each(matrix)('a resumable stream is told to come back, and closes without an end, on $on', async ({ carrier }) => {
    const life = makeLife();
    const streams: EventStream[] = [];
    const served = await serveAttached(carrier, life, resumable(streams));
    const reading = await served.visit(eventStreamRequest);
    await until(() => reading.text.includes('data: one'));
    const report = await settles(life.drain());
    expect(await reading.over).toBe('aborted');
    expect(reading.text).toMatch(/data: one\n\nretry: \d+\n$/);
    expect(report).toMatchObject({ told: { streams: 1 }, finished: { streams: 0, requests: 0 }, cut: { streams: 0 } });
    expect(streams[0]!.signal.reason).toMatchObject({ reason: 'draining' });
  });

  it.each(matrix)('a finite stream runs to its end, on $on', async ({ carrier }) => {
    const life = makeLife();
    const gate = deferred();
    const served = await serveAttached(
      carrier,
      life,
      sse(async function* () {
        yield 'token';
        await gate.promise;
        yield 'last';
      }),
    );
    const reading = await served.visit(eventStreamRequest);
    await until(() => reading.text.includes('token'));
    const drained = life.drain();
    await until(() => !served.server.listening);
    gate.resolve();
    expect(await reading.over).toBe('end');
    expect(reading.text).toContain('data: last\n\n');
    expect(await settles(drained)).toMatchObject({
      finished: { streams: 1, requests: 0 },
      told: { streams: 0 },
      cut: { streams: 0 },
    });
  });

  it('a stream that becomes resumable later is told then', async () => {
    const life = makeLife();
    const gate = deferred();
    const served = await serveAttached(
      express5,
      life,
      sse(async (stream) => {
        await stream.send('no id');
        await gate.promise;
        await stream.send({ id: '1', data: 'one' });
        await new Promise((resolve) => stream.onClose(resolve));
      }),
    );
    const reading = await served.visit(eventStreamRequest);
    const drained = life.drain();
    await until(() => !served.server.listening);
    gate.resolve();
    expect(await settles(drained)).toMatchObject({ told: { streams: 1 } });
    expect(await reading.over).toBe('aborted');
    expect(reading.text).toMatch(/retry: \d+\n$/);
  });

  it.each(matrix)('a service that attaches nothing refuses new requests, on $on', async ({ carrier }) => {
    useRandom(() => 0.5);
    const life = makeLife({ retryAfter: '4s', reconnectDelay: 3000 });
    const { handler, answer, reached } = slow();
    const served = await serve(
      carrier,
      life as Middleware,
      routes({ '/slow': handler, '/readyz': life.ready, '/livez': life.live }),
    );
    void served.visit({ path: '/slow' });
    await reached();
    const drained = life.drain();
    await until(() => life.state === 'draining');
    await expect.poll(async () => (await served.visit()).status, { timeout: 20_000 }).toBe(503);

    const refused = await served.visit();
    expect([await refused.over, refused.status, refused.headers['retry-after']]).toEqual(['end', 503, '4']);
    expect(refused.headers['connection']).toBe(carrier.protocol === 'http1' ? 'close' : undefined);

    const source = await served.visit(eventStreamRequest);
    expect([source.status, source.headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect(await source.over).toBe('aborted');
    expect(source.text).toBe(':ok\nretry: 3000\n');

    const probes = await Promise.all(['/readyz', '/livez'].map((path) => served.visit({ path })));
    expect(probes.map(({ status }) => status)).toEqual([503, 200]);

    answer();
    const report = await settles(drained);
    expect(report).toMatchObject({ refused: { streams: 1 }, cut: { requests: 0, streams: 0 } });
    // The slow one and two probes; the first of the poll may have come in time.
    expect(report.finished.requests).toBeGreaterThanOrEqual(3);
    expect(report.refused.requests).toBeGreaterThanOrEqual(2);
    expect((await served.visit({ path: '/livez' })).status).toBe(503);
    expect((await served.visit()).status).toBe(503);
  });

  const accepts: [accept: string, method: string, status: number][] = [
    ['text/event-stream', 'GET', 200],
    ['text/event-stream, */*;q=0.1', 'GET', 200],
    ['application/json, text/event-stream', 'GET', 200],
    ['*/*', 'GET', 503],
    ['text/*', 'GET', 503],
    ['text/event-stream;q=0', 'GET', 503],
    ['text/event-stream', 'POST', 503],
    ['application/json', 'GET', 503],
  ];
  it.each(accepts)('Accept: %s of a %s is answered %i', async (accept, method, status) => {
    const life = makeLife();
    const served = await serve(express5, life as Middleware);
    await life.drain();
    expect((await served.visit({ method, headers: { accept } })).status).toBe(status);
  });

  it('a client that was told to stop is not told to come back', async () => {
    const life = makeLife();
    const served = await serve(express5, life as Middleware);
    await life.drain();
    expect(
      (await served.visit({ headers: { accept: 'text/event-stream', 'last-event-id': 'sluice.stop' } })).status,
    ).toBe(204);
  });

  it('spreads the hints to refused clients', async () => {
    const values = [0, 0.999, 0, 0.999];
    useRandom(() => values.shift() ?? 0.5);
    const life = makeLife({ retryAfter: '4s', reconnectDelay: '2s' });
    const served = await serve(express5, life as Middleware);
    await life.drain();
    const after = [(await served.visit()).headers['retry-after'], (await served.visit()).headers['retry-after']];
    const sources = [await served.visit(eventStreamRequest), await served.visit(eventStreamRequest)];
    await Promise.all(sources.map(({ over }) => over));
    expect([after, sources.map(({ text }) => text)]).toEqual([
      ['2', '6'],
      [':ok\nretry: 1000\n', ':ok\nretry: 2998\n'],
    ]);
  });

  it('a request that exempt picks is served', async () => {
    const life = makeLife({ exempt: (req) => req.url === '/admin' });
    const served = await serve(express5, life as Middleware, routes({ '/admin': (_req, res) => res.end('here') }));
    await life.drain();
    expect([(await served.visit({ path: '/admin' })).status, (await served.visit({ path: '/livez' })).status]).toEqual([
      200, 503,
    ]);
  });
});
