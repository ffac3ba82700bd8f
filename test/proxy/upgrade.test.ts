import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Proxy } from '../../src/proxy/index.ts';
import { connectRaw, type RawClient } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { connectionOf, fieldsOf, rawUpstream, testProxy } from './upstreams.ts';

/** A server that passes on nothing but upgrades. */
async function upgrading(middleware: Proxy): Promise<number> {
  const server = http.createServer((_req, res) => void res.writeHead(426).end());
  const undo = middleware.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    undo();
    expect(server.listenerCount('upgrade')).toBe(0);
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function webSocketServer(): Promise<{ server: WebSocketServer; origin: string }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'chat' });
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const handshake =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

async function dial(port: number): Promise<RawClient> {
  const client = await connectRaw(port);
  onTestFinished(() => client.destroy());
  return client;
}

describe('a WebSocket', () => {
  it('goes through, both ways, with its subprotocol, and its close code', async () => {
    const { server, origin } = await webSocketServer();
    server.on('connection', (socket, req) => {
      socket.send(`hello ${req.url} from ${String(req.headers['x-forwarded-for'])}`);
      socket.on('message', (data: Buffer) => (String(data) === 'bye' ? socket.close(4001, 'done') : socket.send(data)));
    });
    const port = await upgrading(testProxy({ target: `${origin}/base` }));
    const client = new WebSocket(`ws://127.0.0.1:${port}/room?x=1`, ['chat']);
    const messages: string[] = [];
    client.on('message', (data: Buffer) => messages.push(String(data)));
    const closed = new Promise<number>((resolve) => client.on('close', resolve));
    await until(() => messages.length === 1);
    expect([messages[0], client.protocol]).toEqual(['hello /base/room?x=1 from 127.0.0.1', 'chat']);
    const long = 'x'.repeat(1_000_000);
    client.send(long);
    await until(() => messages.length === 2);
    expect(messages[1]).toBe(long);
    client.send('bye');
    expect(await settles(closed)).toBe(4001);
  });

  it('gets the own answer of an upstream that does not switch', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nnone'),
    );
    const client = await dial(await upgrading(testProxy({ target: upstream.origin })));
    client.send(handshake);
    expect(await settles(client.closed)).toBe('end');
    expect(client.received).toMatch(/^HTTP\/1\.1 401 No\r\n/);
    expect([fieldsOf(client.received, 'www-authenticate'), client.received.endsWith('\r\n\r\nnone')]).toEqual([
      ['Basic'],
      true,
    ]);
  });

  it('is answered 502 where the upstream is dead, or switches to something else', async () => {
    const dead = await rawUpstream(() => undefined);
    await dead.close();
    const other = await rawUpstream(({ send }) =>
      send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n'),
    );
    for (const target of [dead.origin, other.origin]) {
      const client = await dial(await upgrading(testProxy({ target, retry: false })));
      client.send(handshake);
      await settles(client.closed);
      expect(client.received).toMatch(/^HTTP\/1\.1 502 /);
    }
  });

  it('has the bytes that come with either head, and nothing of one side outlives the other', async () => {
    for (const leaves of ['client', 'upstream']) {
      const upstream = await rawUpstream(({ send }) =>
        send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly'),
      );
      const middleware = testProxy({ target: upstream.origin });
      const client = await dial(await upgrading(middleware));
      client.send(`${handshake}eager`);
      await client.waitFor(/\r\n\r\nearly$/);
      const connection = await connectionOf(upstream);
      await until(() => connection.received.endsWith('eager'));
      expect(fieldsOf(connection.received, 'connection')).toEqual(['upgrade']);
      if (leaves === 'client') client.destroy();
      else connection.socket.resetAndDestroy();
      await settles(client.closed);
      await until(() => connection.isClosed);
      expect(middleware.upstreams()[0]?.active).toBe(0);
    }
  });

  it('is read only as fast as the other side takes', async () => {
    const upstream = await rawUpstream(({ send }) =>
      send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
    );
    const client = await dial(await upgrading(testProxy({ target: upstream.origin })));
    client.send(handshake);
    await client.waitFor('101');
    client.socket.pause();
    const { socket } = await connectionOf(upstream);
    let written = 0;
    const chunk = Buffer.alloc(1 << 20);
    await until(() => {
      if (socket.writableLength < chunk.length) {
        socket.write(chunk);
        written += chunk.length;
      }
      return written > 0 && socket.writableNeedDrain && written >= 8 << 20;
    });
    // The kernel's buffers on the way hold some megabytes; the rest waits here.
    let before = -1;
    let still = 0;
    await until(() => {
      if (socket.writableLength < chunk.length) {
        socket.write(chunk);
        written += chunk.length;
      }
      still = written === before ? still + 1 : 0;
      before = written;
      return still > 100;
    });
    expect(written).toBeLessThan(64 << 20);
    client.socket.resume();
    await until(() => client.received.length >= written);
  });
});

it('what an upstream sent before it left arrives, however slow the client reads', async () => {
  const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const upstream = await rawUpstream(({ socket }) => void socket.write(head, () => socket.end('last words')));
  let taken = '';
  const waiting: (() => void)[] = [];
  // It takes nothing until it is told to.
  const client = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      taken += String(chunk);
      waiting.push(done);
    },
  });
  onTestFinished(() => void client.destroy());
  const req = new http.IncomingMessage(client as Socket);
  Object.assign(req, { method: 'GET', url: '/', httpVersionMajor: 1, httpVersionMinor: 1 });
  Object.assign(req.headers, { upgrade: 'websocket' });
  testProxy({ target: upstream.origin }).upgrade(req, client, Buffer.alloc(0));
  const connection = await connectionOf(upstream);
  await until(() => connection.isClosed && waiting.length === 1 && client.writableLength > taken.length);
  waiting.shift()?.();
  await until(() => waiting.length === 1);
  waiting.shift()?.();
  expect(taken).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\nlast words$/);
  await until(() => client.destroyed);
});

it('a WebSocket over HTTP/2 goes to an upstream of HTTP/1.1', async () => {
  const { server, origin } = await webSocketServer();
  server.on('connection', (socket) => socket.on('message', (data: Buffer) => socket.send(data)));
  const front = http2.createServer(
    { settings: { enableConnectProtocol: true } },
    (_req, res) => void res.writeHead(404).end(),
  );
  onTestFinished(testProxy({ target: origin }).attach(front));
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void front.close());
  const session = http2.connect(`http://127.0.0.1:${(front.address() as AddressInfo).port}`);
  onTestFinished(() => session.destroy());
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':path': '/chat',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'chat',
  });
  const head = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once('response', resolve));
  expect([head[':status'], head['sec-websocket-protocol'], head['sec-websocket-accept']]).toEqual([
    200,
    'chat',
    undefined,
  ]);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A masked text frame with `hi`, which comes back as bytes, and a close frame with 1000.
  stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
  await until(() => Buffer.concat(chunks).equals(Buffer.from([0x82, 2, 0x68, 0x69])));
  stream.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]));
  await settles(new Promise((resolve) => stream.once('close', resolve)));
});
