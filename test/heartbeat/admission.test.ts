import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { EventSource } from 'eventsource';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import {
  type ConnectionRegistry,
  createRegistry,
  heartbeat,
  type HeartbeatErrorMessage,
  type HeartbeatOptions,
  type HttpRequest,
  type RegistryOptions,
  sse,
  watchWebSockets,
} from '../../src/index.ts';
import { bare, type Carrier, express5, h2c, listen, type Middleware } from '../support/carriers.ts';
import { connectRaw, getRequest, parseChunked, type RawClient } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, frame, getFrame } from './frames.ts';

const asking = { accept: 'text/event-stream' };

/** Says hello, and stays. */
const quiet = sse((stream) => {
  void stream.send({ event: 'hello', data: 'hello' });
});

interface Site extends Served {
  readonly registry: ConnectionRegistry;
  readonly errors: unknown[];
}

async function open(
  limits: RegistryOptions,
  handler: Middleware = quiet,
  { carrier = bare, ...options }: HeartbeatOptions & { carrier?: Carrier } = {},
): Promise<Site> {
  const registry = createRegistry(limits);
  const errors: unknown[] = [];
  const listener = (message: unknown): void => void errors.push((message as HeartbeatErrorMessage).error);
  subscribe('sluice:heartbeat:error', listener);
  onTestFinished(() => void unsubscribe('sluice:heartbeat:error', listener));
  const served = await serve(carrier, heartbeat({ reconnectDelay: 50, ...options, registry }), handler);
  return { ...served, registry, errors };
}

/** Asks for an event stream by hand, and waits for its first event, or for the close. */
async function ask(site: Site, fields: Record<string, string> = {}): Promise<RawClient> {
  const client = await site.dial();
  client.send(getRequest('/', { Accept: 'text/event-stream', ...fields }));
  await client.waitFor(/event: hello|retry: /);
  return client;
}

async function isIn(site: Site, fields?: Record<string, string>): Promise<boolean> {
  return (await ask(site, fields)).received.includes('hello');
}

