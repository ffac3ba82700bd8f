import type { ServerResponse } from 'node:http';
import express from 'express';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import { subscribe } from '../../src/diagnostics.ts';
import { monitor, type Monitor, type MonitorOptions } from '../../src/monitor/index.ts';
import { openEventStream, sse } from '../../src/sse/index.ts';
import { bare, carriers, express5, h2c, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

function testMonitor(options?: MonitorOptions): Monitor {
  const watch = monitor(options);
  onTestFinished(() => watch.close());
  return watch;
}

const text = 'a line of text that repeats\n'.repeat(200);

function handler(respond: (res: ServerResponse) => void): Middleware {
  return (_req, res) => respond(res as ServerResponse);
}

describe.each(carriers)('over $name', (carrier) => {
  it('counts a response, its times and its bytes', async () => {
    const watch = testMonitor();
    const server = await serve(
      carrier,
      watch,
      handler((res) => res.end('hello')),
    );
    const reading = await server.visit();
    await reading.over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 1);
    const { routes, bytes, streams } = watch.snapshot();
    expect(routes['__other__']).toMatchObject({ active: 0, timeToHead: { count: 1 }, timeToFirstByte: { count: 1 } });
    expect(bytes).toEqual({ identity: { in: 5, out: 5 } });
    expect(streams).toMatchObject({ opened: 0, active: 0 });
  });

  it('counts a stream from its headers to its end, with the bytes before and after compression', async () => {
    const watch = testMonitor();
    let sent = 0;
    const server = await serve(
      carrier,
      watch,
      compress(),
      sse(async (stream) => {
        for (let index = 0; index < 5; index++) await stream.send({ data: text });
        sent = 5;
        await new Promise<void>((resolve) => void stream.onClose(() => resolve()));
      }),
    );
    const reading = await server.visit({ headers: { 'accept-encoding': 'gzip' } });
    await until(() => sent === 5 && reading.length > 0);
    await until(() => watch.snapshot().streams.active === 1);
    await until(() => (watch.snapshot().bytes['gzip']?.in ?? 0) > 5 * text.length);
    const live = watch.snapshot();
    expect(live.streams).toMatchObject({ opened: 1, ended: {}, duration: { count: 0 } });
    expect(live.bytes['gzip']?.out).toBeLessThan(text.length);
    reading.destroy();
    await until(() => watch.snapshot().streams.active === 0);
    const { streams } = watch.snapshot();
    expect(streams).toMatchObject({ opened: 1, ended: { 'client-closed': 1 }, duration: { count: 1 } });
  });

  it('counts a client that leaves before the headers', async () => {
    const watch = testMonitor();
    const server = await serve(
      carrier,
      watch,
      handler((res) => setImmediate(() => res.destroy())),
    );
    // Over HTTP/2 it does not settle.
    server.visit().catch(() => undefined);
    await until(() => watch.snapshot().routes['__other__']?.ended['aborted'] === 1);
    expect(watch.snapshot().routes['__other__']).toMatchObject({ active: 0, timeToHead: { count: 0 } });
  });
});

