import http from 'node:http';
import http2 from 'node:http2';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import compression from 'compression';
import { EventSource } from 'eventsource';
import session from 'express-session';
import { Agent, fetch as undiciFetch } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  compress,
  contextOf,
  createRegistry,
  deadline,
  type EventStream,
  heartbeat,
  type HeartbeatOptions,
  type HttpRequest,
  jsonSeq,
  ndjson,
  pipeBody,
  type RegistryOptions,
  sse,
  StreamRefusedError,
  watchWebSockets,
} from '../../src/index.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { bare, type Carrier, carriers, http1Carriers, listen, type Middleware } from '../support/carriers.ts';
import type { Reading } from '../support/clients.ts';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

interface Site extends Served {
  readonly registry: Registry;
}

async function open(
  carrier: Carrier,
  limits: RegistryOptions,
  handlers: readonly Middleware[],
  options: HeartbeatOptions = {},
): Promise<Site> {
  const registry = new Registry(limits);
  const beats = heartbeat({ reconnectDelay: 50, retryAfter: '10s', ...options, registry }) as Middleware;
  const served = await serve(carrier, deadline() as Middleware, beats, ...handlers);
  return { ...served, registry };
}

/** Says hello, and stays. */
const quiet: Middleware = sse((stream) => void stream.send({ event: 'hello', data: 'hello' }));

const anything = { accept: '*/*' };

function expectUnavailable(reading: Reading): void {
  expect(reading.status).toBe(503);
  expect(reading.text).toBe('Too many streams are open. Try again later.\n');
  expect(Number(reading.headers['retry-after'])).toBeGreaterThanOrEqual(5);
  expect(Number(reading.headers['retry-after'])).toBeLessThanOrEqual(15);
  expect(reading.headers).toMatchObject({
    'cache-control': 'no-store',
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(reading.text.length),
  });
  expect(reading.headers['content-encoding']).toBe(undefined);
}

async function visitAnd(site: Served, headers: Record<string, string> = anything, path = '/'): Promise<Reading> {
  const reading = await settles(site.visit({ headers, path }));
  if (reading.status === 503) expect(await settles(reading.over)).toBe('end');
  else await until(() => reading.text !== '');
  return reading;
}

/** An event source at another address of this machine. Resolves with its first event. */
async function helloFrom(localAddress: string, { origin }: Served, { protocol }: Carrier): Promise<void> {
  if (protocol === 'http1') {
    const dispatcher = new Agent({ localAddress } as Agent.Options);
    const source = new EventSource(`${origin}/`, {
      fetch: (url, init) => undiciFetch(url, { ...(init as object), dispatcher }) as never,
    });
    onTestFinished(async () => {
      source.close();
      await dispatcher.destroy();
    });
    await new Promise((resolve) => source.addEventListener('hello', resolve));
    return;
  }
  const client = http2.connect(origin, { localAddress } as http2.ClientSessionOptions);
  onTestFinished(() => client.destroy());
  let text = '';
  client.request({ ':path': '/', accept: 'text/event-stream' }).on('data', (chunk: Buffer) => (text += String(chunk)));
  await until(
    () => text.includes('event: hello'),
    () => text,
  );
}

