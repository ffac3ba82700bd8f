import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type CloseReason, closeError } from '../../src/errors.ts';
import {
  compress,
  type ConnectionEnd,
  type ConnectionRegistry,
  contextOf,
  createRegistry,
  deadline,
  DrainingError,
  heartbeat,
  type HeartbeatOptions,
  type HttpRequest,
  IdleTimeoutError,
  ndjson,
  sse,
  watchHttp2,
  watchSocket,
  watchWebSockets,
} from '../../src/index.ts';
import { makeLife } from '../lifecycle/support.ts';
import { bare, type Carrier, h2c, listen, type Middleware } from '../support/carriers.ts';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { useRandom } from '../support/random.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, getFrame } from './frames.ts';

interface Site extends Served {
  readonly registry: ConnectionRegistry;
  readonly ends: ConnectionEnd[];
  /** Why the context of each request, and the signal of each stream, was aborted. */
  readonly reasons: { contexts: unknown[]; signals: unknown[] };
}

interface Visit {
  readonly req: HttpRequest;
  readonly res: http.ServerResponse;
  readonly aborted: (signal: AbortSignal) => void;
}

/** A stack with contexts, compression and heartbeats. */
async function open(carrier: Carrier, options: HeartbeatOptions, handler: (visit: Visit) => unknown): Promise<Site> {
  const registry = createRegistry();
  const ends: ConnectionEnd[] = [];
  registry.on('end', (end) => ends.push(end));
  const reasons: Site['reasons'] = { contexts: [], signals: [] };
  const beats = heartbeat({ every: '1h', reconnectDelay: 100, ...options, registry });
  const served = await serve(carrier, deadline() as Middleware, compress(), beats, (req, res) => {
    const { signal } = contextOf(req);
    signal.addEventListener('abort', () => reasons.contexts.push(signal.reason));
    return handler({
      req,
      res: res as http.ServerResponse,
      aborted: (each) => each.addEventListener('abort', () => reasons.signals.push(each.reason)),
    });
  });
  return { ...served, registry, ends, reasons };
}

const streaming = (visit: Visit): unknown =>
  sse((stream) => {
    visit.aborted(stream.signal);
    void stream.send({ data: 'first' });
  })(visit.req, visit.res, () => undefined);

const raw = ({ res }: Visit): void =>
  void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// Hints are spread from half of 100 ms to one and a half times that: this draw makes them 70.
const drawn = (): number => 0.2;

const first = (site: Site): string => site.registry.connections().find(({ transport }) => transport !== 'http2')!.id;

