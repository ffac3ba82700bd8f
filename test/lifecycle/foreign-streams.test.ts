import type { ServerResponse } from 'node:http';
import { createSession } from 'better-sse';
import { describe, expect, it } from 'vitest';
import {
  compress,
  contextOf,
  type DrainReport,
  heartbeat,
  type HeartbeatOptions,
  type HttpRequest,
  type HttpResponse,
  pipeBody,
  StreamClosedError,
} from '../../src/index.ts';
import { departureOf } from '../../src/internal/seam/response.ts';
import { bare, type Carrier, carriers, http1Carriers, type Middleware } from '../support/carriers.ts';
import type { RequestInput } from '../support/clients.ts';
import { deferred } from '../support/deferred.ts';
import type { Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, serveAttached } from './support.ts';

const matrix = carriers.map((carrier) => ({ on: carrier.name, carrier }));

/** A handler that knows nothing of a drain: it writes, and goes on for ever. */
function write(...pieces: string[]): Middleware {
  return (_req, response) => {
    const res = response as ServerResponse;
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (const piece of pieces) res.write(piece);
  };
}

interface Site {
  readonly served: Served;
  drain(): Promise<DrainReport>;
}

async function open(
  carrier: Carrier,
  handler: Middleware,
  options: HeartbeatOptions = {},
  drainTimeout = '10s',
): Promise<Site> {
  const life = makeLife({ drainTimeout });
  const stack = [compress({ threshold: 0 }) as Middleware, heartbeat({ every: '1h', ...options }) as Middleware];
  const served = await serveAttached(carrier, life, ...stack, handler);
  return { served, drain: () => life.drain() };
}

const eventSource: RequestInput = { headers: { accept: 'text/event-stream' } };

describe('an event stream that a handler writes by itself', () => {
  it.each(matrix)(
    'and that has sent an id is told to come back, and closes unterminated, on $on',
    async ({ carrier }) => {
      const { served, drain } = await open(carrier, write('id: 1\ndata: one\n\n'));
      const reading = await served.visit(eventSource);
      await until(() => reading.text.includes('data: one'));
      const report = await settles(drain());
      expect(await reading.over).toBe('aborted');
      expect(reading.text).toMatch(/data: one\n\nretry: \d+\n+$/);
      expect(report).toMatchObject({
        told: { streams: 1 },
        finished: { requests: 0, streams: 0 },
        cut: { requests: 0, streams: 0 },
        reason: 'complete',
      });
    },
  );

  it.each(matrix)('and that pipeBody passes on is told, and its source cancelled, on $on', async ({ carrier }) => {
    let isCancelled = false;
    const { served, drain } = await open(carrier, async (req, res) => {
      const source = new ReadableStream<string>({
        start: (controller) => controller.enqueue('id: 1\ndata: one\n\n'),
        cancel: () => void (isCancelled = true),
      });
      await pipeBody(source, req, res, { headers: { 'Content-Type': 'text/event-stream' } }).catch(() => undefined);
    });
    const reading = await served.visit(eventSource);
    await until(() => reading.text.includes('data: one'));
    expect(await settles(drain())).toMatchObject({ told: { streams: 1 }, reason: 'complete' });
    expect(reading.text).toMatch(/data: one\n\nretry: \d+\n+$/);
    await until(() => isCancelled);
  });

  it('aborts the context of its request, so that its source ends', async () => {
    const reasons: unknown[] = [];
    const { served, drain } = await open(bare, (req, res, next) => {
      const { signal } = contextOf(req);
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      return write('id: 1\n\n')(req, res, next);
    });
    const reading = await served.visit(eventSource);
    await until(() => reading.text !== '');
    await settles(drain());
    expect(reasons).toEqual([expect.any(StreamClosedError)]);
    expect(reasons).toMatchObject([{ reason: 'draining' }]);
  });

  it.each(matrix)('is told when its event has ended, and never in the middle of one, on $on', async ({ carrier }) => {
    const gate = deferred();
    let response: HttpResponse | undefined;
    const { served, drain } = await open(carrier, async (req, res, next) => {
      response = res;
      await write('id: 1\ndata: o')(req, res, next);
      await gate.promise;
      (res as ServerResponse).write('ne\n\n');
      (res as ServerResponse).write('id: 2\ndata: two\n\n');
    });
    const reading = await served.visit(eventSource);
    await until(() => reading.text.includes('data: o'));
    const drained = drain();
    await until(() => departureOf(response!)?.finiteBecause() === 'half-event');
    expect(reading.text).not.toContain('retry');
    gate.resolve();
    expect(await settles(drained)).toMatchObject({ told: { streams: 1 }, reason: 'complete' });
    expect(await reading.over).toBe('aborted');
    expect(reading.text).toMatch(/id: 1\ndata: one\n\nretry: \d+\n+$/);
  });

  it('is told when it has sent its first id, later', async () => {
    const gate = deferred();
    const { served, drain } = await open(bare, async (req, res, next) => {
      await write('data: none\n\n')(req, res, next);
      await gate.promise;
      (res as ServerResponse).write('id: 1\ndata: one\n\n');
    });
    const reading = await served.visit(eventSource);
    const drained = drain();
    await until(() => !served.server.listening);
    gate.resolve();
    expect(await settles(drained)).toMatchObject({ told: { streams: 1 }, reason: 'complete' });
    expect(reading.text).toMatch(/data: one\n\nretry: \d+\n+$/);
  });

  it.each<[name: string, input: RequestInput, options: HeartbeatOptions]>([
    ['whose client came with one', { headers: { accept: 'text/event-stream', 'last-event-id': '4' } }, {}],
    ['of which the option says so', eventSource, { drain: 'resumable' }],
  ])('without an id, %s, is told as well', async (_name, input, options) => {
    const { served, drain } = await open(bare, write('data: one\n\n'), options);
    const reading = await served.visit(input);
    await until(() => reading.text.includes('data: one'));
    expect(await settles(drain())).toMatchObject({ told: { streams: 1 }, reason: 'complete' });
    expect(reading.text).toMatch(/\n\nretry: \d+\n+$/);
  });

  it.each<[name: string, text: string, input: RequestInput, options: HeartbeatOptions]>([
    ['that answers a POST', 'id: 1\ndata: one\n\n', { ...eventSource, method: 'POST' }, {}],
    ['without ids', 'data: one\n\n', eventSource, {}],
    ['that is finite by the option', 'id: 1\ndata: one\n\n', eventSource, { drain: 'finite' }],
  ])('%s runs to its end', async (_name, text, input, options) => {
    const gate = deferred();
    const { served, drain } = await open(
      bare,
      async (req, res, next) => {
        await write(text)(req, res, next);
        await gate.promise;
        (res as ServerResponse).end('data: last\n\n');
      },
      options,
    );
    const reading = await served.visit(input);
    const drained = drain();
    await until(() => !served.server.listening);
    gate.resolve();
    expect(await reading.over).toBe('end');
    expect(reading.text).toBe(`${text}data: last\n\n`);
    expect(await settles(drained)).toMatchObject({ told: { streams: 0 }, cut: { streams: 0 }, reason: 'complete' });
  });
});

