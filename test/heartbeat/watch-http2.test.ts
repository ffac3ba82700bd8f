import { once } from 'node:events';
import http2 from 'node:http2';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Registry } from '../../src/internal/health/registry.ts';
import {
  type ConnectionEnd,
  type ConnectionRegistry,
  createRegistry,
  heartbeat,
  watchHttp2,
  type WatchHttp2Options,
} from '../../src/index.ts';
import { h2c, listen, type Middleware, type Running } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, frame, type FrameClient, getFrame } from './frames.ts';
import { TurnClock } from './turn-clock.ts';

interface Watched {
  readonly running: Running;
  readonly server: http2.Http2Server;
  readonly registry: ConnectionRegistry;
  readonly sessions: http2.ServerHttp2Session[];
  /** When each was pinged, by the server's clock. */
  readonly pingedAt: number[];
  readonly ends: ConnectionEnd[];
  readonly undo: () => void;
}

/** A server whose sessions are watched. It answers `/open` by a head, and all else at once. */
async function serveWatched(options: WatchHttp2Options = {}): Promise<Watched> {
  const clock = new TurnClock();
  const registry = new Registry({}, clock);
  const server = http2.createServer((req, res) => {
    res.writeHead(200);
    if (req.url === '/open') res.write('open');
    else res.end('done');
  });
  const [sessions, pingedAt, ends]: [http2.ServerHttp2Session[], number[], ConnectionEnd[]] = [[], [], []];
  server.on('session', (session) => {
    sessions.push(session);
    const ping = session.ping.bind(session) as (...args: unknown[]) => boolean;
    session.ping = (...args: unknown[]) => {
      pingedAt.push(clock.now());
      return ping(...args);
    };
  });
  const undo = watchHttp2(server, { every: 40, jitter: 0, minInterval: 0, ...options, registry });
  registry.on('end', (end) => ends.push(end));
  const running = await listen(server);
  onTestFinished(() => running.close());
  return { running, server, registry, sessions, pingedAt, ends, undo };
}

/** A client of Node's, with a stream that stays open. */
async function openStream({ running }: Watched): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(running.origin);
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/open' });
  stream.on('error', () => undefined);
  await once(stream, 'response');
  return session;
}