describe.each([
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const)('over %s, a stream that has reached its age', (_name, carrier) => {
  it.each([
    ['of sse', streaming],
    ['of a handler of its own', raw],
  ] as const)('%s is told to come back, and closed without an end', async (_kind, handler) => {
    useRandom(drawn);
    const site = await open(carrier, { maxAge: 150 }, handler);
    const reading = await site.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toMatch(/data: first\n\nretry: 70\n$/);
    await until(() => site.ends.some(({ connection }) => connection.transport !== 'http2'));
    expect(site.ends.find(({ connection }) => connection.transport !== 'http2')).toMatchObject({
      reason: 'draining',
      connection: { state: 'healthy' },
    });
    await until(() => site.reasons.contexts.length > 0);
    expect(site.reasons.contexts).toEqual([expect.any(DrainingError)]);
    if (handler === streaming) {
      await until(() => site.reasons.signals.length > 0);
      expect(site.reasons.signals).toEqual([expect.any(DrainingError)]);
    }
    expect(site.errors).toEqual([]);
  });

  it('waits for the end of an event; what is written later is not sent', async () => {
    useRandom(drawn);
    const results: unknown[] = [];
    let res!: http.ServerResponse;
    const site = await open(carrier, {}, (visit) => {
      ({ res } = visit);
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: ha');
    });
    const reading = await site.visit();
    await until(() => reading.text === 'data: ha');
    expect(site.registry.evict(first(site))).toBe(true);
    expect(site.registry.evict(first(site))).toBe(false);
    await pause(100);
    expect(reading.text).toBe('data: ha');
    expect(res.write('lf\n\n')).toBe(true);
    expect(res.write('data: late\n\n', (error) => results.push(error))).toBe(false);
    res.end('data: later\n\n', () => results.push('called back'));
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toMatch(/^data: half\n\nretry: 70\n$/);
    await until(() => results.length === 2 && site.reasons.contexts.length > 0);
    expect(results[0]).toBeInstanceOf(DrainingError);
    expect(site.reasons.contexts).toEqual([expect.any(DrainingError)]);
  });

  it('is cut where no event ends within a second', async () => {
    const site = await open(
      carrier,
      {},
      ({ res }) => void res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: ha'),
    );
    const reading = await site.visit();
    await until(() => reading.text === 'data: ha');
    site.registry.evict(first(site), 'token expired');
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe('data: ha');
    await until(() => site.ends.length > 0 && site.reasons.contexts.length > 0);
    expect(site.reasons.contexts).toEqual([expect.any(DrainingError)]);
  });

  it('of NDJSON has no hint', async () => {
    const site = await open(carrier, { maxAge: 100 }, (visit) =>
      ndjson((stream) => {
        visit.aborted(stream.signal);
        void stream.send({ n: 1 });
      })(visit.req, visit.res, () => undefined),
    );
    const reading = await site.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe('{"n":1}\n');
    await until(() => site.reasons.signals.length > 0);
    expect(site.reasons.signals).toEqual([expect.any(DrainingError)]);
  });

  it('of any kind is closed as `idle` when nothing is produced, in spite of heartbeats', async () => {
    useRandom(drawn);
    for (const handler of [streaming, raw]) {
      const site = await open(carrier, { every: 50, jitter: 0, idleProducer: 1200 }, handler);
      const reading = await site.visit();
      expect(await settles(reading.over)).toBe('aborted');
      expect(reading.text).toMatch(/^(:ok\n)?data: first\n\n(:\n){3,}retry: 70\n$/);
      await until(() => site.ends.some(({ reason }) => reason === 'idle'));
      await until(() => site.reasons.contexts.length > 0);
      expect(site.reasons.contexts).toEqual([expect.any(IdleTimeoutError)]);
      if (handler === streaming) {
        await until(() => site.reasons.signals.length > 0);
        expect(site.reasons.signals).toEqual([expect.any(IdleTimeoutError)]);
      }
    }
  });

  it('is not idle while its handler writes', async () => {
    const site = await open(carrier, { every: '1h', idleProducer: 1000 }, ({ res }) => {
      raw({ res } as Visit);
      const timer = setInterval(() => res.write('data: more\n\n'), 50);
      res.on('close', () => clearInterval(timer));
    });
    const reading = await site.visit();
    await pause(2500);
    expect(site.ends).toEqual([]);
    reading.destroy();
    await until(() => site.ends.length > 0);
    expect(site.ends[0]).toMatchObject({ reason: 'client-closed' });
  });
});

describe('`evict`', () => {
  it.each<CloseReason>([
    'ended',
    'client-closed',
    'deadline',
    'idle',
    'draining',
    'slow-consumer',
    'heartbeat-timeout',
    'error',
  ])('ends a stream with the reason %s, as its signal and its context have it', async (reason) => {
    for (const handler of [streaming, raw]) {
      const site = await open(bare, {}, handler);
      const reading = await site.visit();
      await until(() => reading.text.includes('first'));
      expect(site.registry.evict(first(site), reason)).toBe(true);
      expect(await settles(reading.over)).toBe('aborted');
      await until(() => site.ends.length > 0);
      expect(site.ends).toMatchObject([{ reason }]);
      const { constructor } = closeError(reason);
      await until(() => site.reasons.contexts.length > 0 && (handler === raw || site.reasons.signals.length > 0));
      expect(site.reasons.contexts.map((each) => (each as object).constructor)).toEqual([constructor]);
      if (handler === streaming)
        expect(site.reasons.signals.map((each) => (each as object).constructor)).toEqual([constructor]);
      expect(site.registry.stats()).toMatchObject({ connections: 0, ended: { [reason]: 1 } });
    }
  });

  it('takes any other text for the cause of a `draining`', async () => {
    const site = await open(bare, {}, streaming);
    const reading = await site.visit();
    await until(() => reading.text.includes('first'));
    site.registry.evict(first(site), 'token expired');
    await settles(reading.over);
    await until(() => site.reasons.signals.length > 0);
    expect(site.reasons.signals).toMatchObject([{ reason: 'draining', cause: { message: 'token expired' } }]);
  });

  it('knows no connection that is not there', async () => {
    const site = await open(bare, {}, streaming);
    expect(site.registry.evict('http1-1')).toBe(false);
    const reading = await site.visit();
    await until(() => reading.text.includes('first'));
    const id = first(site);
    reading.destroy();
    await until(() => site.ends.length > 0);
    expect(site.registry.evict(id)).toBe(false);
    expect(site.ends).toHaveLength(1);
  });

  it('lets the responses of a session run to their end', async () => {
    const registry = createRegistry();
    const ends: ConnectionEnd[] = [];
    registry.on('end', (end) => ends.push(end));
    const server = http2.createServer((_req, res) => {
      res.writeHead(200).write('part, ');
      setTimeout(() => res.end('and the rest'), 300);
    });
    watchHttp2(server, { registry });
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = connectFrames(running.port);
    client.send(getFrame(1, '/'));
    await client.waitFor(({ type }) => type === 'DATA');
    const [{ id } = { id: '' }] = registry.connections();
    expect(registry.evict(id)).toBe(true);
    await client.waitFor(({ type }) => type === 'GOAWAY');
    expect(registry.evict(id)).toBe(false);
    await until(() => client.isClosed);
    const body = client.frames
      .filter(({ type }) => type === 'DATA')
      .map(({ payload }) => String(payload))
      .join('');
    expect(body).toBe('part, and the rest');
    await until(() => ends.length > 0);
    expect(ends).toMatchObject([{ reason: 'draining', connection: { transport: 'http2' } }]);
  });

  it('ends a socket', async () => {
    const registry = createRegistry();
    const server = net.createServer((socket) => void watchSocket(socket.resume(), { registry, every: '1h' }));
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = await connectRaw((server.address() as net.AddressInfo).port);
    await until(() => registry.stats().connections === 1);
    expect(registry.evict('socket-1')).toBe(true);
    expect(await settles(client.closed)).toBe('end');
    await until(() => registry.stats().connections === 0);
    expect(registry.stats().ended).toEqual({ draining: 1 });
  });
});

describe('a WebSocket', () => {
  async function serveWebSockets(
    options: Parameters<typeof watchWebSockets>[1],
  ): Promise<{ server: WebSocketServer; registry: ConnectionRegistry; ends: ConnectionEnd[]; port: number }> {
    const registry = createRegistry();
    const ends: ConnectionEnd[] = [];
    registry.on('end', (end) => ends.push(end));
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => void server.close());
    watchWebSockets(server, { every: '1h', ...options, registry });
    await once(server, 'listening');
    return { server, registry, ends, port: (server.address() as net.AddressInfo).port };
  }

  it('that has reached its age is closed with 1012', async () => {
    const { port, ends } = await serveWebSockets({ maxAge: 100 });
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    expect([code, String(reason)]).toEqual([1012, 'service restart']);
    await until(() => ends.length > 0);
    expect(ends).toMatchObject([{ reason: 'draining' }]);
  });

  it('that ignores the close is cut', async () => {
    const { port, ends, registry, server } = await serveWebSockets({});
    const silent = await connectRaw(port);
    onTestFinished(() => silent.destroy());
    silent.send(
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await silent.waitFor('101');
    await until(() => registry.stats().connections === 1);
    expect(registry.evict('websocket-1')).toBe(true);
    // 0x88: close; its length; 1012 = 0x03f4.
    await silent.waitFor('\x88\x11\x03\xf4service restart');
    await settles(silent.closed);
    await until(() => ends.length > 0);
    expect(ends).toMatchObject([{ reason: 'draining' }]);
    await until(() => server.clients.size === 0);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
  });
});

describe('together with the drain of `lifecycle`', () => {
  it.each([bare, h2c])('each stream is told once, and counted once', async (carrier) => {
    const life = makeLife();
    const registry = createRegistry();
    const ends: ConnectionEnd[] = [];
    registry.on('end', (end) => ends.push(end));
    const handler = sse((stream) => void stream.send({ id: '1', data: 'first' }));
    const served = await serve(
      carrier,
      life as Middleware,
      heartbeat({ every: '1h', reconnectDelay: 100, registry }),
      handler,
    );
    life.attach(served.server);
    const readings = await Promise.all(Array.from({ length: 4 }, () => served.visit()));
    await until(() => readings.every(({ text }) => text.includes('first')));
    const streams = registry.connections().filter(({ transport }) => transport !== 'http2');
    // Two are on their way when the drain begins.
    for (const { id } of streams.slice(0, 2)) expect(registry.evict(id)).toBe(true);
    const report = await settles(life.drain());
    for (const reading of readings) {
      expect(await settles(reading.over)).toBe('aborted');
      expect(reading.text.match(/retry: \d+\n/g)).toHaveLength(1);
    }
    await until(() => registry.stats().connections === 0);
    const counted = ends.filter(({ connection }) => connection.transport !== 'http2');
    expect(counted.map(({ reason }) => reason)).toEqual(['draining', 'draining', 'draining', 'draining']);
    expect(new Set(counted.map(({ connection }) => connection.id)).size).toBe(4);
    expect(report.told.streams + report.finished.streams).toBe(4);
    expect(report).toMatchObject({ cut: { streams: 0, requests: 0 }, reason: 'complete' });
  });

  it('a WebSocket gets one close frame', async () => {
    const life = makeLife();
    const registry = createRegistry();
    const server = http.createServer();
    const wss = new WebSocketServer({ server });
    life.attach(server);
    life.attach(wss);
    watchWebSockets(wss, { every: '1h', registry });
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = await connectRaw(running.port);
    client.send(
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await client.waitFor('101');
    await until(() => registry.stats().connections === 1);
    const drained = life.drain();
    registry.evict('websocket-1');
    const report = await settles(drained);
    await settles(client.closed);
    expect(client.received.match(/service restart/g)).toHaveLength(1);
    expect(report.told.webSockets + report.finished.webSockets + report.cut.webSockets).toBe(1);
    await until(() => registry.stats().connections === 0);
    expect(registry.stats()).toMatchObject({ connections: 0, ended: { draining: 1 } });
  });

  it('a request that is neither a stream nor old is left alone', async () => {
    const site = await open(bare, { maxAge: 50 }, ({ res }) => {
      res.writeHead(200, { 'content-type': 'text/plain' }).write('a ');
      setTimeout(() => res.end('download'), 200);
    });
    const client = await site.dial();
    client.send(getRequest('/'));
    await client.waitFor('0\r\n\r\n');
    expect(parseChunked(client.received).chunks.join('')).toBe('a download');
    expect(site.ends).toEqual([]);
  });
});
