import { type EventEmitter, once } from 'node:events';
import http from 'node:http';
import { Server } from 'socket.io';
import { io as connect, type Socket } from 'socket.io-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createRegistry, watchWebSockets } from '../../src/index.ts';
import { listen } from '../support/carriers.ts';
import { settles, until } from '../support/until.ts';
import { makeLife } from './support.ts';

interface Site {
  readonly server: http.Server;
  readonly io: Server;
  dial(transports?: string[]): Promise<Socket>;
  readonly port: number;
}

async function open(): Promise<Site> {
  const server = http.createServer((_req, res) => void res.end('hello'));
  const io = new Server(server, { serveClient: false });
  io.on('connection', (socket) => socket.on('echo', (text: string, reply: (text: string) => void) => reply(text)));
  const { port } = await listen(server);
  onTestFinished(async () => {
    server.closeAllConnections();
    await io.close();
  });
  return {
    server,
    io,
    port,
    async dial(transports = ['websocket']) {
      const socket = connect(`http://127.0.0.1:${port}`, {
        transports,
        forceNew: true,
        reconnectionDelay: 10,
        reconnectionDelayMax: 20,
      });
      onTestFinished(() => void socket.disconnect());
      await new Promise<void>((resolve) => {
        socket.once('connect', resolve);
      });
      expect(await socket.timeout(5000).emitWithAck('echo', 'ping')).toBe('ping');
      return socket;
    },
  };
}

const targets: [name: string, target: (io: Server) => Server | Server['engine']][] = [
  ['io', (io) => io],
  ['io.engine', ({ engine }) => engine],
];
const transports = [['websocket'], ['polling'], ['polling', 'websocket']].map((names) => ({
  names,
  over: names.join(', then '),
}));

describe.each(targets)('%s of Socket.IO', (_name, targetOf) => {
  it.each(transports)('is drained to the end: its clients are closed, and come back, over $over', async ({ names }) => {
    const life = makeLife();
    const { server, io, port, dial } = await open();
    life.attach(server);
    life.attach(targetOf(io));
    const [one, two] = [await dial(names), await dial(names)];
    const reasons = Promise.all([one, two].map((socket) => once(socket as never, 'disconnect')));
    expect(await settles(life.drain())).toMatchObject({
      told: { webSockets: 2 },
      cut: { webSockets: 0, sockets: 0, requests: 0 },
      forced: false,
      reason: 'complete',
    });
    // Whatever else it is, it is not "io server disconnect", after which a client stays away.
    for (const [reason] of await settles(reasons)) expect(['transport close', 'transport error']).toContain(reason);
    const next = http.createServer();
    const successor = new Server(next);
    next.listen(port, '127.0.0.1');
    onTestFinished(() => successor.close());
    await until(() => one.connected && two.connected);
  });
});

it('a client of Socket.IO that comes while the rest leaves is sent away as well', async () => {
  const life = makeLife();
  const { io, port } = await open();
  // Without its server, which goes on listening.
  life.attach(io);
  const release = life.hold();
  const drained = life.drain();
  const ends: string[] = [];
  io.engine.prependListener('connection', (session: EventEmitter) => {
    session.on('close', (reason: string) => ends.push(reason));
  });
  const socket = connect(`http://127.0.0.1:${port}`, {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
  });
  await until(() => ends.length > 0);
  expect(ends).toEqual(['forced close']);
  socket.disconnect();
  release();
  expect(await settles(drained)).toMatchObject({ told: { webSockets: 1 }, cut: { webSockets: 0 }, reason: 'complete' });
});

it('what has no clients that can be counted is refused, with what is to be given instead', async () => {
  const { io } = await open();
  const life = makeLife();
  const { ws } = io.engine as unknown as { ws: never };
  expect(() => life.attach(ws)).toThrow(/a WebSocketServer that tracks its clients, or a server of Socket\.IO/);
  expect(() => watchWebSockets(ws)).toThrow(/or a server of Socket\.IO/);
});

describe.each(targets)('%s of Socket.IO, watched', (_name, targetOf) => {
  it.each(transports)('shows its clients as WebSockets, over $over', async ({ names }) => {
    const { io, dial } = await open();
    const registry = createRegistry();
    const undo = watchWebSockets(targetOf(io), { registry, every: 20 });
    const socket = await dial(names);
    if (!names.includes('websocket')) {
      expect(registry.connections()).toEqual([]);
      return;
    }
    await until(() => registry.connections().some(({ roundTrip }) => roundTrip !== undefined));
    expect(registry.connections()).toMatchObject([{ transport: 'websocket', label: '/socket.io/', state: 'healthy' }]);
    registry.evict(registry.connections()[0]!.id);
    await once(socket as never, 'disconnect');
    await until(() => socket.connected);
    undo();
    expect(registry.connections()).toEqual([]);
  });

  it('takes in those that are there already', async () => {
    const { io, dial } = await open();
    await dial();
    const registry = createRegistry();
    watchWebSockets(targetOf(io), { registry });
    expect(registry.connections()).toMatchObject([{ transport: 'websocket' }]);
  });
});
