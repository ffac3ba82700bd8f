import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import {
  type ConnectionEnd,
  type ConnectionRegistry,
  createRegistry,
  type HealthState,
  watchWebSockets,
  type WatchWebSocketsOptions,
} from '../../src/index.ts';
import { settles, until } from '../support/until.ts';

interface Watched {
  readonly server: WebSocketServer;
  readonly registry: ConnectionRegistry;
  readonly states: HealthState[];
  readonly ends: ConnectionEnd[];
  readonly undo: () => void;
  dial(path?: string, options?: ClientOptions): Promise<Client>;
}

interface Client {
  readonly socket: WebSocket;
  /** The payloads of the pings that came. */
  readonly pings: readonly Buffer[];
  readonly closed: Promise<{ code: number; reason: string }>;
}

async function serveWatched(options: WatchWebSocketsOptions = {}): Promise<Watched> {
  const registry = createRegistry();
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const undo = watchWebSockets(server, { every: 50, jitter: 0, ...options, registry });
  const [states, ends]: [HealthState[], ConnectionEnd[]] = [[], []];
  registry.on('state', ({ state }) => states.push(state));
  registry.on('end', (end) => ends.push(end));
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    server,
    registry,
    states,
    ends,
    undo,
    async dial(path = '/', dialing = {}) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, dialing);
      onTestFinished(() => socket.terminate());
      socket.on('error', () => undefined);
      const pings: Buffer[] = [];
      socket.on('ping', (data) => pings.push(data));
      const closed = once(socket, 'close').then(([code, reason]) => ({ code: code as number, reason: String(reason) }));
      await once(socket, 'open');
      return { socket, pings, closed };
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function listenersOf(emitter: {
  eventNames(): (string | symbol)[];
  listenerCount(name: string | symbol): number;
}): Record<string, number> {
  return Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]));
}

