import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Lifecycle } from '../../src/lifecycle/index.ts';
import { listen } from '../support/carriers.ts';
import { useRandom } from '../support/random.ts';
import { connectRaw } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, pause } from './support.ts';

interface Closed {
  readonly code: number;
  readonly reason: string;
}

interface Client {
  readonly socket: WebSocket;
  readonly closed: Promise<Closed>;
}

async function serveWebSockets(
  life: Lifecycle,
): Promise<{ wss: WebSocketServer; server: http.Server; port: number; dial: () => Promise<Client> }> {
  const server = http.createServer((req, res) => life(req, res, () => res.end('hello')));
  const wss = new WebSocketServer({ server });
  life.attach(server);
  life.attach(wss);
  const running = await listen(server);
  onTestFinished(() => running.close());
  const dial = async (): Promise<Client> => {
    const socket = new WebSocket(`ws://127.0.0.1:${running.port}`);
    onTestFinished(() => socket.terminate());
    socket.on('error', () => undefined);
    const closed = once(socket, 'close').then(([code, reason]): Closed => ({ code, reason: String(reason) }));
    await once(socket, 'open');
    return { socket, closed };
  };
  return { wss, server, port: running.port, dial };
}

describe('WebSockets', () => {
  it('are told to come back, with the code for a restart', async () => {
    const life = makeLife();
    const { dial, server } = await serveWebSockets(life);
    const clients = await Promise.all([dial(), dial()]);
    const report = await settles(life.drain());
    expect(await Promise.all(clients.map(({ closed }) => closed))).toEqual([
      { code: 1012, reason: 'service restart' },
      { code: 1012, reason: 'service restart' },
    ]);
    expect(report).toMatchObject({
      told: { webSockets: 2 },
      finished: { webSockets: 0, requests: 0 },
      cut: { webSockets: 0, sockets: 0 },
      reason: 'complete',
    });
    expect(server.listening).toBe(false);
  });

  it('get the code of the option', async () => {
    const life = makeLife({ webSocketCode: 4001 });
    const { dial } = await serveWebSockets(life);
    const { closed } = await dial();
    await settles(life.drain());
    expect((await closed).code).toBe(4001);
  });

  it('are open while the drain is announced, new ones as well', async () => {
    const life = makeLife({ preDrain: 2000 });
    const { wss, dial } = await serveWebSockets(life);
    wss.on('connection', (client) => client.on('message', (data) => client.send(data)));
    const first = await dial();
    const drained = life.drain();
    const second = await dial();
    second.socket.send('still there?');
    const [echo] = await once(second.socket, 'message');
    expect(String(echo)).toBe('still there?');
    first.socket.close(1000);
    expect((await first.closed).code).toBe(1000);
    expect((await second.closed).code).toBe(1012);
    expect(await settles(drained)).toMatchObject({ told: { webSockets: 1 }, finished: { webSockets: 1 } });
  });

  it('that do not answer the close are cut, and counted once', async () => {
    const life = makeLife({ drainTimeout: 1500 });
    const { dial, port } = await serveWebSockets(life);
    const answering = await dial();
    const silent = await connectRaw(port);
    onTestFinished(() => silent.destroy());
    silent.send(
      'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await silent.waitFor('101');
    const report = await settles(life.drain());
    // 0x88: close; its length; 1012 = 0x03f4.
    await silent.waitFor('\x88\x11\x03\xf4service restart');
    expect((await answering.closed).code).toBe(1012);
    expect(report).toMatchObject({ told: { webSockets: 1 }, cut: { webSockets: 1, sockets: 0 }, reason: 'timeout' });
    await silent.closed;
  });

  it('leave spread over the window', async () => {
    useRandom(() => 0);
    const life = makeLife({ spread: 4000 });
    const { dial } = await serveWebSockets(life);
    const clients = await Promise.all([dial(), dial(), dial(), dial()]);
    const order: number[] = [];
    clients.forEach(({ closed }, index) => void closed.then(() => order.push(index)));
    const drained = life.drain();
    await until(() => order.length > 0);
    expect(order).toHaveLength(1);
    await settles(drained);
    await until(() => order.length === 4);
  });

  it('of a server of its own are drained, too', async () => {
    const life = makeLife();
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    onTestFinished(() => wss.close());
    life.attach(wss);
    await once(wss, 'listening');
    const { port } = wss.address() as { port: number };
    const client = new WebSocket(`ws://127.0.0.1:${port}`);
    await once(client, 'open');
    const closed = once(client, 'close');
    expect(await settles(life.drain())).toMatchObject({ told: { webSockets: 1 } });
    expect((await closed)[0]).toBe(1012);
    const refused = new WebSocket(`ws://127.0.0.1:${port}`);
    expect(await new Promise((resolve) => refused.once('error', resolve))).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('are not told by an attachment that was undone', async () => {
    const life = makeLife();
    const wss = new WebSocketServer({ noServer: true });
    const listeners = wss.listenerCount('connection');
    const undo = life.attach(wss);
    expect(wss.listenerCount('connection')).toBe(listeners + 1);
    undo();
    expect(wss.listenerCount('connection')).toBe(listeners);
    expect(await settles(life.drain())).toMatchObject({ reason: 'complete' });
  });

  it('that cannot be told do not hold up the others', async () => {
    const life = makeLife({ drainTimeout: 1500 });
    const { wss, dial } = await serveWebSockets(life);
    const clients = [await dial(), await dial()];
    [...wss.clients][0]!.close = () => {
      throw new Error('broken');
    };
    const report = await settles(life.drain());
    expect((await Promise.all(clients.map(({ closed }) => closed))).map(({ code }) => code).toSorted()).toEqual([
      1006, 1012,
    ]);
    expect(report).toMatchObject({ told: { webSockets: 1 }, cut: { webSockets: 1 } });
    await pause(0);
  });
});
