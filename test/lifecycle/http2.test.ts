import type { ServerResponse } from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { h2c, listen } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { settles, turns, until } from '../support/until.ts';
import { connectFrames, goawayOf } from './http2-frames.ts';
import { followConnections, makeCounter, makeLife, probe, routes, serveAttached } from './support.ts';

const hello = routes({ '/': (_req, res) => res.end('hello') });

describe('the drain of HTTP/2', () => {
  it('sends a GOAWAY with the last stream that was taken in, and finishes that', async () => {
    const life = makeLife({ preDrain: '10s' });
    const gate = deferred();
    const { note, reached } = makeCounter();
    const served = await serveAttached(
      h2c,
      life,
      routes({
        '/slow': async (_req, res) => {
          note();
          await gate.promise;
          res.end('slow');
        },
      }),
    );
    const client = connectFrames(served.port);
    client.get(1, '/slow');
    await client.waitFor('SETTINGS');
    await reached(1);
    void life.drain();
    expect(goawayOf(await client.waitFor('GOAWAY'))).toEqual({ last: 1, code: 0 });
    gate.resolve();
    expect((await client.waitFor('DATA', 1)).payload.toString()).toBe('slow');
    expect(client.frames.filter(({ type }) => type === 'RST_STREAM')).toEqual([]);
  });

  it('lets a client of node:http2 know that a request on its way may be sent again', async () => {
    const life = makeLife({ preDrain: '10s' });
    const served = await serveAttached(h2c, life, hello);
    const session = http2.connect(served.origin);
    onTestFinished(() => session.destroy());
    session.on('error', () => undefined);
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    void life.drain();
    const request = session.request({ ':path': '/' });
    const failed = await settles(new Promise((resolve) => request.once('error', resolve)));
    expect(failed).toMatchObject({ message: expect.stringContaining('NGHTTP2_REFUSED_STREAM') });
  });

  it('serves a session that comes while it is announced, and then says GOAWAY', async () => {
    // Longer than the test waits: not the GOAWAY of the end of `preDrain`.
    const life = probe(makeLife({ preDrain: '1m', drainTimeout: '2m' }));
    const served = await serveAttached(h2c, life, hello);
    void life.drain();
    const client = connectFrames(served.port);
    await client.waitFor('SETTINGS');
    await turns(20);
    expect(client.frames.some(({ type }) => type === 'GOAWAY')).toBe(false);
    client.get(1, '/');
    expect((await client.waitFor('DATA', 1)).payload.toString()).toBe('hello');
    expect(goawayOf(await client.waitFor('GOAWAY'))).toEqual({ last: 1, code: 0 });
  });

  it('is not held by clients that have sent nothing, half a preface or no request, and do not go', async () => {
    const life = makeLife();
    const served = await serveAttached(h2c, life, hello);
    const connections = followConnections(served.server);
    for (const bytes of ['', 'PRI * HTTP/2.0', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0']) {
      const client = net.connect({ port: served.port, host: '127.0.0.1', allowHalfOpen: true });
      onTestFinished(() => void client.destroy());
      client.on('error', () => undefined).resume();
      client.write(bytes, 'latin1');
    }
    await connections.accepted(3);
    expect(await settles(life.drain())).toMatchObject({ cut: { sockets: 0 }, forced: false, reason: 'complete' });
  });

  it('closes sessions when it leaves, idle ones at once', async () => {
    const life = makeLife();
    const served = await serveAttached(h2c, life, hello);
    const client = connectFrames(served.port);
    client.get(1, '/');
    await client.waitFor('DATA', 1);
    const report = await settles(life.drain());
    await until(() => client.isClosed);
    expect(goawayOf(await client.waitFor('GOAWAY'))).toEqual({ last: 1, code: 0 });
    expect(report).toMatchObject({ cut: { requests: 0, sockets: 0 }, reason: 'complete' });
  });

  it('resets the streams of what is left at the end', async () => {
    const life = makeLife({ drainTimeout: 60 });
    const served = await serveAttached(h2c, life, (_req, res) => (res as unknown as ServerResponse).flushHeaders());
    const client = connectFrames(served.port);
    client.get(1, '/');
    client.get(3, '/');
    await client.waitFor('HEADERS', 3);
    expect(await settles(life.drain())).toMatchObject({ cut: { requests: 2, sockets: 0 }, reason: 'timeout' });
    const reset = await client.waitFor('RST_STREAM', 1);
    expect(reset.payload.readUInt32BE(0)).toBe(2);
    await until(() => client.isClosed);
  });

  it('leaves a server alone that works with streams', async () => {
    const server = http2.createServer();
    const life = makeLife();
    life.attach(server);
    expect(server.listenerCount('request')).toBe(0);
    const gate = deferred();
    const { note, reached } = makeCounter();
    server.on('stream', (stream, headers) => {
      note();
      void gate.promise.then(() => {
        stream.respond({ ':status': 200 });
        stream.end(`by stream ${headers[':path']}`);
      });
    });
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = connectFrames(running.port);
    client.get(1, '/');
    await client.waitFor('SETTINGS');
    await reached(1);
    const drained = life.drain();
    await until(() => !server.listening);
    expect(life.state).toBe('draining');
    gate.resolve();
    expect((await client.waitFor('DATA', 1)).payload.toString()).toBe('by stream /');
    expect(await settles(drained)).toMatchObject({ reason: 'complete', cut: { sockets: 0 } });
  });

  it('counts the connection where it knows no requests', async () => {
    const server = http2.createServer();
    const life = makeLife({ drainTimeout: 100 });
    life.attach(server);
    server.on('stream', (stream) => stream.respond({ ':status': 200 }));
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = connectFrames(running.port);
    client.get(1, '/');
    await client.waitFor('HEADERS', 1);
    expect(await settles(life.drain())).toMatchObject({ reason: 'timeout', cut: { requests: 0, sockets: 1 } });
    await until(() => client.isClosed);
  });

  it('knows requests of listeners that come later', async () => {
    const server = http2.createServer();
    const life = makeLife();
    life.attach(server);
    const gate = deferred();
    const { note, reached } = makeCounter();
    server.on('request', (_req, res) => {
      note();
      void gate.promise.then(() => res.end('late'));
    });
    expect(server.listenerCount('request')).toBe(2);
    const running = await listen(server);
    onTestFinished(() => running.close());
    const client = connectFrames(running.port);
    client.get(1, '/');
    await client.waitFor('SETTINGS');
    await reached(1);
    const drained = life.drain();
    gate.resolve();
    expect(await settles(drained)).toMatchObject({ finished: { requests: 1 } });
  });
});