describe('bytes', () => {
  it.each([
    ['gzip', { 'accept-encoding': 'gzip' }],
    ['br', { 'accept-encoding': 'br' }],
    ['identity', {}],
  ])('of a complete body in %s are those of the wire and those of the handler', async (coding, headers) => {
    const watch = testMonitor();
    const server = await serve(
      bare,
      watch,
      compress(),
      handler((res) => res.setHeader('Content-Type', 'text/plain').end(text)),
    );
    const reading = await server.visit({ headers });
    await reading.over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 1);
    expect(watch.snapshot().bytes).toEqual({ [coding]: { in: text.length, out: reading.length } });
  });

  it('of a long body that is encoded in pieces, and of one in another thread', async () => {
    const watch = testMonitor();
    const large = text.repeat(60);
    const pieces: { bytesIn: number; bytesOut: number; coding: string }[] = [];
    const undo = subscribe('sluice:compress:bytes', ({ req: _req, ...piece }) => void pieces.push(piece));
    onTestFinished(undo);
    const server = await serve(
      bare,
      watch,
      compress(),
      handler((res) => {
        res.setHeader('Content-Type', 'text/plain');
        if (res.req.url === '/whole') {
          res.end(large);
        } else {
          for (let at = 0; at < 10; at++) res.write(large);
          res.end(large);
        }
      }),
    );
    const long = await server.visit({ headers: { 'accept-encoding': 'gzip' } });
    expect(await long.over).toBe('end');
    const whole = await server.visit({ path: '/whole', headers: { 'accept-encoding': 'gzip' } });
    await whole.over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 2);
    expect(watch.snapshot().bytes).toEqual({ gzip: { in: 12 * large.length, out: long.length + whole.length } });
    expect(pieces.reduce((sum, { bytesIn }) => sum + bytesIn, 0)).toBe(12 * large.length);
    expect(pieces.reduce((sum, { bytesOut }) => sum + bytesOut, 0)).toBe(long.length + whole.length);
  });

  it('of a body that the handler encoded count under its coding', async () => {
    const watch = testMonitor();
    const server = await serve(
      bare,
      watch,
      compress(),
      handler((res) => res.setHeader('Content-Encoding', 'zstd').end(encoded)),
    );
    await (
      await server.visit({ headers: { 'accept-encoding': 'gzip' } })
    ).over;
    await until(() => watch.snapshot().bytes['zstd']?.out === encoded.length);
    expect(watch.snapshot().bytes).toEqual({ zstd: { in: encoded.length, out: encoded.length } });
  });
});

const encoded = Buffer.from('not really zstd');

describe('routes', () => {
  it('are the templates of Express, bounded', async () => {
    const watch = testMonitor({ maxRoutes: 3 });
    const router = express.Router();
    router.get('/users/:id', (_req, res) => void res.json({}));
    router.get('/', (_req, res) => void res.status(201).json({}));
    const app = express();
    app.use(watch, express.Router().use('/api', router));
    app.get('/one', (_req, res) => void res.end());
    app.get('/two', (_req, res) => void res.end());
    const server = await serve(bare, app as unknown as Middleware);
    for (const path of ['/api/users/1', '/api/users/2', '/api', '/one', '/two', '/nothing/3']) {
      await (
        await server.visit({ path })
      ).over;
    }
    await until(
      () => watch.snapshot().routes['__other__']?.ended['5xx'] === 1,
      () => JSON.stringify(Object.entries(watch.snapshot().routes).map(([route, { ended }]) => [route, ended])),
    );
    const ended = Object.entries(watch.snapshot().routes).map(([route, each]) => [route, each.ended]);
    expect(ended).toEqual([
      ['/api/users/:id', { '2xx': 2 }],
      ['/api', { '2xx': 1 }],
      ['/one', { '2xx': 1 }],
      ['__other__', { '2xx': 1, '5xx': 1 }],
    ]);
  });

  it('may be named by the application; what throws is published, and the label is __other__', async () => {
    const errors: unknown[] = [];
    onTestFinished(subscribe('sluice:monitor:error', ({ error }) => void errors.push(error)));
    const watch = testMonitor({
      route: ({ url }) => {
        if (url === '/bad') throw new Error('no route');
        return url === '/empty' ? undefined : 'named';
      },
    });
    const server = await serve(
      express5,
      watch,
      handler((res) => res.end('x')),
    );
    for (const path of ['/', '/bad', '/empty']) await (await server.visit({ path })).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 2);
    expect(watch.snapshot().routes['named']?.ended).toEqual({ '2xx': 1 });
    expect(errors).toEqual([new Error('no route')]);
  });
});

