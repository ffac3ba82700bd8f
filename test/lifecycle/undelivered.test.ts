import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, type HttpResponse } from '../../src/index.ts';
import type { AttachableServer, DrainReport, Lifecycle } from '../../src/lifecycle/index.ts';
import { http1Client, http2Client } from '../support/body-clients.ts';
import { bare, type Carrier, carriers, h2c, type Middleware } from '../support/carriers.ts';
import { makeCertificate } from '../support/certificate.ts';
import { getRequest } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { makeLife, portOf, serveAttached } from './support.ts';

// More than the kernel takes for a client that does not read.
const large = 30_000_000;
const sizes = [1000, 200_000, large];
const certificate = makeCertificate();

/** Answers at once with so many bytes, as the framework does it. */
function answer(onAnswer: () => void = () => undefined): Middleware {
  return (req, response) => {
    const res = response as HttpResponse & { send?: (body: Buffer) => void };
    const body = Buffer.alloc(Number(new URL(req.url!, 'http://x').searchParams.get('bytes')), 'x');
    if (res.send) res.send(body);
    else res.end(body);
    onAnswer();
  };
}

/** A client that reads when it is told to, and counts. */
interface Reader {
  /** Bytes so far, of HTTP/1.1 with heads. */
  readonly bytes: () => number;
  read(): void;
  leave(): void;
  readonly closed: Promise<unknown>;
}

/** Writes requests on a connection of its own, and reads nothing yet. */
function request(port: number, requests: string, isSecure = false): Reader {
  const where = { port, host: '127.0.0.1' };
  const secure = { ...where, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };
  const socket = isSecure ? tls.connect(secure) : net.connect(where);
  onTestFinished(() => void socket.destroy());
  let bytes = 0;
  socket.on('error', () => undefined);
  const count = (chunk: Buffer): void => void (bytes += chunk.length);
  socket.write(requests);
  return {
    bytes: () => bytes,
    read: () => void socket.on('data', count),
    leave: () => void socket.resetAndDestroy(),
    closed: once(socket, 'close'),
  };
}

function requestHttp2(url: string, bytes: number): Reader {
  const session = http2.connect(url, { rejectUnauthorized: false });
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({ ':path': `/?bytes=${bytes}` });
  stream.on('error', () => undefined);
  let count = 0;
  return {
    bytes: () => count,
    read: () => void stream.on('data', (chunk: Buffer) => (count += chunk.length)),
    leave: () => stream.close(http2.constants.NGHTTP2_CANCEL),
    closed: once(session, 'close'),
  };
}

interface Site {
  readonly life: Lifecycle;
  readonly server: AttachableServer;
  ask(bytes: number): Reader;
  /** So many responses were ended. */
  answered(count: number): Promise<void>;
}

async function openOn(carrier: Carrier, drainTimeout = '10s'): Promise<Site & { port: number }> {
  const life = makeLife({ drainTimeout });
  let answers = 0;
  const { server, port, origin } = await serveAttached(
    carrier,
    life,
    answer(() => (answers += 1)),
  );
  return {
    life,
    server,
    port,
    ask: (bytes) => (carrier === h2c ? requestHttp2(origin, bytes) : request(port, getRequest(`/?bytes=${bytes}`))),
    answered: (count) => until(() => answers >= count),
  };
}

type MakeServer = (listener: (req: never, res: never) => void) => AttachableServer;

