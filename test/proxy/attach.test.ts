import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectRaw, type RawClient } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { connectionOf, fieldsOf, rawUpstream, testProxy } from './upstreams.ts';

const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';

const handshake =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

async function listenOn(server: http.Server | http2.Http2Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    if (server instanceof http.Server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function h2Server(): http2.Http2Server {
  // Without a listener for requests it emits no 'connect'.
  return http2.createServer({ settings: { enableConnectProtocol: true } }, (_req, res) => res.writeHead(404).end());
}

async function dial(port: number): Promise<RawClient> {
  const client = await connectRaw(port);
  onTestFinished(() => client.destroy());
  return client;
}

async function openSession(port: number): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  onTestFinished(() => session.destroy());
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  return session;
}

function headOf(stream: http2.ClientHttp2Stream): Promise<http2.IncomingHttpHeaders> {
  return settles(
    new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
      stream.once('response', resolve).once('error', reject);
    }),
  );
}

describe('what no proxy on the server takes', () => {
  it('is closed, as Node does it where there is no listener', async () => {
    const server = http.createServer((_req, res) => void res.writeHead(426).end());
    const filter = (): boolean => false;
    for (let count = 0; count < 2; count += 1) testProxy({ target: 'http://127.0.0.1:9' }).attach(server, { filter });
    const port = await listenOn(server);
    for (const request of ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', handshake]) {
      const client = await dial(port);
      client.send(request);
      await settles(client.closed);
    }
  });

  it('is left to a listener of the application', async () => {
    const server = http.createServer();
    testProxy({ target: 'http://127.0.0.1:9' }).attach(server, { filter: () => false });
    server.on('upgrade', (_req, socket) => setImmediate(() => socket.end('HTTP/1.1 400 Own\r\n\r\n')));
    server.on('connect', (_req, socket) => setImmediate(() => socket.end('HTTP/1.1 400 Own\r\n\r\n')));
    const port = await listenOn(server);
    for (const request of ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', handshake]) {
      const client = await dial(port);
      client.send(request);
      await settles(client.closed);
      expect(client.received).toBe('HTTP/1.1 400 Own\r\n\r\n');
    }
  });

  it('is answered 405 over HTTP/2, as Node does it', async () => {
    const server = h2Server();
    testProxy({ target: 'http://127.0.0.1:9' }).attach(server, { filter: () => false });
    const session = await openSession(await listenOn(server));
    const websocket = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/' };
    for (const head of [{ ':method': 'CONNECT', ':authority': 'a:1' }, websocket]) {
      expect((await headOf(session.request(head)))[':status']).toBe(405);
    }
  });
});

describe('the head of the switch', () => {
  it('has no header that ends at this hop, and each Set-Cookie', async () => {
    const more = 'Keep-Alive: timeout=5\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\n';
    const key = /Sec-WebSocket-Key: (.*)\r\n/i;
    const upstream = await rawUpstream(({ send, received }) => {
      const sent = `${key.exec(received)?.[1] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = `Sec-WebSocket-Accept: ${createHash('sha1').update(sent).digest('base64')}\r\n`;
      send(`${switched.replace('Upgrade\r\n', 'Upgrade, Keep-Alive, X-Hop\r\n')}${accept}${more}\r\n`);
    });
    const middleware = testProxy({ target: upstream.origin, retry: false });

    const plain = http.createServer();
    middleware.attach(plain);
    const client = await dial(await listenOn(plain));
    client.send(handshake);
    await client.waitFor('\r\n\r\n');
    expect([fieldsOf(client.received, 'keep-alive'), fieldsOf(client.received, 'x-hop')]).toEqual([[], []]);
    expect([fieldsOf(client.received, 'connection'), fieldsOf(client.received, 'upgrade')]).toEqual([
      ['Upgrade'],
      ['websocket'],
    ]);
    expect(fieldsOf(client.received, 'set-cookie')).toEqual(['a=1', 'b=2; Path=/']);

    const front = h2Server();
    middleware.attach(front);
    const session = await openSession(await listenOn(front));
    const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/' });
    const head = await headOf(stream);
    expect([head[':status'], head['set-cookie'], head['x-hop']]).toEqual([200, ['a=1', 'b=2; Path=/'], undefined]);
  });
});

describe('a request to switch that is not a GET', () => {
  it('keeps its method', async () => {
    const upstream = await rawUpstream(({ send }) => send(`${switched}\r\n`));
    const server = http.createServer();
    testProxy({ target: upstream.origin }).attach(server);
    const client = await dial(await listenOn(server));
    client.send(handshake.replace('GET', 'OPTIONS'));
    await client.waitFor('101');
    expect((await connectionOf(upstream)).received).toMatch(/^OPTIONS \/chat /);
  });

  it('is refused with a body, which would be lost', async () => {
    const upstream = await rawUpstream(({ send }) => send(`${switched}\r\n`));
    const server = http.createServer();
    testProxy({ target: upstream.origin }).attach(server);
    const port = await listenOn(server);
    for (const framing of ['Content-Length: 4', 'Transfer-Encoding: chunked']) {
      const client = await dial(port);
      client.send(handshake.replace('GET', 'POST').replace('\r\n\r\n', `\r\n${framing}\r\n\r\nbody`));
      await settles(client.closed);
      expect(client.received).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(upstream.connections).toEqual([]);
  });
});

it('a switch waits for the answers to the requests before it', async () => {
  const upstream = await rawUpstream(({ send }) => send(`${switched}\r\nhello`));
  const answers: http.ServerResponse[] = [];
  const server = http.createServer((_req, res) => void answers.push(res));
  testProxy({ target: upstream.origin }).attach(server);
  const upgrades: unknown[] = [];
  server.on('upgrade', (req) => upgrades.push(req));
  const port = await listenOn(server);
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  const client = await dial(port);
  client.send(get + get + handshake);
  await until(() => upgrades.length === 1);
  expect([answers.length, upstream.connections.length, client.received]).toEqual([2, 0, '']);
  for (const [at, res] of answers.entries()) res.end(`answer ${at}`);
  await client.waitFor(/answer 0[^]*answer 1[^]*HTTP\/1\.1 101 [^]*hello$/);
  expect((client.received.match(/HTTP\/1\.1 \d/g) ?? []).length).toBe(3);

  // One that leaves meanwhile.
  const leaver = await dial(port);
  leaver.send(get + handshake);
  await until(() => upgrades.length === 2);
  leaver.socket.resetAndDestroy();
  await until(() => answers[2]?.destroyed === true);
  expect(upstream.connections.length).toBe(1);
});

it('closing the proxy closes what was switched', async () => {
  const upstream = await rawUpstream(({ send }) => send(`${switched}\r\n`));
  const middleware = testProxy({ target: upstream.origin });
  const server = http.createServer();
  middleware.attach(server);
  const client = await dial(await listenOn(server));
  client.send(handshake);
  await client.waitFor('101');
  await middleware.close();
  await settles(client.closed);
  const connection = await connectionOf(upstream);
  await until(() => connection.isClosed);
  expect(client.received).toMatch(/^HTTP\/1\.1 101 /);
});