describe.each(carriers)('a limit on $name', (carrier) => {
  it('counts what becomes a stream, whatever its request asked for, and leaves room for others', async () => {
    const site = await open(carrier, { maxPerClient: 2, maxConnections: 4 }, [quiet]);
    const readings: Reading[] = [];
    for (let count = 0; count < 20; count += 1) readings.push(await visitAnd(site));
    expect(readings.map(({ status }) => status)).toEqual([200, 200, ...new Array<number>(18).fill(503)]);
    readings.slice(2).forEach(expectUnavailable);
    expect(site.registry.stats().refused).toEqual({ total: 0, client: 18 });
    await settles(helloFrom('127.0.0.2', site, carrier));
    expect(site.errors).toEqual([]);
    for (const reading of readings) reading.destroy();
    const transport = carrier.protocol === 'http1' ? 'http1' : 'http2-stream';
    await until(() => site.registry.stats().transports[transport]?.healthy === 1);
    expect((await visitAnd(site)).status).toBe(200);
  });

  it.each([
    [
      'an event stream',
      (seen: EventStream[]): Middleware =>
        sse(async (stream) => {
          seen.push(stream);
          for (let id = 0; ; id += 1) await stream.send({ id: String(id), data: 'secret' });
        }),
    ],
    [
      'NDJSON',
      (): Middleware =>
        ndjson(async function* () {
          for (;;) yield await Promise.resolve({ secret: true });
        }),
    ],
    [
      'a JSON sequence',
      (): Middleware =>
        jsonSeq(async function* () {
          for (;;) yield await Promise.resolve({ secret: true });
        }),
    ],
    [
      'a body that is piped',
      (): Middleware => async (req, res) => {
        (res as http.ServerResponse).setHeader('Content-Type', 'text/event-stream');
        await expect(
          pipeBody(
            (async function* () {
              for (;;) yield await Promise.resolve('data: secret\n\n');
            })(),
            req,
            res,
          ),
        ).rejects.toBeInstanceOf(StreamRefusedError);
      },
    ],
    [
      'one by `pipeline`',
      (): Middleware => async (_req, response) => {
        const res = response as http.ServerResponse;
        res.setHeader('Content-Type', 'text/event-stream');
        const source = new Readable({ read: () => void setImmediate(() => source.push('data: secret\n\n')) });
        await expect(pipeline(source, res)).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
        expect(source.destroyed).toBe(true);
      },
    ],
    [
      'one by `res.write`',
      (): Middleware => (_req, response) => {
        const res = response as http.ServerResponse;
        res.writeHead(200, 'Fine', { 'Content-Type': 'text/event-stream', ETag: '"1"', 'X-Own': 'kept' });
        const write = (): void => {
          if (!res.destroyed && res.write('data: secret\n\n')) setImmediate(write);
        };
        write();
        setTimeout(() => res.end('data: secret\n\n'), 20);
        setTimeout(() => res.destroy(), 40);
      },
    ],
  ])('refuses %s at its head: nothing of its handler is sent, and it hears of that', async (_name, makeHandler) => {
    const streams: EventStream[] = [];
    const reasons: unknown[] = [];
    const handler = makeHandler(streams);
    const site = await open(carrier, { maxConnections: 1 }, [
      (req, res, next) => {
        if (req.url === '/first') return quiet(req, res, next);
        const { signal } = contextOf(req);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return handler(req, res, next);
      },
    ]);
    expect((await visitAnd(site, anything, '/first')).status).toBe(200);
    const refused = await visitAnd(site);
    expectUnavailable(refused);
    expect(refused.headers['etag']).toBe(undefined);
    await until(() => reasons.length === 1);
    expect(reasons[0]).toBeInstanceOf(StreamRefusedError);
    expect(reasons[0]).toMatchObject({ reason: 'draining', limit: 'total', code: 'ERR_SLUICE_STREAM_REFUSED' });
    for (const stream of streams) {
      expect(stream.state).toBe('closed');
      expect(stream.signal.reason).toBe(reasons[0]);
      await expect(stream.send('late')).rejects.toMatchObject({ reason: 'draining' });
    }
    expect(site.registry.stats()).toMatchObject({ refused: { total: 1, client: 0 } });
    expect(site.errors).toEqual([]);
  });

  it.each([
    ['an event stream', sse((stream) => void stream.send('secret'), { headers: { 'X-Own': 'kept' } })],
    [
      'a stream by hand',
      ((_req, response) => {
        const res = response as http.ServerResponse;
        res.setHeader('X-Own', 'kept');
        res.writeHead(200, { 'Content-Type': 'text/event-stream', ETag: '"1"' });
        res.write('data: secret\n\n');
        res.end('data: secret\n\n');
      }) satisfies Middleware,
    ],
    ['NDJSON', ndjson((stream) => void stream.send('secret'), { headers: { 'X-Own': 'kept' } })],
  ])('tells an event source when to come back, whose handler had begun before: %s', async (_name, handler) => {
    const reasons: unknown[] = [];
    const site = await open(carrier, { maxConnections: 1 }, [
      (req, res, next) => {
        const { signal } = contextOf(req);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        // Another stream begins.
        site.registry.count(undefined, '192.0.2.1');
        return handler(req, res, next);
      },
    ]);
    const refused = await settles(site.visit({ headers: { accept: 'text/event-stream' } }));
    expect(await settles(refused.over)).toBe('aborted');
    expect(refused.status).toBe(200);
    expect(refused.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-own': 'kept',
    });
    expect(refused.headers['etag']).toBe(undefined);
    const [, delay] = /^retry: (\d+)\n$/.exec(refused.text) ?? expect.unreachable(refused.text);
    expect(Number(delay)).toBeGreaterThanOrEqual(25);
    expect(Number(delay)).toBeLessThanOrEqual(75);
    await until(() => reasons.length === 1);
    expect(reasons[0]).toBeInstanceOf(StreamRefusedError);
    const { connections, transports, refused: counts } = site.registry.stats();
    expect([connections, counts.total]).toEqual([transports.http2?.healthy ?? 0, 1]);
    expect(site.errors).toEqual([]);
  });

  it('does not count a request for an event stream that is none yet, or never', async () => {
    const held: http.ServerResponse[] = [];
    const site = await open(carrier, { maxConnections: 1 }, [
      (req, res, next) => {
        if (req.url !== '/slow') return quiet(req, res, next);
        held.push(res as http.ServerResponse);
        return undefined;
      },
    ]);
    const asking = { accept: 'text/event-stream' };
    const slow = [site.visit({ path: '/slow', headers: asking }), site.visit({ path: '/slow', headers: asking })];
    await until(() => held.length === 2);
    expect((await visitAnd(site, asking)).text).toContain('hello');
    for (const res of held) res.end('{}');
    for (const reading of await settles(Promise.all(slow))) expect(reading.status).toBe(200);
    expect(site.registry.stats().refused).toEqual({ total: 0, client: 0 });
  });

  it.each([
    ['encoded nearer to the handler', { 'content-encoding': 'x-own' }, {}],
    ['with a digest', { 'repr-digest': 'x' }, {}],
    ['that the filter leaves out', {}, { filter: () => false }],
  ] as const)('counts a stream without heartbeats: %s', async (_name, fields, options) => {
    const site = await open(
      carrier,
      { maxConnections: 1 },
      [
        (_req, response) => {
          const res = response as http.ServerResponse;
          res.writeHead(200, { 'content-type': 'text/event-stream', ...fields });
          res.write('data: hello\n\n');
        },
      ],
      options,
    );
    const first = await visitAnd(site);
    expect(first.status).toBe(200);
    expectUnavailable(await visitAnd(site));
    first.destroy();
    for (let tries = 0; ; tries += 1) {
      const next = await visitAnd(site);
      if (next.status === 200) break;
      expect(tries).toBeLessThan(1000);
    }
  });

  it('has its seat back when the head of a stream fails, and the refusal is undone when its head does', async () => {
    let failures = 2;
    const breaking: Middleware = (_req, response, next) => {
      const res = response as http.ServerResponse;
      const { writeHead } = res;
      res.writeHead = function (this: http.ServerResponse, ...args: unknown[]): never {
        if (res.getHeader('x-breaks') !== undefined && (failures -= 1) >= 0) throw new Error('broken');
        return writeHead.apply(this, args as never) as never;
      };
      next();
    };
    const registry = createRegistry({ maxConnections: 1 });
    const served = await serve(carrier, breaking, heartbeat({ registry }) as Middleware, (req, response, next) => {
      const res = response as http.ServerResponse;
      if (req.url !== '/broken') return quiet(req, res, next);
      res.setHeader('X-Breaks', 'yes');
      res.setHeader('ETag', '"1"');
      try {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
      } catch {
        res.removeHeader('X-Breaks');
        res.statusCode = 418;
        res.setHeader('Content-Type', 'text/plain');
        res.end(String(res.getHeader('etag')));
      }
      return undefined;
    });
    const broken = async (): Promise<void> => {
      const reading = await settles(served.visit({ path: '/broken' }));
      await settles(reading.over);
      expect([reading.status, reading.text, reading.headers['retry-after']]).toEqual([418, '"1"', undefined]);
    };
    await broken();
    const first = await visitAnd(served);
    expect(first.status).toBe(200);
    await broken();
    expect(registry.stats().refused.total).toBe(1);
    expect(failures).toBe(0);
  });

  it('goes with other middlewares on the way', async () => {
    const saved: string[] = [];
    const store = Object.assign(new session.MemoryStore(), {
      set(id: string, value: unknown, callback?: () => void) {
        saved.push(id);
        setImmediate(() => callback?.());
        void value;
      },
    });
    const sessions = session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware;
    const inner = compression() as unknown as Middleware;
    const site = await open(carrier, { maxConnections: 1 }, [
      compress(),
      inner,
      sessions,
      (_req, response) => {
        const res = response as http.ServerResponse & { flush?: () => void };
        res.setHeader('Content-Type', 'text/event-stream');
        res.write('data: hello\n\n');
        res.flush?.();
      },
    ]);
    const coded = { accept: '*/*', 'accept-encoding': 'gzip' };
    const first = await visitAnd(site, coded);
    expect([first.status, first.headers['content-encoding']]).toEqual([200, 'gzip']);
    const refused = await visitAnd(site, coded);
    expectUnavailable(refused);
    // By the `end` that a refusal calls as a handler would.
    expect(saved).toHaveLength(1);
    expect(site.errors).toEqual([]);
  });
});