describe('the report', () => {
  it('says why streams were cut that were not told', async () => {
    const routes: Readonly<Record<string, string>> = {
      '/no-id': 'data: one\n\n',
      '/half-event': 'id: 1\ndata: o',
      '/method': 'id: 1\n\n',
      '/unfollowed': 'id: 1\n\n',
      '/plain': 'id: 1\n\n',
    };
    const { served, drain } = await open(
      bare,
      (req, res, next) => {
        if (req.url === '/plain')
          (res as ServerResponse).writeHead(200, { 'Content-Type': 'text/plain' }).write('plain');
        else void write(routes[req.url!]!)(req, res, next);
      },
      { filter: ({ url }) => url !== '/unfollowed' },
      '200',
    );
    for (const path of Object.keys(routes))
      await served.visit({ ...eventSource, path, method: path === '/method' ? 'POST' : 'GET' });
    expect(await settles(drain())).toMatchObject({
      cut: { requests: 1, streams: 4 },
      untold: { 'no-id': 1, 'half-event': 1, method: 1, unfollowed: 1 },
      told: { streams: 0 },
      reason: 'timeout',
    });
  });
});

describe('a stream of better-sse', () => {
  it.each(http1Carriers)('is told to come back on $name', async (carrier) => {
    const { served, drain } = await open(carrier, async (req, res) => {
      const session = await createSession(req as HttpRequest as never, res as never);
      session.push({ n: 1 }, 'tick', '1');
    });
    const reading = await served.visit(eventSource);
    await until(() => reading.text.includes('{"n":1}'));
    const report = await settles(drain());
    expect(await reading.over).toBe('aborted');
    expect(reading.text).toMatch(/\n\nretry: \d+\n+$/);
    expect(report).toMatchObject({ told: { streams: 1 }, cut: { requests: 0, streams: 0 }, reason: 'complete' });
  });
});