describe('watchWebSockets', () => {
  it('pings a client that is silent, and measures its round trips', async () => {
    const watched = await serveWatched({ readDeadline: '1m' });
    const { pings } = await watched.dial('/live?token=1');
    await until(() => pings.length >= 3 && watched.registry.stats().avg_heartbeat_rt !== null);
    const [info] = watched.registry.connections();
    expect(info).toMatchObject({
      transport: 'websocket',
      label: '/live',
      remoteAddress: '127.0.0.1',
      state: 'healthy',
      failures: 0,
    });
    expect(info!.roundTrip).toBeGreaterThanOrEqual(0);
    expect(watched.registry.stats().avg_heartbeat_rt).toBe(info!.roundTrip);
    expect(new Set(pings.map(String)).size).toBe(pings.length);
  });

  it('does not ping while messages come', async () => {
    const watched = await serveWatched({ every: 400 });
    let longest = 0;
    let last = performance.now();
    const { socket, pings } = await watched.dial();
    watched.server.clients.forEach((client) =>
      client.on('message', () => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }),
    );
    const timer = setInterval(() => socket.send('still here'), 40);
    onTestFinished(() => clearInterval(timer));
    await pause(2000);
    // Where this process itself stood still for long, it was right to ping.
    longest = Math.max(longest, performance.now() - last);
    if (longest < 300) expect(pings).toEqual([]);
    clearInterval(timer);
    await until(() => pings.length > 0);
  });

  it.each([1, 3])('has %i pings outstanding at most', async (maxPendingPings) => {
    const watched = await serveWatched({ maxPendingPings });
    const { socket, pings } = await watched.dial('/', { autoPong: false });
    await until(() => pings.length === maxPendingPings);
    await pause(300);
    expect(pings).toHaveLength(maxPendingPings);
    // RFC 6455 5.5.3: the answer to the last one answers all.
    socket.pong(pings.at(-1));
    await until(() => pings.length > maxPendingPings);
    expect(watched.registry.stats().avg_heartbeat_rt).toBeGreaterThan(0);
  });

  it('takes the answer to an earlier ping for that one only', async () => {
    const watched = await serveWatched({ maxPendingPings: 2 });
    const { socket, pings } = await watched.dial('/', { autoPong: false });
    await until(() => pings.length === 2);
    socket.pong(pings[0]);
    await until(() => pings.length === 3);
    await pause(200);
    expect(pings).toHaveLength(3);
  });

  it('takes a pong that nobody asked for as a sign of life, and as nothing else', async () => {
    const watched = await serveWatched({ maxPendingPings: 1, readDeadline: 400, grace: '1m' });
    const { socket, pings } = await watched.dial('/', { autoPong: false });
    await until(() => pings.length === 1);
    await until(() => watched.states.includes('read-late'));
    socket.pong('not yours');
    await until(() => watched.states.includes('healthy'));
    expect(watched.registry.stats().avg_heartbeat_rt).toBeNull();
  });

  it('gives up a client that answers nothing, and cuts it where it does not close; also one that sent other things before', async () => {
    const watched = await serveWatched({ readDeadline: 200, grace: 300 });
    const { socket, closed } = await watched.dial('/', { autoPong: false });
    // It hears nothing any more, and its kernel does.
    socket.pause();
    // Another one answers no ping, and sends messages, until it is silent too.
    const other = await watched.dial('/', { autoPong: false });
    other.socket.pause();
    for (let count = 0; count < 10; count += 1) {
      other.socket.send('not an answer');
      await pause(50);
    }
    await until(() => watched.ends.some(({ connection }) => connection.id === 'websocket-1'));
    socket.resume();
    expect(await settles(closed)).toEqual({ code: 1012, reason: 'service restart' });
    await until(() => watched.ends.length === 2);
    expect(watched.ends.map(({ reason, connection }) => [connection.id, connection.state, reason]).sort()).toEqual([
      ['websocket-1', 'dead', 'heartbeat-timeout'],
      ['websocket-2', 'dead', 'heartbeat-timeout'],
    ]);
    expect(watched.states.filter((state) => state === 'dead')).toHaveLength(2);
    expect(watched.registry.stats()).toMatchObject({ connections: 0, ended: { 'heartbeat-timeout': 2 } });
  });

  it('tells who closed', async () => {
    const watched = await serveWatched();
    const { socket } = await watched.dial();
    socket.close();
    await until(() => watched.ends.length === 1);
    expect(watched.ends).toMatchObject([{ reason: 'client-closed', connection: { transport: 'websocket' } }]);
    expect(watched.registry.stats().connections).toBe(0);
  });

  it('leaves nothing behind when it is undone', async () => {
    const watched = await serveWatched();
    const { socket, pings } = await watched.dial();
    await until(() => pings.length > 0);
    const bare = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => bare.close());
    await once(bare, 'listening');
    const other = new WebSocket(`ws://127.0.0.1:${(bare.address() as { port: number }).port}`);
    const [[unwatched]] = (await Promise.all([once(bare, 'connection'), once(other, 'open')])) as unknown as [
      [WebSocket],
    ];
    onTestFinished(() => other.terminate());
    watched.undo();
    watched.undo();
    const [client] = watched.server.clients;
    expect(listenersOf(client!)).toEqual(listenersOf(unwatched));
    expect(watched.server.listenerCount('connection')).toBe(0);
    // What comes before it was on its way.
    const mark = once(socket, 'message');
    client!.send('mark');
    await settles(mark);
    const count = pings.length;
    await pause(200);
    expect(pings).toHaveLength(count);
    expect(socket.readyState).toBe(WebSocket.OPEN);
    expect(watched.registry.stats()).toMatchObject({ connections: 0, avg_heartbeat_rt: null, ended: {} });
  });

  it('is of no effect on what a late pong tells after the undo', async () => {
    const watched = await serveWatched();
    const { socket, pings } = await watched.dial('/', { autoPong: false });
    await until(() => pings.length > 0);
    const [client] = watched.server.clients;
    const arrived = once(client!, 'pong');
    watched.undo();
    socket.pong(pings[0]);
    await settles(arrived);
    expect(watched.registry.stats().avg_heartbeat_rt).toBeNull();
  });

  it('watches those who were there before, and one by itself', async () => {
    const watched = await serveWatched();
    watched.undo();
    const { pings } = await watched.dial('/early');
    const [client] = watched.server.clients;
    const undoServer = watchWebSockets(watched.server, { every: 20, registry: watched.registry });
    const undoOne = watchWebSockets(client!, { every: 20, registry: watched.registry });
    expect(watched.registry.stats().connections).toBe(1);
    await until(() => pings.length >= 2);
    undoOne();
    undoServer();
    expect(watched.registry.stats().connections).toBe(0);
    const undoAgain = watchWebSockets(client!, { every: 20, registry: watched.registry });
    const count = pings.length;
    await until(() => pings.length > count);
    undoAgain();
  });

  it('does not keep one that is closed already', async () => {
    const watched = await serveWatched();
    watched.undo();
    const { socket } = await watched.dial();
    const [client] = watched.server.clients;
    socket.terminate();
    await once(client!, 'close');
    const before = listenersOf(client!);
    const undo = watchWebSockets(client!, { every: 20, registry: watched.registry });
    expect(watched.registry.stats().connections).toBe(0);
    expect(listenersOf(client!)).toEqual(before);
    undo();
  });
});