describe('a refused stream', () => {
  it.each(http1Carriers)('leaves its connection for the next request: $name', async (carrier) => {
    const site = await open(carrier, { maxConnections: 1 }, [
      (req, res, next) => {
        if (req.url === '/next') (res as http.ServerResponse).end('next');
        else return quiet(req, res, next);
        return undefined;
      },
    ]);
    const [first, second] = [await site.dial(), await site.dial()];
    first.send(getRequest('/'));
    await first.waitFor('hello');
    second.send(getRequest('/') + getRequest('/next'));
    await second.waitFor(/ 503 [^]*Try again later\.\n[^]* 200 OK[^]*next$/);
  });

  it('is closed without an end for an event source, over HTTP/1.1', async () => {
    const site = await open(bare, { maxConnections: 1 }, [
      (req, res, next) => {
        site.registry.count(undefined, '192.0.2.1');
        return quiet(req, res, next);
      },
    ]);
    const client = await connectRaw(site.port);
    onTestFinished(() => client.destroy());
    client.send(getRequest('/', { Accept: 'text/event-stream' }));
    expect(await settles(client.closed)).toBe('end');
    expect(parseChunked(client.received).complete).toBe(false);
  });

  it('is refused by the registry that is full, where more than one is mounted, and counts in none', async () => {
    const [outer, inner] = [createRegistry({ maxConnections: 1 }), createRegistry({ maxConnections: 2 })];
    const outerBeats = heartbeat({ registry: outer, retryAfter: '10s' }) as Middleware;
    const innerBeats = heartbeat({ registry: inner, retryAfter: '100s' }) as Middleware;
    const served = await serve(bare, outerBeats, innerBeats, quiet);
    const first = await visitAnd(served);
    expectUnavailable(await visitAnd(served));
    expect([outer.stats().refused.total, inner.stats().refused.total]).toEqual([1, 0]);
    first.destroy();
    await until(() => inner.stats().connections === 0);
    await turns();
    expect((await visitAnd(served)).status).toBe(200);
  });

  it('is one of 64 bits of IPv6, whichever address of them it has', () => {
    const registry = new Registry({ maxPerClient: 1 });
    const from = (remoteAddress: string): HttpRequest => ({ socket: { remoteAddress } }) as HttpRequest;
    registry.count(from('2001:db8:0:1::1'));
    registry.count(from('::ffff:192.0.2.1'));
    const full = ['2001:db8:0:1::2', '2001:db8:0:1:ffff::', '192.0.2.1'];
    const free = ['2001:db8:0:2::1', '192.0.2.2', '::1'];
    for (const address of full) expect(registry.findLimit(from(address))).toBe('client');
    for (const address of free) expect(registry.findLimit(from(address))).toBe(undefined);
  });
});

describe('a WebSocket', () => {
  it('that was there before it was watched counts, for as long as it is open and watched', async () => {
    const registry = new Registry({ maxConnections: 2 });
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    const running = await listen(server);
    const dial = async (): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${running.port}/`);
      socket.on('error', () => undefined);
      await new Promise((resolve) => socket.on('open', resolve));
      return socket;
    };
    onTestFinished(() => {
      for (const client of sockets.clients) client.terminate();
      return running.close();
    });
    const [first] = [await dial(), await dial()];
    const unwatch = watchWebSockets(sockets, { registry });
    const codes: number[] = [];
    const third = await dial();
    third.on('close', (code) => codes.push(code));
    await until(() => codes.length === 1);
    expect(codes).toEqual([1013]);
    first.terminate();
    await until(() => registry.stats().connections === 1);
    await dial();
    await until(() => registry.stats().connections === 2);
    unwatch();
    watchWebSockets(sockets, { registry });
    expect(registry.findLimit({ socket: {} } as HttpRequest)).toBe('total');
    expect(registry.stats()).toMatchObject({ connections: 2, refused: { total: 1 } });
  });
});
