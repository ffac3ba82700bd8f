import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type AttachableServer } from '../../src/lifecycle/index.ts';
import { bare, h2c, http1Carriers, listen, type Middleware } from '../support/carriers.ts';
import { makeCertificate } from '../support/certificate.ts';
import { deferred } from '../support/deferred.ts';
import { connectRaw, getRequest, parseChunked, type RawClient } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';
import { followConnections, makeCounter, makeLife, pause, portOf, routes, serveAttached } from './support.ts';

const certificate = makeCertificate();
const hello = routes({ '/': (_req, res) => res.end('hello') });

async function dial(port: number): Promise<RawClient> {
  const client = await connectRaw(port);
  onTestFinished(() => client.destroy());
  return client;
}

describe('a connection of HTTP/1.1', () => {
  it('that is idle is closed when it leaves, also one that never sent anything', async () => {
    const life = makeLife();
    const served = await serveAttached(bare, life, hello);
    const connections = followConnections(served.server);
    const [used, unused] = [await served.dial(), await served.dial()];
    used.send(getRequest());
    await used.waitFor('hello');
    await connections.accepted(2);
    await turns(20);
    expect([used, unused].map(({ socket }) => socket.readyState)).toEqual(['open', 'open']);
    const report = await settles(life.drain());
    expect(await Promise.all([used.closed, unused.closed])).toEqual(['end', 'end']);
    expect(report).toMatchObject({ reason: 'complete', cut: { sockets: 0 } });
  });

  it('is open while the drain is announced', async () => {
    const life = makeLife({ preDrain: '10s' });
    const served = await serveAttached(bare, life, hello);
    const client = await served.dial();
    void life.drain();
    await turns(20);
    client.send(getRequest());
    expect(await client.waitFor('hello')).toContain('Connection: close');
    expect(await client.closed).toBe('end');
    const another = await served.dial();
    another.send(getRequest());
    await another.waitFor('hello');
  });

  it.each(http1Carriers.map((carrier) => ({ on: carrier.name, carrier })))(
    'is closed when its response ends, though that said keep-alive, on $on',
    async ({ carrier }) => {
      const life = makeLife();
      const gate = deferred();
      const served = await serveAttached(carrier, life, async (_req, res) => {
        (res as http.ServerResponse).write('first');
        await gate.promise;
        res.end('last');
      });
      const client = await served.dial();
      client.send(getRequest());
      await client.waitFor('first');
      const drained = life.drain();
      await until(() => !served.server.listening);
      gate.resolve();
      // Not after keepAliveTimeout.
      const report = await settles(drained, 4000);
      expect(await client.closed).toBe('end');
      expect(parseChunked(client.received)).toMatchObject({ chunks: ['first', 'last'], complete: true });
      expect(client.received).not.toContain('Connection: close');
      expect(report).toMatchObject({ reason: 'complete', finished: { requests: 1 } });
    },
  );

  it('is closed with its response, and not when latecomers are looked for', async () => {
    const life = makeLife();
    const gate = deferred();
    const served = await serveAttached(bare, life, async (_req, res) => {
      (res as http.ServerResponse).write('first');
      await gate.promise;
      res.end('last');
    });
    const client = await served.dial();
    client.send(getRequest());
    await client.waitFor('first');
    // From here on no timer fires.
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    let isOver = false;
    void life.drain().then(() => (isOver = true));
    gate.resolve();
    const limit = performance.now() + 5000;
    while (!isOver && performance.now() < limit) await turns(1);
    expect(isOver).toBe(true);
  });

  it('in the middle of an upload is let finish', async () => {
    const life = makeLife();
    const { note, reached } = makeCounter();
    const served = await serveAttached(bare, life, async (req, res) => {
      note();
      let size = 0;
      for await (const chunk of req) size += (chunk as Buffer).length;
      res.end(`got ${size}`);
    });
    const client = await served.dial();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345');
    await reached(1);
    const drained = life.drain();
    await until(() => !served.server.listening);
    client.send('67890');
    expect(await client.waitFor('got 10')).toContain('Connection: close');
    expect(await settles(drained)).toMatchObject({ finished: { requests: 1 }, cut: { requests: 0, sockets: 0 } });
  });

  it.each(['', getRequest()])(
    'that was still sending the head of a request, after %j, is closed with the listener',
    async (before) => {
      const life = makeLife();
      const served = await serveAttached(bare, life, hello);
      const connections = followConnections(served.server);
      const client = await served.dial();
      client.send(before);
      if (before !== '') await client.waitFor('hello');
      const { length } = before;
      client.send('GET / HTTP/1.1\r\nHost:');
      await connections.heard(length + 1);
      expect(await settles(life.drain())).toMatchObject({
        cut: { requests: 0, sockets: 0 },
        aborted: { requests: 0 },
        forced: false,
        reason: 'complete',
      });
      expect(await client.closed).toBe('end');
    },
  );

  it('whose request body is still under way when its response is done is waited for', async () => {
    const life = makeLife();
    const served = await serveAttached(bare, life, hello);
    const client = await served.dial();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345');
    await client.waitFor('hello');
    const drained = life.drain();
    await until(() => !served.server.listening);
    await turns(20);
    expect(life.state).toBe('draining');
    client.send('67890');
    expect(await settles(drained)).toMatchObject({ cut: { sockets: 0 }, reason: 'complete' });
    expect(await client.closed).toBe('end');
  });

  it('that somebody else upgraded is waited for, and cut in the end', async () => {
    const life = makeLife({ drainTimeout: 1500 });
    const served = await serveAttached(bare, life, hello);
    served.server.on('upgrade', (_req: http.IncomingMessage, socket: net.Socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
      socket.pipe(socket);
    });
    const client = await served.dial();
    client.send(getRequest('/', { Upgrade: 'echo', Connection: 'Upgrade' }));
    await client.waitFor('101');
    const drained = life.drain();
    await pause(50);
    client.send('still here');
    await client.waitFor('still here');
    expect(await settles(drained)).toMatchObject({ cut: { sockets: 1, requests: 0 } });
    await client.closed;
  });

  it('that asks for an upgrade which nobody does is answered as without us', async () => {
    const life = makeLife();
    const served = await serveAttached(bare, life, hello);
    const client = await served.dial();
    client.send(getRequest('/', { Upgrade: 'h2c', Connection: 'Upgrade' }));
    await client.waitFor('hello');
  });

  it('is cut at drainTimeout, with its response', async () => {
    const life = makeLife({ drainTimeout: 100 });
    const served = await serveAttached(bare, life, (_req, res) => void (res as http.ServerResponse).write('first'));
    const clients = await Promise.all([served.dial(), served.dial()]);
    for (const client of clients) {
      client.send(getRequest());
      await client.waitFor('first');
    }
    expect(await settles(life.drain())).toMatchObject({ cut: { requests: 2, streams: 0, sockets: 0 }, forced: true });
    await Promise.all(clients.map(({ closed }) => closed));
    expect(clients.map(({ received }) => parseChunked(received).complete)).toEqual([false, false]);
    await until(() => !served.server.listening);
  });
});

