import { once } from 'node:events';
import http from 'node:http';
import type { ServerResponse } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { compress } from '../../src/compress/index.ts';
import { contextOf } from '../../src/deadline/index.ts';
import { InvalidOptionError } from '../../src/errors.ts';
import { createRegistry, heartbeat } from '../../src/heartbeat/index.ts';
import { monitor, sluice, type Sluice, type SluiceOptions } from '../../src/index.ts';
import { sse } from '../../src/sse/index.ts';
import { bare, carriers, type Middleware } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { until } from '../support/until.ts';

function testSluice(options?: SluiceOptions): Sluice {
  const all = sluice(options);
  onTestFinished(() => all.close());
  return all;
}

const text = 'a line of text that repeats\n'.repeat(200);

describe.each(carriers)('sluice() over $name', (carrier) => {
  it('has all parts at work', async () => {
    const all = testSluice({ lifecycle: { signals: false, preDrain: 0, spread: 0 } });
    let hasContext = false;
    const stream = sse(async (events) => {
      await events.send({ id: '1', data: text });
      await new Promise<void>((resolve) => void events.onClose(() => resolve()));
    });
    const server = await serve(carrier, all, (req, res, next) => {
      hasContext = contextOf(req).deadline !== Infinity;
      return stream(req, res, next);
    });
    onTestFinished(all.attach(server.server));
    const reading = await server.visit({ headers: { 'accept-encoding': 'gzip', 'x-request-timeout-ms': '60000' } });
    await until(() => reading.length > 0);
    expect(reading.headers['content-encoding']).toBe('gzip');
    expect(hasContext).toBe(true);
    const { streams, connections, compression, lifecycle } = all.monitor?.snapshot() ?? {};
    expect(streams?.active).toBe(1);
    expect(connections?.connections).toBeGreaterThan(0);
    expect(compression).toMatchObject({ enabled: true, tier: 0 });
    expect(lifecycle).toBe('active');
    const report = all.lifecycle?.drain();
    expect(await reading.over).toBe('aborted');
    expect(await report).toMatchObject({ told: { streams: 1 }, reason: 'complete' });
  });
});

describe('each part', () => {
  const all = ['monitor', 'lifecycle', 'deadline', 'heartbeat', 'compress'] as const;

  it.each(all)('can be off: %s', async (name) => {
    const made = testSluice({ lifecycle: { signals: false }, [name]: false });
    expect(all.filter((part) => made[part] === undefined)).toEqual([name]);
    const server = await serve(bare, made, (_req, res) => void (res as ServerResponse).end('hello'));
    const reading = await server.visit();
    await reading.over;
    expect(reading.text).toBe('hello');
  });

  it('can be one of the application, which keeps it when all others are closed', async () => {
    const beats = heartbeat({ registry: createRegistry() });
    const compression = compress();
    const watch = monitor({ registry: beats.registry });
    onTestFinished(() => watch.close());
    const made = testSluice({ heartbeat: beats, compress: compression, monitor: watch, lifecycle: false });
    expect([made.heartbeat, made.compress, made.monitor]).toEqual([beats, compression, watch]);
    made.close();
    const server = await serve(bare, made, (_req, res) => void (res as ServerResponse).end('hello'));
    await (
      await server.visit()
    ).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 1);
  });

  it('takes its options, and the monitor gets the parts', () => {
    const made = testSluice({
      lifecycle: { signals: false },
      compress: { governor: { interval: '2s' } },
      monitor: { maxRoutes: 3 },
    });
    expect(made.monitor?.snapshot().compression?.tier).toBe(0);
  });

  it.each([
    ['an unknown part', { compresion: {} }, 'sluice.compresion'],
    ['a wrong option of a part', { heartbeat: { evry: '5s' } }, 'heartbeat.evry'],
    ['a value that is no part', { deadline: '5s' }, 'sluice.deadline'],
    ['`true`', { monitor: true }, 'sluice.monitor'],
    ['a number', { compress: 6 }, 'sluice.compress'],
    ['a factory that is not called', { heartbeat }, 'what `heartbeat()` returns'],
    ['a factory of the part that others get', { compress, monitor: false }, 'what `compress()` returns'],
    ['another part', { lifecycle: heartbeat() }, 'sluice.lifecycle'],
  ])('is refused: %s', (_name, options, named) => {
    const before = process.listenerCount('SIGTERM');
    expect(() => sluice(options as never)).toThrow(InvalidOptionError);
    expect(() => sluice(options as never)).toThrow(named);
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});

describe('attach', () => {
  it('watches the clients of a WebSocket server', async () => {
    const made = testSluice({ lifecycle: { signals: false } });
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    onTestFinished(made.attach(server));
    onTestFinished(made.attach(sockets));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}`);
    await once(client, 'open');
    await until(() => made.monitor?.snapshot().connections.transports['websocket']?.healthy === 1);
    client.terminate();
    sockets.close();
    server.close();
  });

  it('passes on an error to the next error handler', async () => {
    const made = testSluice({ lifecycle: { signals: false } });
    const failing: Middleware = (_req, _res, next) => next(new Error('of the route'));
    const server = await serve(bare, made, failing);
    const reading = await server.visit();
    await reading.over;
    expect([reading.status, reading.text]).toEqual([500, 'error: of the route']);
  });
});