async function openSecure(make: MakeServer, isHttp2 = false): Promise<Site> {
  const life = makeLife();
  let answers = 0;
  const handler = answer(() => (answers += 1));
  const server = make((req, res) => life(req, res, () => void handler(req, res, () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  onTestFinished(life.attach(server));
  return {
    life,
    server,
    ask(bytes) {
      const port = portOf(server);
      if (isHttp2) return requestHttp2(`https://127.0.0.1:${port}`, bytes);
      return request(port, getRequest(`/?bytes=${bytes}`), true);
    },
    answered: (count) => until(() => answers >= count),
  };
}

const sites: [name: string, open: () => Promise<Site>][] = [
  ...carriers.map((carrier): [string, () => Promise<Site>] => [carrier.name, () => openOn(carrier)]),
];
if (certificate) {
  const both = { ...certificate, allowHTTP1: true };
  sites.push(
    ['node:https', () => openSecure((listener) => https.createServer(certificate, listener as never))],
    [
      'node:http2 with TLS',
      () => openSecure((listener) => http2.createSecureServer(certificate, listener as never), true),
    ],
    ['HTTP/1.1 of node:http2', () => openSecure((listener) => http2.createSecureServer(both, listener as never))],
  );
}

describe.each(sites)('a response that was ended and is not sent when a drain begins, on %s,', (_name, open) => {
  it.each(sizes)('arrives whole, all %d bytes', async (bytes) => {
    const { life, server, ask, answered } = await open();
    const reader = ask(bytes);
    await answered(1);
    const drained = life.drain();
    await until(() => !server.listening);
    reader.read();
    const report = await settles(drained);
    await settles(reader.closed);
    expect(reader.bytes()).toBeGreaterThanOrEqual(bytes);
    expect(report).toMatchObject({
      aborted: { requests: 0 },
      cut: { requests: 0, sockets: 0 },
      forced: false,
      reason: 'complete',
    });
    expect(report.finished.requests).toBeLessThanOrEqual(1);
  });
});

describe('a response that is not sent when a drain begins', () => {
  it.each([bare, h2c])('counts as finished when it is sent, on $name', async (carrier) => {
    const { life, server, ask, answered } = await openOn(carrier);
    const reader = ask(large);
    await answered(1);
    const drained = life.drain();
    await until(() => !server.listening);
    expect(life.state).toBe('draining');
    reader.read();
    expect(await settles(drained)).toMatchObject({
      finished: { requests: 1 },
      aborted: { requests: 0 },
      cut: { requests: 0 },
    });
  });

  it.each([bare, h2c])('counts as cut when drainTimeout cuts it, on $name', async (carrier) => {
    const { life, ask, answered } = await openOn(carrier, '200');
    ask(large);
    await answered(1);
    expect(await settles(life.drain())).toMatchObject({
      finished: { requests: 0 },
      aborted: { requests: 0 },
      cut: { requests: 1, sockets: 0 },
      reason: 'timeout',
    });
  });

  it.each([bare, h2c])('counts as aborted when its client leaves, on $name', async (carrier) => {
    const { life, server, ask, answered } = await openOn(carrier);
    const reader = ask(large);
    await answered(1);
    const drained = life.drain();
    await until(() => !server.listening);
    reader.leave();
    expect(await settles(drained)).toMatchObject({
      finished: { requests: 0 },
      aborted: { requests: 1 },
      cut: { requests: 0 },
      reason: 'complete',
    });
  });

  it('arrives with those that are pipelined behind it', async () => {
    const { life, server, port, answered } = await openOn(bare);
    const requests = [large, 1000, 70_000].map((bytes) => getRequest(`/?bytes=${bytes}`));
    const reader = request(port, requests.join(''));
    await answered(3);
    const drained: Promise<DrainReport> = life.drain();
    await until(() => !server.listening);
    reader.read();
    expect(await settles(drained)).toMatchObject({
      finished: { requests: 3 },
      aborted: { requests: 0 },
      cut: { requests: 0, sockets: 0 },
      reason: 'complete',
    });
    await settles(reader.closed);
    expect(reader.bytes()).toBeGreaterThanOrEqual(large + 71_000);
  });

  it('arrives where the client has asked for the close of its connection', async () => {
    const { life, server, port, answered } = await openOn(bare);
    const reader = request(port, getRequest(`/?bytes=${large}`, { Connection: 'close' }));
    await answered(1);
    const drained = life.drain();
    await until(() => !server.listening);
    reader.read();
    expect(await settles(drained)).toMatchObject({ finished: { requests: 1 }, reason: 'complete' });
    await settles(reader.closed);
    expect(reader.bytes()).toBeGreaterThanOrEqual(large);
  });
});

describe('a response that is still in the encoder when a drain begins', () => {
  it.each([bare, h2c])('arrives whole, on $name', async (carrier) => {
    const life = makeLife();
    // What no encoder makes shorter.
    const body = randomBytes(8_000_000);
    let isEnded = false;
    const served = await serveAttached(carrier, life, compress() as Middleware, (_req, response) => {
      const res = response as http.ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      res.write(body.subarray(0, 1000));
      res.end(body.subarray(1000));
      isEnded = true;
    });
    const client = carrier === h2c ? http2Client(served) : http1Client(served);
    onTestFinished(() => client.close());
    const visit = client.get('/', 'gzip');
    await until(() => isEnded);
    const drained = life.drain();
    await until(() => !served.server.listening);
    const reading = await visit;
    expect(await settles(reading.over)).toBe('end');
    expect([reading.coding, gunzipSync(reading.bytes).equals(body)]).toEqual(['gzip', true]);
    expect(await settles(drained)).toMatchObject({
      finished: { requests: 1 },
      aborted: { requests: 0 },
      cut: { requests: 0 },
      reason: 'complete',
    });
  });
});

describe('a response without a body', () => {
  const statuses = [204, 304, 200];
  const answers = carriers.flatMap((carrier) => statuses.map((status) => ({ on: carrier.name, carrier, status })));

  it.each(answers)('counts as finished: $status on $on', async ({ carrier, status }) => {
    const life = makeLife();
    let finish: (() => void) | undefined;
    const served = await serveAttached(carrier, life, (_req, response) => {
      const res = response as http.ServerResponse;
      finish = () => {
        res.statusCode = status;
        res.end();
      };
    });
    const visit = served.visit({ method: status === 200 ? 'HEAD' : 'GET' });
    await until(() => finish !== undefined);
    const drained = life.drain();
    finish!();
    expect((await visit).status).toBe(status);
    expect(await settles(drained)).toMatchObject({
      finished: { requests: 1 },
      aborted: { requests: 0 },
      reason: 'complete',
    });
  });
});