describe('attach()', () => {
  it('returns an undo, for a server that it knows already the same', async () => {
    const life = makeLife();
    const server = http.createServer();
    const before = server.eventNames();
    const undos = [life.attach(server), life.attach(server)];
    undos[1]!();
    undos[0]!();
    expect(server.eventNames()).toEqual(before);
    const gate = deferred();
    server.on('request', (_req, res) => void gate.promise.then(() => res.end('x')));
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = await dial(running.port);
    client.send(getRequest());
    await turns(20);
    await settles(life.drain());
    expect(server.listening).toBe(true);
    gate.resolve();
    await client.waitFor('x');
  });

  it('takes several servers, and waits for all', async () => {
    const life = makeLife();
    const gates = [deferred(), deferred()];
    const { note, reached } = makeCounter();
    const [one, other] = await Promise.all(
      gates.map((gate) =>
        serveAttached(bare, life, async (_req, res) => {
          note();
          await gate.promise;
          res.end('x');
        }),
      ),
    );
    const readings = [one!.visit(), other!.visit()];
    await reached(2);
    const drained = life.drain();
    await until(() => !one!.server.listening && !other!.server.listening);
    gates[0]!.resolve();
    await (
      await readings[0]!
    ).over;
    await turns(20);
    expect(life.state).toBe('draining');
    gates[1]!.resolve();
    expect(await settles(drained)).toMatchObject({ finished: { requests: 2 } });
  });

  it('takes one while the drain is under way', async () => {
    const life = makeLife();
    const release = life.hold();
    const drained = life.drain();
    await pause(20);
    const served = await serve(bare, hello);
    life.attach(served.server);
    await until(() => !served.server.listening);
    release();
    expect(await settles(drained)).toMatchObject({ reason: 'complete' });
  });

  it('does not mind a server that was closed by somebody else, or that never listened', async () => {
    const life = makeLife();
    const served = await serveAttached(bare, life, hello);
    life.attach(http.createServer());
    served.server.close();
    expect(await settles(life.drain())).toMatchObject({ reason: 'complete' });
  });

  it.each([
    ['sockets', bare, 'connection'],
    ['sockets and sessions of HTTP/2', h2c, 'connection'],
    ['sessions', h2c, 'session'],
  ] as const)('leaves no listener on %s when it is undone', async (_name, carrier, event) => {
    const life = makeLife();
    const { server, port } = await serve(carrier, hello);
    const undo = life.attach(server);
    const came = once(server as net.Server, event) as Promise<[net.Socket]>;
    const client = await dial(port);
    if (carrier === h2c) client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
    const [one] = await settles(came);
    const before = one.listenerCount('close');
    undo();
    expect(one.listenerCount('close')).toBe(before - 1);
  });

  it('leaves no listener behind when it is dead', async () => {
    const life = makeLife();
    const server = http2.createServer();
    const before = server.eventNames();
    life.attach(server);
    await new Promise<void>((resolve) => server.listen(0, resolve));
    await settles(life.drain());
    expect(server.eventNames()).toEqual(before);
  });

  it.each([
    ['a default', 5000, 60_000, 75_000, 76_000],
    ['one of its own', 61_000, 60_000, 61_000, 60_000],
    ['a long headersTimeout', 5000, 90_000, 75_000, 90_000],
    ['no headersTimeout', 5000, 0, 75_000, 0],
  ])('lengthens the keep-alive of a server with %s', (_what, keepAliveTimeout, headersTimeout, keepAlive, headers) => {
    const server = Object.assign(http.createServer(), { keepAliveTimeout, headersTimeout });
    const undo = makeLife().attach(server);
    expect([server.keepAliveTimeout, server.headersTimeout]).toEqual([keepAlive, headers]);
    undo();
    expect([server.keepAliveTimeout, server.headersTimeout]).toEqual([keepAliveTimeout, headersTimeout]);
  });

  it('leaves the keep-alive alone where it shall, and what somebody set later', () => {
    const server = http.createServer();
    makeLife({ keepAlive: false }).attach(server);
    expect(server.keepAliveTimeout).toBe(5000);
    const undo = makeLife({ keepAlive: '10s' }).attach(server);
    expect(server.keepAliveTimeout).toBe(10_000);
    server.keepAliveTimeout = 11_000;
    undo();
    expect(server.keepAliveTimeout).toBe(11_000);
  });
});