/** Waits until somebody can come in again. */
async function hasRoom(site: Site, fields?: Record<string, string>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const client = await ask(site, fields);
    const { received } = client;
    client.destroy();
    if (received.includes('hello')) return;
    if (tries > 1000) throw new Error(`there is no room: ${JSON.stringify(site.registry.stats())}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('a newcomer where there is no room', () => {
  it('is told when to come back, by a stream that does not end', async () => {
    const site = await open({ maxConnections: 1 });
    await ask(site);
    const refused = await ask(site);
    expect(await settles(refused.closed)).toBe('end');
    const { head, chunks, complete } = parseChunked(refused.received);
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(/content-type: text\/event-stream/i);
    expect(chunks.join('')).toMatch(/^(:ok\n)?retry: \d+\n$/);
    const delay = Number(/retry: (\d+)/.exec(refused.received)![1]);
    expect(delay).toBeGreaterThanOrEqual(25);
    expect(delay).toBeLessThanOrEqual(75);
    expect(complete).toBe(false);
    expect(site.registry.stats()).toMatchObject({ connections: 1, refused: { total: 1, client: 0 } });
  });

  it('comes back by itself, and gets in once there is room: an EventSource', async () => {
    const site = await open({ maxConnections: 1 });
    const first = await ask(site);
    const source = new EventSource(`${site.origin}/`);
    onTestFinished(() => source.close());
    const hello = new Promise((resolve) => source.addEventListener('hello', resolve));
    let greeted = false;
    void hello.then(() => (greeted = true));
    await until(() => site.registry.stats().refused.total >= 3);
    expect(greeted).toBe(false);
    first.destroy();
    await settles(hello);
    await until(() => site.registry.stats().connections === 1);
  });

  it.each(['POST', 'PUT', 'DELETE'])('is answered 503 where it asks for a stream by %s', async (method) => {
    const site = await open({ maxConnections: 1 }, quiet, { retryAfter: '10s' });
    const first = await site.visit({ method, headers: asking });
    await until(() => first.text.includes('hello'));
    const refused = await site.visit({ method, headers: asking });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(5);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(15);
    expect(refused.headers['cache-control']).toBe('no-store');
    expect(await settles(refused.over)).toBe('end');
    expect(refused.text).toContain('Try again later');
    first.destroy();
    await hasRoom(site);
  });

  it('is anybody whose response becomes a stream, whatever it asked for; other requests are no matter', async () => {
    const site = await open({ maxConnections: 1 }, (req, res, next) => {
      if (req.url !== '/page') return quiet(req, res, next);
      (res as http.ServerResponse).end('page');
      return undefined;
    });
    await ask(site);
    const accepts = ['*/*', 'text/html, */*;q=0.1', 'text/event-stream;q=0, */*'];
    const others: Record<string, string>[] = [{}, ...accepts.map((accept) => ({ accept }))];
    for (const [index, headers] of others.entries()) {
      const other = await site.visit({ headers });
      expect(other.status).toBe(503);
      expect(other.text).not.toContain('hello');
      expect(site.registry.stats().refused).toEqual({ total: index + 1, client: 0 });
      const page = await site.visit({ path: '/page', headers });
      await settles(page.over);
      expect([page.status, page.text]).toEqual([200, 'page']);
    }
    expect(site.registry.stats().refused).toEqual({ total: others.length, client: 0 });
  });

  it('is refused over HTTP/2, on a session that stays', async () => {
    const site = await open({ maxConnections: 1 }, quiet, { carrier: h2c });
    const session = http2.connect(site.origin);
    onTestFinished(() => session.destroy());
    const first = session.request({ ':path': '/', ...asking });
    await once(first, 'data');
    const second = session.request({ ':path': '/', ...asking });
    let text = '';
    second.on('error', () => undefined).on('data', (chunk: Buffer) => (text += String(chunk)));
    await until(() => second.closed);
    expect(text).toMatch(/retry: \d+\n$/);
    // INTERNAL_ERROR: the body was not complete.
    expect(second.rstCode).toBe(2);
    const third = session.request({ ':path': '/', ':method': 'POST', ...asking });
    const [fields] = (await once(third, 'response')) as [http2.IncomingHttpHeaders];
    expect(fields[':status']).toBe(503);
    expect(session.destroyed).toBe(false);
    first.close(http2.constants.NGHTTP2_CANCEL);
    await until(() => site.registry.stats().transports['http2-stream']?.healthy === 0);
    const last = session.request({ ':path': '/', ...asking });
    let greeting = '';
    last.on('data', (chunk: Buffer) => (greeting += String(chunk)));
    await until(
      () => greeting.includes('hello'),
      () => greeting,
    );
  });
});

describe('those who are in', () => {
  it('stay, however many come', async () => {
    const site = await open({ maxConnections: 2, maxPerClient: 2 });
    const inside = [await ask(site), await ask(site)];
    const refused = await Promise.all(Array.from({ length: 20 }, () => ask(site)));
    await Promise.all(refused.map(({ closed }) => settles(closed)));
    for (const client of inside) expect(client.socket.destroyed).toBe(false);
    expect(refused.every(({ received }) => received.includes('retry: '))).toBe(true);
    expect(site.registry.stats()).toMatchObject({ connections: 2, refused: { total: 20 }, ended: {} });
  });

  it('are counted by client', async () => {
    const site = await open({ maxPerClient: 1, clientKey: (req) => String(req.headers['x-user']) });
    expect(await isIn(site, { 'X-User': 'ann' })).toBe(true);
    expect(await isIn(site, { 'X-User': 'ann' })).toBe(false);
    expect(await isIn(site, { 'X-User': 'bob' })).toBe(true);
    expect(await isIn(site, { 'X-User': 'bob' })).toBe(false);
    expect(site.registry.stats().refused).toEqual({ total: 0, client: 2 });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('who?');
      },
      1,
    ],
    ['is no text', () => 7 as unknown as string, 0],
  ] as const)('are counted by address where the key %s', async (_name, clientKey, errors) => {
    const site = await open({ maxPerClient: 1, clientKey });
    expect(await isIn(site)).toBe(true);
    expect(await isIn(site)).toBe(false);
    expect(site.errors).toHaveLength(errors * 2);
    if (errors) expect(site.errors[0]).toMatchObject({ message: 'who?' });
  });

  it('have one seat each, however often `heartbeat` is mounted', async () => {
    const registry = createRegistry({ maxConnections: 1 });
    const served = await serve(bare, heartbeat({ registry }), heartbeat({ registry }), quiet);
    const site = { ...served, registry, errors: [] };
    expect(await isIn(site)).toBe(true);
    expect(await isIn(site)).toBe(false);
    expect(registry.stats()).toMatchObject({ connections: 1, refused: { total: 1 } });
  });

  it('are counted by a registry with limits behind one without', async () => {
    const registry = createRegistry({ maxConnections: 1 });
    const served = await serve(bare, heartbeat(), heartbeat({ registry }), quiet);
    const site = { ...served, registry, errors: [] };
    expect(await isIn(site)).toBe(true);
    expect(await isIn(site)).toBe(false);
  });
});

describe('a seat', () => {
  type Handler = (req: HttpRequest, res: http.ServerResponse) => unknown;
  const head = (res: http.ServerResponse): http.ServerResponse =>
    res.writeHead(200, { 'content-type': 'text/event-stream' });
  const hello: Handler = (_req, res) => head(res).write('event: hello\n\n');

  const endings: readonly (readonly [name: string, handler: Handler])[] = [
    ['ends at once', (_req, res) => head(res).end('event: hello\n\n')],
    [
      'ends later',
      (_req, res) => {
        hello(_req, res);
        setTimeout(() => res.end(), 20);
      },
    ],
    [
      'is cut',
      (_req, res) => {
        hello(_req, res);
        setTimeout(() => res.destroy(), 20);
      },
    ],
    [
      'is cut at once',
      (_req, res) => {
        hello(_req, res);
        res.destroy();
      },
    ],
    ['is cut before its head', (_req, res) => res.destroy()],
    [
      'fails',
      (_req, res) => {
        head(res);
        throw new Error('broken');
      },
    ],
    [
      'fails before its head',
      () => {
        throw new Error('broken');
      },
    ],
    ['is no stream at all', (_req, res) => res.writeHead(404).end()],
    ['is without a body', (_req, res) => res.writeHead(204).end()],
  ];

  it.each(endings)('is given back when a response %s', async (_name, handler) => {
    const site = await open(
      { maxConnections: 1 },
      (req, res) =>
        void (req.url === '/' ? hello(req, res as http.ServerResponse) : handler(req, res as http.ServerResponse)),
      { carrier: express5 },
    );
    for (let round = 0; round < 3; round += 1) {
      const client = await site.dial();
      client.send(getRequest('/ending', { Accept: 'text/event-stream', Connection: 'close' }));
      await settles(client.closed);
      await hasRoom(site);
    }
  });

  it('is given back when the client aborts at any point', async () => {
    const site = await open({ maxConnections: 1 }, hello as Middleware);
    const request = getRequest('/', { Accept: 'text/event-stream' });
    for (const at of [1, request.length - 1, request.length]) {
      const client = await site.dial();
      client.send(request.slice(0, at));
      client.socket.resetAndDestroy();
      await hasRoom(site);
    }
  });

  it('is given back by a stream that is sent away', async () => {
    const site = await open({ maxConnections: 1 });
    const client = await ask(site);
    site.registry.evict(site.registry.connections()[0]!.id);
    await settles(client.closed);
    await hasRoom(site);
  });

  it('is given back by requests that wait for their turn on a connection that is cut', async () => {
    const site = await open({ maxConnections: 3 }, (req, res) =>
      req.url === '/never' ? undefined : hello(req, res as http.ServerResponse),
    );
    const client = await site.dial();
    client.send(getRequest('/never') + getRequest('/', { Accept: 'text/event-stream' }).repeat(3));
    await until(() => site.registry.stats().connections === 3);
    expect(await isIn(site)).toBe(false);
    client.socket.resetAndDestroy();
    await hasRoom(site);
    await until(() => site.registry.stats().connections === 0);
    for (let count = 0; count < 3; count += 1) expect(await isIn(site)).toBe(true);
  });

  it.each(['a reset', 'a reset without an error', 'a connection that is cut', 'a connection that is reset'])(
    'is given back after %s over HTTP/2',
    async (how) => {
      const site = await open(
        { maxConnections: 1 },
        (_req, res) =>
          void (res as http.ServerResponse)
            .writeHead(200, { 'content-type': 'text/event-stream' })
            .write('event: hello\n\n'),
        { carrier: h2c },
      );
      const askFrames = async (): Promise<{ client: ReturnType<typeof connectFrames>; isIn: boolean }> => {
        const client = connectFrames(site.port);
        client.send(getFrame(1, '/', asking));
        const { payload } = await client.waitFor(
          ({ type, payload }) => type === 'DATA' && payload.length > 0 && /hello|retry/.test(String(payload)),
        );
        return { client, isIn: String(payload).includes('hello') };
      };
      const { client } = await askFrames();
      expect((await askFrames()).isIn).toBe(false);
      const code = Buffer.alloc(4);
      if (how === 'a reset') code.writeUInt32BE(8);
      if (how.startsWith('a reset')) client.send(frame('RST_STREAM', 0, 1, code));
      else if (how.endsWith('cut')) client.destroy();
      else client.reset();
      for (let tries = 0; !(await askFrames()).isIn; tries += 1) {
        if (tries > 1000) throw new Error('there is no room');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await until(() => site.registry.stats().transports['http2-stream']?.healthy === 1);
    },
  );
});

describe('a WebSocket', () => {
  async function serveBoth(
    limits: RegistryOptions,
  ): Promise<{ registry: ConnectionRegistry; port: number; server: WebSocketServer; origin: string }> {
    const registry = createRegistry(limits);
    const beats = heartbeat({ registry, reconnectDelay: 50 });
    const http1 = http.createServer((req, res) => beats(req, res, () => void quiet(req, res, () => undefined)));
    const server = new WebSocketServer({ server: http1 });
    watchWebSockets(server, { registry });
    const running = await listen(http1);
    onTestFinished(() => {
      for (const client of server.clients) client.terminate();
      return running.close();
    });
    return { registry, port: running.port, server, origin: running.origin };
  }

  function dial(port: number): { socket: WebSocket; closed: Promise<[number, string]> } {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    onTestFinished(() => socket.terminate());
    socket.on('error', () => undefined);
    return { socket, closed: once(socket, 'close').then(([code, reason]) => [code as number, String(reason)]) };
  }

  it('that comes when there is no room is closed with 1013', async () => {
    const { registry, port, server } = await serveBoth({ maxConnections: 1 });
    const first = dial(port);
    await once(first.socket, 'open');
    const second = dial(port);
    expect(await settles(second.closed)).toEqual([1013, 'try again later']);
    expect(first.socket.readyState).toBe(WebSocket.OPEN);
    expect(registry.stats()).toMatchObject({ connections: 1, refused: { total: 1 } });
    await until(() => server.clients.size === 1);
    first.socket.terminate();
    await until(() => registry.stats().connections === 0);
    const third = dial(port);
    await once(third.socket, 'open');
    await until(() => registry.stats().connections === 1);
  });

  it('shares its room with event streams', async () => {
    const { registry, port } = await serveBoth({ maxConnections: 2, maxPerClient: 2 });
    const socket = dial(port);
    await once(socket.socket, 'open');
    const stream = await connectRaw(port);
    onTestFinished(() => stream.destroy());
    stream.send(getRequest('/', { Accept: 'text/event-stream' }));
    await stream.waitFor('hello');
    expect((await settles(dial(port).closed))[0]).toBe(1013);
    socket.socket.close();
    await settles(socket.closed);
    await until(() => registry.stats().connections === 1);
    const next = dial(port);
    await once(next.socket, 'open');
    await until(() => registry.stats().connections === 2);
    expect(next.socket.readyState).toBe(WebSocket.OPEN);
  });
});