function openByHand({ running }: Watched): FrameClient {
  const client = connectFrames(running.port);
  client.send(getFrame(1, '/open'));
  return client;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('watchHttp2', () => {
  it('has one PING outstanding at most, however long its answer takes', async () => {
    const watched = await serveWatched();
    const client = openByHand(watched);
    await until(() => client.pings.length === 1);
    await pause(400);
    expect(client.pings).toHaveLength(1);
    client.answer(client.pings[0]!);
    await until(() => client.pings.length === 2);
    await pause(200);
    expect(client.pings).toHaveLength(2);
    expect(watched.registry.stats()).toMatchObject({ connections: 1, heartbeats: 2 });
  });

  it('measures the round trip of a PING', async () => {
    const watched = await serveWatched({ readDeadline: '1m' });
    await openStream(watched);
    await until(() => watched.registry.stats().avg_heartbeat_rt !== null);
    const [info] = watched.registry.connections();
    expect(info).toMatchObject({ transport: 'http2', remoteAddress: '127.0.0.1', state: 'healthy' });
    expect(info!.roundTrip).toBeGreaterThanOrEqual(0);
  });

  it('pings no faster than `minInterval`, however short `every` is', async () => {
    const watched = await serveWatched({ every: 10, minInterval: 150 });
    await openStream(watched);
    await until(() => watched.pingedAt.length >= 4);
    for (const [index, at] of watched.pingedAt.slice(1).entries())
      expect(at - watched.pingedAt[index]!).toBeGreaterThanOrEqual(150);
  });

  it('pings no faster than every 10 s, where nothing is said', async () => {
    const registry = createRegistry();
    const server = http2.createServer((_req, res) => void res.writeHead(200).write('open'));
    watchHttp2(server, { every: 10, registry });
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = connectFrames(running.port);
    client.send(getFrame(1, '/'));
    await until(() => client.pings.length === 1);
    client.answer(client.pings[0]!);
    await pause(500);
    expect(client.pings).toHaveLength(1);
  });

  it('leaves a session without open streams alone', async () => {
    const watched = await serveWatched({ every: 500, readDeadline: '1m' });
    const client = connectFrames(watched.running.port);
    client.send(getFrame(1, '/'));
    await client.waitFor(({ type, flags }) => type === 'DATA' && (flags & 1) === 1);
    await pause(1600);
    expect(client.pings).toEqual([]);
    client.send(getFrame(3, '/open'));
    await until(() => client.pings.length === 1);
    expect(watched.registry.connections()).toMatchObject([{ state: 'healthy' }]);
  });

  it('pings it too by `whileIdle`', async () => {
    const watched = await serveWatched({ whileIdle: true });
    const client = connectFrames(watched.running.port);
    await until(() => client.pings.length === 1);
  });

  it('takes any frame for a sign of life, and gives up a session that sends none, with its streams', async () => {
    const watched = await serveWatched({ readDeadline: 1000, grace: 100 });
    const [client, silent] = [openByHand(watched), openByHand(watched)];
    await until(() => client.pings.length === 1);
    // Neither answers its PINGs.
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(1);
    const timer = setInterval(() => client.send(frame('WINDOW_UPDATE', 0, 0, credit)), 20);
    onTestFinished(() => clearInterval(timer));
    await until(() => silent.isClosed && watched.ends.length > 0);
    expect(watched.ends).toMatchObject([
      { reason: 'heartbeat-timeout', connection: { transport: 'http2', state: 'dead' } },
    ]);
    await pause(500);
    expect(client.isClosed).toBe(false);
    expect(client.pings).toHaveLength(1);
    expect(watched.registry.stats()).toMatchObject({ connections: 1, ended: { 'heartbeat-timeout': 1 } });
  });

  it('watches one session of a client', async () => {
    const registry = createRegistry();
    const server = http2.createServer((_req, res) => void res.end());
    const running = await listen(server);
    onTestFinished(() => running.close());
    const session = http2.connect(running.origin);
    const before = session.eventNames().map((name) => session.listenerCount(name));
    const undo = watchHttp2(session, { every: 20, minInterval: 0, registry });
    await until(() => registry.stats().heartbeats >= 3 && registry.stats().avg_heartbeat_rt !== null);
    undo();
    expect(session.eventNames().map((name) => session.listenerCount(name))).toEqual(before);
    expect(session.destroyed).toBe(false);
    session.close();
    await once(session, 'close');
  });

  it('waits with a PING until its client session is connected', async () => {
    const registry = createRegistry();
    // Nobody answers its handshake.
    const running = await listen(http2.createServer());
    onTestFinished(() => running.close());
    const session = http2.connect(`https://127.0.0.1:${running.port}`);
    session.on('error', () => undefined);
    const undo = watchHttp2(session, { every: 10, minInterval: 0, registry });
    await pause(100);
    expect(registry.stats().heartbeats).toBe(0);
    undo();
    session.destroy();
  });

  it('leaves nothing behind when it is undone', async () => {
    const watched = await serveWatched();
    const { server, registry, undo, sessions } = watched;
    const bare = http2.createServer();
    const client = openByHand(watched);
    await until(() => client.pings.length === 1);
    undo();
    expect(registry.stats()).toMatchObject({ connections: 0, ended: {} });
    // That of the test, and that of `listen`.
    expect(server.listenerCount('session')).toBe(bare.listenerCount('session') + 2);
    const [session] = sessions;
    const other = http2.createServer((_req, res) => void res.write(''));
    const unwatched = await listen(other);
    onTestFinished(() => unwatched.close());
    const coming = once(other, 'session');
    connectFrames(unwatched.port);
    const [opened] = (await coming) as [http2.ServerHttp2Session];
    for (const name of ['close', 'stream', 'goaway'])
      expect(session!.listenerCount(name), name).toBe(opened.listenerCount(name));
    // The answer to a PING of before is of no connection any more.
    client.answer(client.pings[0]!);
    client.send(frame('PING', 0, 0, Buffer.alloc(8)));
    await client.waitFor(({ type, flags }) => type === 'PING' && flags === 1);
    expect(registry.stats()).toMatchObject({ connections: 0, avg_heartbeat_rt: null });
    expect(client.isClosed).toBe(false);
  });

  it('may be undone and done again', async () => {
    const watched = await serveWatched();
    const client = openByHand(watched);
    await until(() => client.pings.length === 1);
    watched.undo();
    client.answer(client.pings[0]!);
    const undo = watchHttp2(watched.sessions[0]!, {
      every: 20,
      jitter: 0,
      minInterval: 0,
      whileIdle: true,
      registry: watched.registry,
    });
    await until(() => client.pings.length === 2);
    expect(watched.registry.stats().connections).toBe(1);
    undo();
    undo();
    watched.undo();
    expect(watched.registry.stats()).toMatchObject({ connections: 0, ended: {} });
  });

  it.each([false, 'auto'] as const)('works with `ackProbe: %s`', async (ackProbe) => {
    const watched = await serveWatched({ ackProbe });
    const session = await openStream(watched);
    await until(() => watched.registry.stats().avg_heartbeat_rt !== null);
    session.destroy();
    await until(() => watched.registry.stats().connections === 0);
    expect(watched.ends).toMatchObject([{ reason: 'client-closed', connection: { transport: 'http2' } }]);
  });

  it('sends a session away with a GOAWAY by `maxAge`, and lets its responses end', async () => {
    const watched = await serveWatched({ maxAge: 1000 });
    const responses: http2.Http2ServerResponse[] = [];
    watched.server.on('request', (_req, res) => responses.push(res));
    const client = openByHand(watched);
    await client.waitFor(({ type }) => type === 'GOAWAY');
    await pause(100);
    expect(client.isClosed).toBe(false);
    responses[0]!.end('the rest');
    const last = await client.waitFor(({ type, flags }) => type === 'DATA' && (flags & 1) === 1);
    expect(last.stream).toBe(1);
    await settles(until(() => client.isClosed && watched.ends.length > 0));
    expect(watched.ends).toMatchObject([{ reason: 'draining' }]);
  });
});

describe('a session that is watched for its streams', () => {
  it.each([
    ['with heartbeats', {}],
    ['that is encoded nearer to its handler', { 'content-encoding': 'x-own' }],
  ])('is pinged while a stream %s is open, and forgets it at its close', async (_name, headers) => {
    const clock = new FakeClock(1000);
    const registry = new Registry({}, clock);
    const beats = heartbeat({ every: '15s', jitter: 0, ackProbe: false, registry }) as Middleware;
    const closed = deferred<unknown>();
    const served = await serve(h2c, beats, (_req, response) => {
      const res = response as http2.Http2ServerResponse;
      closed.resolve(once(res, 'close'));
      res.writeHead(200, { 'content-type': 'text/event-stream', ...headers }).write(':\n');
    });
    const session = http2.connect(served.origin);
    onTestFinished(() => session.destroy());
    let pings = 0;
    session.on('ping', () => (pings += 1));
    const stream = session.request();
    await once(stream, 'response');
    clock.advance(15_100);
    await until(() => pings === 1 && registry.stats().avg_heartbeat_rt !== null);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await settles(closed.promise);
    expect(registry.stats().connections).toBe(1);
    clock.advance(16_000);
    await settles(new Promise<void>((resolve) => void session.ping(() => resolve())));
    expect(pings).toBe(1);
  });
});