describe('ends', () => {
  it('of streams of ours have their reason, those of others are told from the response', async () => {
    const watch = testMonitor();
    const server = await serve(bare, watch, (req, res) => {
      const response = res as ServerResponse;
      switch (req.url) {
        case '/stop':
          void openEventStream(req, res).stop();
          return;
        case '/fails':
          openEventStream(req, res, { onError: () => undefined }).destroy(new Error('broken'));
          return;
        case '/foreign':
          response.setHeader('Content-Type', 'application/x-ndjson').end('{}\n');
          return;
        default:
          response.setHeader('Content-Type', 'text/event-stream').write('data: x\n\n');
          setImmediate(() => response.destroy());
      }
    });
    for (const path of ['/stop', '/fails', '/foreign', '/cut']) {
      const reading = await server.visit({ path }).catch(() => undefined);
      await reading?.over;
    }
    await until(() => watch.snapshot().streams.duration.count === 4);
    expect(watch.snapshot().streams).toMatchObject({
      opened: 4,
      active: 0,
      ended: { ended: 2, error: 1, 'client-closed': 1 },
    });
  });

  it('of a head that Node refuses count as no stream', async () => {
    const watch = testMonitor();
    const server = await serve(
      bare,
      watch,
      handler((res) => {
        res.setHeader('Content-Type', 'text/event-stream');
        try {
          res.writeHead(9_999);
        } catch {
          res.setHeader('Content-Type', 'text/plain');
          res.statusCode = 500;
          res.end('failed');
        }
      }),
    );
    await (
      await server.visit()
    ).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['5xx'] === 1);
    expect(watch.snapshot()).toMatchObject({
      streams: { opened: 0, active: 0 },
      routes: { __other__: { active: 0, timeToHead: { count: 1 } } },
    });
  });
});

describe('a monitor', () => {
  it('that is mounted twice counts once', async () => {
    const watch = testMonitor();
    const server = await serve(
      h2c,
      watch,
      watch,
      handler((res) => res.end('hello')),
    );
    await (
      await server.visit()
    ).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 1);
    expect(watch.snapshot().bytes).toEqual({ identity: { in: 5, out: 5 } });
  });

  it('shows the connections of all registries, and what compression is set to', async () => {
    const [one, other] = [heartbeat(), heartbeat()];
    const compression = compress({ governor: {}, cache: '1mb' });
    onTestFinished(() => compression.close());
    const watch = testMonitor({ registry: [one.registry, other.registry], compress: compression });
    const stream = sse(async (events) => {
      await new Promise<void>((resolve) => void events.onClose(() => resolve()));
    });
    const first = await serve(bare, watch, one, stream);
    const second = await serve(h2c, watch, other, stream);
    await Promise.all([first.visit(), second.visit()]);
    await until(
      () => watch.snapshot().connections.connections === 3,
      () => JSON.stringify(watch.snapshot().connections),
    );
    compression.switch.disable();
    expect(watch.snapshot()).toMatchObject({
      compression: { enabled: false, version: 1, tier: 0, cache: { hits: 0, misses: 0, bytes: 0 } },
      connections: { transports: { http1: { healthy: 1 }, http2: { healthy: 1 }, 'http2-stream': { healthy: 1 } } },
    });
  });

  it('that is closed counts nothing more', async () => {
    const watch = testMonitor();
    const server = await serve(
      bare,
      watch,
      handler((res) => res.end('hello')),
    );
    watch.close();
    await (
      await server.visit()
    ).over;
    expect(watch.snapshot().routes).toEqual({});
  });

  it('lives on when the memory cannot be read, as in a process without a descriptor left', async () => {
    const watch = testMonitor({ interval: 100, authorize: () => true });
    const { process: before, uptime } = watch.snapshot();
    const spy = vi.spyOn(process, 'memoryUsage').mockImplementation(() => {
      throw new Error('EMFILE: too many open files, uv_resident_set_memory');
    });
    onTestFinished(() => spy.mockRestore());
    await until(() => watch.snapshot().uptime > uptime + 250);
    expect(watch.snapshot().process).toMatchObject({
      residentMemory: before.residentMemory,
      heapUsed: before.heapUsed,
    });
  });

  it('leaves the warnings of errors that have no listener', async () => {
    const watch = testMonitor();
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const server = await serve(bare, watch, (req, res) => {
      openEventStream(req, res).onClose(() => {
        throw new Error('in a listener');
      });
      (res as ServerResponse).destroy();
    });
    await server.visit().catch(() => undefined);
    expect((await settles(warned)).message).toContain('in a listener');
    expect(watch.snapshot().errors).toEqual({ stream: 1 });
  });
});
