import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Registry } from '../../src/internal/health/registry.ts';
import {
  type ConnectionEnd,
  type ConnectionRegistry,
  createRegistry,
  encodeHeartbeat,
  heartbeat,
  type HeartbeatErrorMessage,
  HeartbeatParser,
  sse,
  watchHttp2,
  type WatchHttp2Options,
  watchSocket,
  watchWebSockets,
} from '../../src/index.ts';
import { bare, carriers, listen, type Middleware } from '../support/carriers.ts';
import { spawnNode } from '../support/netns.ts';
import { connectRaw, getRequest } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, frame, type FrameClient, getFrame } from './frames.ts';
import { TurnClock } from './turn-clock.ts';

// An uncaught exception, or an unhandled rejection, fails the run: each of these tests is one for
// that, too.

let errors: unknown[];

beforeEach(() => {
  errors = [];
  const listener = (message: unknown): void => void errors.push((message as HeartbeatErrorMessage).error);
  subscribe('sluice:heartbeat:error', listener);
  onTestFinished(() => void unsubscribe('sluice:heartbeat:error', listener));
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function listenersOf(emitter: NodeJS.EventEmitter): Record<string, number> {
  return Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]));
}

/** Numbers that are alike in each run. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function garbage(length: number, seed: number): Buffer {
  const random = makeRandom(seed);
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

function repeat(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
}

const noises: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['random bytes', garbage(1024 * 1024, 7)],
  ['nothing but 0xaa', Buffer.alloc(1024 * 1024, 0xaa)],
  ['beginnings of heartbeats', Buffer.from('aa010000'.repeat(256 * 1024), 'hex')],
];

function end(registry: ConnectionRegistry): ConnectionEnd[] {
  const ends: ConnectionEnd[] = [];
  registry.on('end', (each) => ends.push(each));
  return ends;
}

describe('HTTP/2', () => {
  interface Site {
    readonly clock: TurnClock;
    readonly registry: ConnectionRegistry;
    readonly server: http2.Http2Server;
    readonly sessions: http2.ServerHttp2Session[];
    readonly ends: ConnectionEnd[];
    readonly undo: () => void;
    dial(): FrameClient;
  }

  async function open(options: WatchHttp2Options = {}): Promise<Site> {
    const clock = new TurnClock();
    const registry = new Registry({}, clock);
    const server = http2.createServer((_req, res) => void res.writeHead(200).write('open'));
    const sessions: http2.ServerHttp2Session[] = [];
    server.on('session', (session) => {
      sessions.push(session);
      session.on('error', () => undefined);
    });
    const undo = watchHttp2(server, { every: 20, jitter: 0, minInterval: 0, whileIdle: true, ...options, registry });
    const running = await listen(server);
    onTestFinished(() => running.close());
    return { clock, registry, server, sessions, ends: end(registry), undo, dial: () => connectFrames(running.port) };
  }

  it('is not asked any more once its session is destroyed', async () => {
    const site = await open({ every: 2 });
    for (let round = 0; round < 30; round += 1) {
      const client = site.dial();
      await until(() => site.sessions.length === round + 1);
      const session = site.sessions[round]!;
      if (round % 3 === 0) await client.waitFor(({ type }) => type === 'PING');
      session.destroy(round % 2 ? new Error('enough') : undefined);
    }
    await until(() => site.registry.stats().connections === 0);
    expect(errors).toEqual([]);
    expect(site.ends).toHaveLength(30);
    // That of the server, which stays.
    for (const session of site.sessions)
      expect([session.listenerCount('stream'), session.listenerCount('goaway')]).toEqual([1, 0]);
  });

  it('with a `ping` that throws, or says no, tells of it and does not crash', async () => {
    const site = await open();
    site.server.once('session', (session: http2.ServerHttp2Session) => {
      session.ping = () => {
        throw new Error('destroyed meanwhile');
      };
    });
    site.dial();
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([{ message: 'destroyed meanwhile' }]);
    await until(() => site.registry.stats().connections === 0);
    site.server.once('session', (session: http2.ServerHttp2Session) => {
      session.ping = () => false;
    });
    const client = site.dial();
    await until(() => site.registry.stats().connections === 1);
    await pause(200);
    expect(client.isClosed).toBe(false);
    expect(site.registry.stats().heartbeats).toBe(0);
    client.destroy();
    await until(() => site.registry.stats().connections === 0);
  });

  it('pings a client that asked for calm half as often on its next session', async () => {
    const site = await open({ every: 10, minInterval: 100 });
    const pingedAt: number[][] = [];
    site.server.on('session', (session: http2.ServerHttp2Session) => {
      const times: number[] = [];
      pingedAt.push(times);
      const ping = session.ping.bind(session) as (...args: unknown[]) => boolean;
      session.ping = (...args: unknown[]) => {
        times.push(site.clock.now());
        return ping(...args);
      };
    });
    for (let round = 0; round < 3; round += 1) {
      const client = site.dial();
      for (let count = 0; count < 3; count += 1) {
        await until(() => client.pings.length > count);
        client.answer(client.pings[count]!);
      }
      const gaps = pingedAt[round]!.slice(1).map((at, index) => at - pingedAt[round]![index]!);
      for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(100 * 2 ** round);
      const payload = Buffer.alloc(8);
      payload.writeUInt32BE(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 4);
      client.send(frame('GOAWAY', 0, 0, payload));
      await until(() => site.registry.stats().connections === 0);
    }
  });

  const floods: Readonly<Record<string, Buffer>> = {
    'answers without a question': repeat(10_000, () => frame('PING', 1, 0, Buffer.alloc(8))),
    PINGs: repeat(10_000, () => frame('PING', 0, 0, Buffer.alloc(8))),
    'answers that are too long': repeat(100, () => frame('PING', 1, 0, Buffer.alloc(9))),
    GOAWAYs: repeat(10_000, () => frame('GOAWAY', 0, 0, Buffer.alloc(8))),
    resets: repeat(1000, (index) =>
      Buffer.concat([getFrame(2 * index + 1, '/'), frame('RST_STREAM', 0, 2 * index + 1, Buffer.alloc(4))]),
    ),
    garbage: garbage(100_000, 3),
    'a frame that is too long': frame('DATA', 0, 1, Buffer.alloc(100_000)),
  };

  it('bears a flood of whatever comes, and finds the sessions that Node forgets about', async () => {
    // By PINGs alone: what the kernel knows is not asked.
    const site = await open({ every: 50, readDeadline: 200, grace: 200, ackProbe: false });
    const other = site.dial();
    let answered = 0;
    const timer = setInterval(() => {
      for (; answered < other.pings.length; answered += 1) other.answer(other.pings[answered]!);
    }, 10);
    onTestFinished(() => clearInterval(timer));
    for (const bytes of Object.values(floods)) {
      const client = site.dial();
      await client.waitFor(({ type }) => type === 'PING');
      client.send(bytes);
      // Of some errors of framing Node does not tell, nor does it close the session: it is silent, and asked.
      setTimeout(() => client.destroy(), 200);
    }
    // It sends other frames, and no answers, and then nothing.
    const mute = site.dial();
    await mute.waitFor(({ type }) => type === 'PING');
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(1);
    for (let count = 0; count < 10; count += 1) {
      mute.send(frame('WINDOW_UPDATE', 0, 0, credit));
      await pause(50);
    }
    expect(mute.isClosed).toBe(false);
    await until(
      () => site.registry.stats().connections === 1,
      () => JSON.stringify(site.registry.connections()),
      40_000,
    );
    await until(() => mute.isClosed);
    expect(mute.pings).toHaveLength(1);
    expect(site.ends).toHaveLength(Object.keys(floods).length + 1);
    expect(site.registry.stats().ended['heartbeat-timeout']).toBeGreaterThanOrEqual(1);
    expect(other.isClosed).toBe(false);
    expect(answered).toBeGreaterThan(5);
    expect(errors).toEqual([]);
    site.undo();
    expect(site.registry.stats()).toMatchObject({ connections: 0, unresponsive_ratio: 0, avg_heartbeat_rt: null });
  });
});

describe('WebSockets', () => {
  async function open(): Promise<{
    registry: ConnectionRegistry;
    server: WebSocketServer;
    ends: ConnectionEnd[];
    port: number;
    undo: () => void;
  }> {
    const registry = createRegistry();
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (client) => client.on('error', () => undefined));
    onTestFinished(() => {
      for (const client of server.clients) client.terminate();
      server.close();
    });
    const undo = watchWebSockets(server, { every: 20, jitter: 0, registry });
    await once(server, 'listening');
    return { registry, server, ends: end(registry), port: (server.address() as net.AddressInfo).port, undo };
  }

  async function dial(port: number): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    onTestFinished(() => socket.terminate());
    socket.on('error', () => undefined);
    await once(socket, 'open');
    return socket;
  }

  it('that are closed, or about to be, are not pinged', async () => {
    const { registry, server, port } = await open();
    for (const how of ['close', 'terminate'] as const) {
      const socket = await dial(port);
      const [client] = server.clients;
      let pings = 0;
      const ping = client!.ping.bind(client) as (data: Buffer) => void;
      client!.ping = (data: Buffer) => {
        expect(client!.readyState).toBe(WebSocket.OPEN);
        pings += 1;
        ping(data);
      };
      await until(() => pings > 0);
      client![how]();
      await once(socket, 'close');
      await until(() => registry.stats().connections === 0 && server.clients.size === 0);
    }
    expect(errors).toEqual([]);
  });

  it('with a `ping` that throws do not crash', async () => {
    const { registry, server, port } = await open();
    await dial(port);
    const [client] = server.clients;
    client!.ping = () => {
      throw new Error('closed meanwhile');
    };
    await until(() => errors.length > 0);
    expect(errors).toMatchObject([{ message: 'closed meanwhile' }]);
    await until(() => registry.stats().connections === 0);
    const other = await dial(port);
    const [data] = (await once(other, 'ping')) as [Buffer];
    expect(data).toHaveLength(4);
  });

  it('may flood with pings and pongs of any payload', async () => {
    const { registry, server, port } = await open();
    const socket = await dial(port);
    await until(() => registry.stats().heartbeats > 0);
    let answers = 0;
    socket.on('pong', () => (answers += 1));
    for (let count = 0; count < 10_000; count += 1) {
      socket.pong(Buffer.from([count >> 8, count & 255]));
      socket.pong(Buffer.from([0, 0, 0, count & 255]));
      socket.ping(count % 2 ? Buffer.alloc(125, count) : '');
      // `ws` cuts a client that does not let it answer.
      if (count % 50 === 0) await until(() => answers === count + 1);
    }
    await until(() => answers === 10_000);
    const { heartbeats } = registry.stats();
    await until(() => registry.stats().heartbeats > heartbeats);
    await until(() => registry.connections()[0]?.state === 'healthy');
    expect(registry.connections()).toMatchObject([{ state: 'healthy' }]);
    const [client] = server.clients;
    const before = listenersOf(client!);
    socket.terminate();
    await until(() => registry.stats().connections === 0);
    expect(before['pong']).toBe(1);
    expect(listenersOf(client!)['pong']).toBeUndefined();
    expect(errors).toEqual([]);
  });

  it.each([
    // 126 bytes (RFC 6455 5.5: no more than 125), masked with zeros.
    ['a pong that is too long', Buffer.concat([Buffer.from([0x8a, 0xfe, 0, 126, 0, 0, 0, 0]), Buffer.alloc(126)])],
    ['a pong in fragments', Buffer.from([0x0a, 0x80, 0, 0, 0, 0])],
    ['a pong that is not masked', Buffer.from([0x8a, 0x04, 0, 0, 0, 1])],
    ['half a pong', Buffer.from([0x8a, 0x84, 0, 0])],
    ['garbage', garbage(1024 * 1024, 11)],
  ])('may send %s', async (_name, bytes) => {
    const { registry, port, ends } = await open();
    const client = await connectRaw(port);
    onTestFinished(() => client.destroy());
    client.send(
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await client.waitFor('101');
    await until(() => registry.stats().connections === 1);
    client.socket.write(bytes);
    await pause(50);
    client.socket.resetAndDestroy();
    await until(() => registry.stats().connections === 0);
    expect(ends).toHaveLength(1);
    expect(errors).toEqual([]);
  });
});

describe('`HeartbeatParser`', () => {
  it.each(noises)('finds its way through 1 MB of %s, in any pieces', (_name, bytes) => {
    const random = makeRandom(5);
    const parser = new HeartbeatParser();
    const out: Uint8Array[] = [];
    let fed = 0;
    while (fed < bytes.length) {
      const length = 1 + Math.floor(random() * (random() < 0.5 ? 8 : 70_000));
      const chunk = bytes.subarray(fed, fed + length);
      out.push(...parser.push(chunk).data);
      fed += chunk.length;
      expect(6 * parser.heartbeats + parser.skippedBytes + parser.pendingBytes).toBe(fed);
      expect(parser.pendingBytes).toBeLessThan(6);
    }
    // One that stands behind it is found.
    out.push(...parser.push(Buffer.concat([Buffer.from('x'), encodeHeartbeat()])).data);
    expect(parser.heartbeats).toBe(1);
    expect(Buffer.concat(out).equals(Buffer.concat([bytes, Buffer.from('x')]))).toBe(true);
  });
});

describe('a watched socket', () => {
  it.each(noises)('takes 1 MB of %s for life, and for nothing else', async (_name, bytes) => {
    const registry = createRegistry();
    let received = 0;
    const [server, sockets] = [net.createServer(), [] as net.Socket[]];
    server.on('connection', (socket) => {
      sockets.push(socket);
      const parser = new HeartbeatParser();
      socket
        .on('error', () => undefined)
        .on('data', (chunk) => {
          parser.push(chunk);
          received += chunk.length;
        });
      watchSocket(socket, { every: 20, registry });
    });
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = await connectRaw((server.address() as net.AddressInfo).port);
    client.socket.write(bytes);
    await until(() => received === bytes.length);
    expect(registry.connections()).toHaveLength(1);
    client.socket.resetAndDestroy();
    await until(() => registry.stats().connections === 0);
    expect(sockets[0]!.listenerCount('close')).toBeLessThanOrEqual(1);
    expect(errors).toEqual([]);
  });
});

describe.each(carriers.map((carrier) => [carrier.name, carrier] as const))('a stream of %s', (_name, carrier) => {
  async function open(
    handler: (res: http.ServerResponse) => unknown,
    before: Middleware = (_req, _res, next) => next(),
  ): Promise<{
    registry: ConnectionRegistry;
    ends: ConnectionEnd[];
    server: Served['server'];
    port: number;
    visit: (limit?: number) => Promise<unknown>;
  }> {
    const registry = createRegistry();
    const beats = heartbeat({ every: 5, jitter: 0, registry });
    // A framework catches what is thrown; the bare ones of these tests, what is rejected.
    const isFramework = !carrier.name.startsWith('node:');
    const served = await serve(carrier, before, beats, (_req, res) =>
      isFramework
        ? void handler(res as http.ServerResponse)
        : Promise.resolve().then(() => handler(res as http.ServerResponse)),
    );
    return {
      registry,
      ends: end(registry),
      server: served.server,
      port: served.port,
      visit: (limit = 500) =>
        Promise.race([
          served
            .visit()
            .then(({ over }) => settles(over))
            .catch((error: unknown) => error),
          pause(limit),
        ]),
    };
  }

  const head = (res: http.ServerResponse): http.ServerResponse =>
    res.writeHead(200, { 'content-type': 'text/event-stream' });

  it.each<readonly [string, (res: http.ServerResponse) => unknown]>([
    [
      'throws',
      (res) => {
        head(res).write('data: 1\n\n');
        throw new Error('broken');
      },
    ],
    [
      'throws at its head',
      (res) => {
        head(res);
        throw new Error('broken');
      },
    ],
    [
      'throws before its head',
      () => {
        throw new Error('broken');
      },
    ],
    ['ends at once', (res) => head(res).end()],
    [
      'ends twice',
      (res) => {
        head(res).end('data: 1\n\n');
        res.end();
      },
    ],
    [
      'destroys at once',
      (res) => {
        head(res);
        res.destroy();
      },
    ],
    ['destroys before its head', (res) => res.destroy()],
    [
      'writes after it has destroyed',
      (res) => {
        head(res);
        res.on('error', () => undefined).destroy();
        res.write('data: 1\n\n');
        res.end();
      },
    ],
    [
      'destroys with an error',
      (res) => {
        head(res).write('data: 1\n\n');
        res.on('error', () => undefined).destroy(new Error('broken'));
      },
    ],
    [
      'has a head that is refused, and another one',
      (res) => {
        try {
          res.writeHead(20, { 'content-type': 'text/event-stream' });
        } catch {
          res.writeHead(200, { 'content-type': 'text/event-stream' }).end();
        }
      },
    ],
  ])('whose handler %s leaves nothing behind', async (_kind, handler) => {
    const { registry, visit } = await open(handler);
    for (let round = 0; round < 5; round += 1) await visit();
    await until(() => registry.stats().connections === 0);
    expect(registry.stats()).toMatchObject({ connections: 0, unresponsive_ratio: 0 });
    expect(errors).toEqual([]);
  });

  it('whose `write` was patched, and throws, tells of it and does not crash', async () => {
    const { registry, visit, ends } = await open(
      (res) => void head(res).write('data: 1\n\n'),
      (_req, res, next) => {
        const write = res.write.bind(res) as (...args: unknown[]) => boolean;
        let count = 0;
        Object.assign(res, {
          write(...args: unknown[]) {
            if ((count += 1) > 1) throw new Error('patched');
            return write(...args);
          },
        });
        next();
      },
    );
    expect(await visit(20_000)).toBe('aborted');
    await until(() => registry.stats().connections === 0);
    expect(errors).toMatchObject([{ message: 'patched' }]);
    expect(ends.filter(({ connection }) => connection.transport !== 'http2')).toMatchObject([{ reason: 'error' }]);
  });

  it('whose client resets at any moment leaves nothing behind', async () => {
    const { registry, server, port, ends } = await open((res) => {
      head(res);
      const timer = setInterval(() => res.write('data: 1\n\n'), 3);
      res.on('close', () => clearInterval(timer));
    });
    const random = makeRandom(1);
    const request =
      carrier.protocol === 'http1'
        ? Buffer.from(getRequest('/'))
        : Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame('SETTINGS', 0, 0), getFrame(1, '/')]);
    let accepted = 0;
    server.on('connection', () => (accepted += 1));
    const sockets = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => undefined).resume();
        await once(socket, 'connect');
        socket.write(request.subarray(0, index % 3 === 0 ? Math.floor(random() * request.length) : request.length));
        return socket;
      }),
    );
    // A reset takes with it what was not read: of one that comes before the server has the connection, that is all.
    await until(() => accepted === sockets.length);
    await Promise.all(
      sockets.map(async (socket, index) => {
        // In the middle of whatever there is: a head, an event, a heartbeat.
        await pause(random() * 60);
        if (index % 2) socket.resetAndDestroy();
        else socket.destroy();
      }),
    );
    // Not all have been heard when the last is gone.
    await until(() => ends.length > 30 && registry.stats().connections === 0);
    expect(ends.every(({ reason }) => reason === 'client-closed')).toBe(true);
    expect(errors).toEqual([]);
  });
});

describe('a peer that resets while it is asked', () => {
  it('is gone, and that is all, whatever it is connected by', async () => {
    const server = spawnNode(fileURLToPath(new URL('fixtures/watched-server.js', import.meta.url)), [
      JSON.stringify({ every: 10, minInterval: 10 }),
    ]);
    onTestFinished(() => server.kill('SIGKILL'));
    const { ports } = (await server.until((message) => 'ports' in message)) as unknown as {
      ports: Record<string, number>;
    };
    const upgrade =
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    // A heartbeat, a PING, the beginning of a frame.
    const openings: Record<string, { bytes: Buffer; asked: string }> = {
      http1: { bytes: Buffer.from(getRequest('/quiet')), asked: '\r\n:\n' },
      websocket: { bytes: Buffer.from(upgrade), asked: '\x89\x04' },
      socket: { bytes: Buffer.alloc(0), asked: '\xaa\x01' },
      http2: {
        bytes: Buffer.concat([
          Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
          frame('SETTINGS', 0, 0),
          getFrame(1, '/quiet-h2'),
        ]),
        asked: '\0\0\x08\x06\0',
      },
    };
    await Promise.all(
      Object.entries(openings).flatMap(([kind, { bytes, asked }]) =>
        Array.from({ length: 20 }, async (_, index) => {
          const client = await connectRaw(ports[kind]!);
          client.socket.write(bytes);
          await client.waitFor(asked);
          if (index % 2) client.socket.resetAndDestroy();
          else client.destroy();
        }),
      ),
    );
    await until(() => server.messages.filter(({ event }) => event === 'end').length >= 100);
    const before = server.messages.length;
    server.send({ ask: 'stats' });
    const { stats } = (await server.until((message, index) => index >= before && 'stats' in message)) as unknown as {
      stats: { connections: number; ended: object };
    };
    expect(stats).toMatchObject({ connections: 0, ended: { 'client-closed': 100 } });
    expect(server.messages.filter((message) => 'fault' in message)).toEqual([]);
  });
});

describe('listeners of a registry', () => {
  it('that throw are told of, and keep nothing from happening', async () => {
    const registry = createRegistry();
    registry.on('end', () => {
      throw new Error('mine');
    });
    const served = await serve(
      bare,
      heartbeat({ every: 10, registry }),
      sse((stream) => void stream.send('x')),
    );
    const reading = await served.visit();
    await until(() => reading.text.includes('data: x'));
    reading.destroy();
    await until(() => registry.stats().connections === 0);
    await until(() => errors.length === 1);
    expect(errors).toMatchObject([{ message: 'mine' }]);
  });
});