describe.skipIf(!certificate)('a connection over TLS', () => {
  const options = { ...certificate, allowHTTP1: true };
  const servers: [name: string, make: (listener: Middleware) => AttachableServer, alpn: string[]][] = [
    ['node:https', (listener) => https.createServer(options, listener as http.RequestListener), ['http/1.1']],
    ['node:http2 with HTTP/1.1', (listener) => http2.createSecureServer(options, listener as never), ['http/1.1']],
  ];

  it.each(servers)('of %s is drained as any other', async (_name, make, ALPNProtocols) => {
    const life = makeLife();
    const gate = deferred();
    const { note, reached } = makeCounter();
    const listener = routes({
      '/': (_req, res) => res.end('hello'),
      '/slow': async (_req, res) => {
        note();
        await gate.promise;
        res.end('slow');
      },
    });
    const server = make(((req: http.IncomingMessage, res: http.ServerResponse) =>
      life(req, res, () => void listener(req, res, () => undefined))) as Middleware);
    life.attach(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    onTestFinished(() => void server.close());
    const connectTls = async (): Promise<{ socket: tls.TLSSocket; text: () => string }> => {
      const socket = tls.connect({ port: portOf(server), host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols });
      onTestFinished(() => void socket.destroy());
      let text = '';
      socket.on('error', () => undefined).on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      await new Promise((resolve) => socket.once('secureConnect', resolve));
      return { socket, text: () => text };
    };
    const [idle, unused, busy] = [await connectTls(), await connectTls(), await connectTls()];
    const [silent, shaking] = [await dial(portOf(server)), await dial(portOf(server))];
    shaking.send('\x16\x03\x01');
    idle.socket.write(getRequest());
    await until(() => idle.text().includes('hello'));
    busy.socket.write(getRequest('/slow'));
    await reached(1);
    const drained = life.drain();
    await until(() => [idle, unused].every(({ socket }) => socket.destroyed));
    await Promise.all([silent.closed, shaking.closed]);
    expect(life.state).toBe('draining');
    gate.resolve();
    await until(() => busy.text().includes('slow'));
    expect(await settles(drained)).toMatchObject({
      reason: 'complete',
      finished: { requests: 1 },
      cut: { requests: 0, sockets: 0 },
    });
  });

  it('of node:http2 is drained as one without', async () => {
    const life = makeLife();
    const gate = deferred();
    const { note, reached } = makeCounter();
    const server = http2.createSecureServer({ ...certificate }, (_req, res) => {
      note();
      void gate.promise.then(() => res.end('slow'));
    });
    life.attach(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    onTestFinished(() => void server.close());
    const session = http2.connect(`https://127.0.0.1:${portOf(server)}`, { rejectUnauthorized: false });
    onTestFinished(() => session.destroy());
    const goaways: number[] = [];
    session.on('goaway', (code) => goaways.push(code));
    const request = session.request({ ':path': '/' });
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    await reached(1);
    const drained = life.drain();
    await until(() => goaways.length > 0);
    gate.resolve();
    expect(await settles(drained)).toMatchObject({
      reason: 'complete',
      finished: { requests: 1 },
      cut: { requests: 0, sockets: 0 },
    });
    await until(() => text.length >= 4);
    expect([text, goaways[0]]).toEqual(['slow', 0]);
  });
});
