import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { constants, createGzip } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ClientOptions, type ClientStateChange, connect } from '../../src/client/index.ts';
import { compress, heartbeat, sse, type SseHandler } from '../../src/index.ts';
import { lastingPort } from '../support/lasting-port.ts';
import { parked, settles, until } from '../support/until.ts';

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

/** A server for one test. */
interface Site {
  readonly url: string;
  readonly server: Server;
  /** As a process that is killed. */
  kill(): Promise<void>;
}

async function listen(listener: Listener, port = 0): Promise<Site> {
  const server = createServer(listener).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const kill = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  onTestFinished(kill);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server, kill };
}

/** What a loop has got. */
interface Reading {
  readonly ids: string[];
  readonly changes: ClientStateChange[];
  readonly over: Promise<void>;
  close(): void;
}

/** Reads until the event `last`, or to the end. Heartbeats and waits are short, so that a test is. */
function follow(url: string, options: ClientOptions = {}, last = ''): Reading {
  const connection = connect(url, { retry: { min: 1, max: 20 }, ...options });
  onTestFinished(() => connection.close());
  const [ids, changes]: [string[], ClientStateChange[]] = [[], []];
  connection.onStateChange((change) => changes.push(change));
  const over = (async () => {
    for await (const { id } of connection) {
      ids.push(id);
      if (id === last) break;
    }
  })();
  return { ids, changes, over, close: () => connection.close() };
}

const upTo = (last: number): string[] => Array.from({ length: last }, (_, index) => String(index + 1));
const codes = (changes: readonly ClientStateChange[]): unknown[] =>
  changes.filter(({ state }) => state === 'waiting').map(({ error }) => error?.code);

/** Counts on from where the client is. `after(n)` is awaited after each event. */
function counting(after: (n: number) => unknown): SseHandler {
  return async (stream) => {
    for (let n = Number(stream.lastEventId) + 1; !stream.signal.aborted; n++) {
      await stream.send({ id: String(n), data: n });
      await after(n);
    }
  };
}

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe('connect resumes exactly once', () => {
  it('when the server is killed and comes back', async () => {
    const port = await lastingPort();
    const site = sse(counting(tick));
    const first = await listen(site, port);
    const { ids, over, changes } = follow(first.url, {}, '200');
    await until(() => ids.length > 20);
    await first.kill();
    await until(() => codes(changes).includes('ERR_SLUICE_CLIENT_UNREACHABLE'));
    await listen(site, port);
    await settles(over);
    expect(ids).toEqual(upTo(200));
    expect(codes(changes)).toContain('ERR_SLUICE_CLIENT_DISCONNECTED');
  });

  it.each(['plain', 'gzip'])('when the server says reconnect() in every fifth event, %s', async (coding) => {
    const events = sse(async (stream) => {
      const from = Number(stream.lastEventId);
      for (let n = from + 1; n <= from + 5; n++) await stream.send({ id: String(n), data: n });
      await stream.reconnect({ retry: 1 });
    });
    const compression = compress();
    const { url } = await listen((req, res) => {
      if (coding === 'plain') events(req, res);
      else compression(req, res, () => events(req, res));
    });
    const { ids, over } = follow(url, {}, '50');
    await settles(over);
    expect(ids).toEqual(upTo(50));
  });

  it.each(['end', 'destroy'] as const)('when gzip is cut: the body ends by %s', async (ending) => {
    const { url } = await listen((req, res) => {
      const from = Number(req.headers['last-event-id'] ?? 0);
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' });
      const encoder = createGzip();
      const chunks: Buffer[] = [];
      encoder.on('data', (chunk: Buffer) => chunks.push(chunk));
      encoder.write(`id: ${from + 1}\ndata: whole\n\nid: ${from + 2}\ndata: cut`);
      encoder.flush(constants.Z_SYNC_FLUSH, () => {
        encoder.destroy();
        res.write(Buffer.concat(chunks), () => {
          if (ending === 'end') res.end();
          else setTimeout(() => res.destroy(), 20);
        });
      });
    });
    const { ids, over } = follow(url, {}, '5');
    await settles(over);
    expect(ids).toEqual(upTo(5));
  });

  it('when ids are not ASCII', async () => {
    const seen: string[] = [];
    const { url } = await listen(
      sse(async (stream) => {
        seen.push(stream.lastEventId);
        await stream.send({ id: `ключ-✓-${seen.length}`, data: 1 });
        await stream.reconnect({ retry: 1 });
      }),
    );
    await settles(follow(url, {}, 'ключ-✓-3').over);
    expect(seen).toEqual(['', 'ключ-✓-1', 'ключ-✓-2']);
  });
});

/** A server of sockets: each request gets the bytes of its number, and no end. */
async function listenRaw(answers: readonly string[]): Promise<{ url: string; heads: string[] }> {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      heads.push(bytes.toString('latin1'));
      socket.write(answers[heads.length - 1] ?? '');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, heads };
}

describe('connect survives', () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n';

  it('a server that never answers, and one that falls silent', async () => {
    const { url, heads } = await listenRaw(['', `${head}id: 1\ndata: 1\n\n`, `${head}id: 2\ndata: 2\n\n`]);
    const { ids, over, changes } = follow(url, { heartbeat: 100 }, '2');
    await settles(over);
    expect(ids).toEqual(['1', '2']);
    expect(codes(changes)).toEqual(['ERR_SLUICE_CLIENT_SILENT', 'ERR_SLUICE_CLIENT_SILENT']);
    expect(heads.map((each) => /last-event-id: (\d+)/.exec(each)?.[1])).toEqual([undefined, undefined, '1']);
  });

  it('503 with Retry-After, a page instead of a stream, and a cut before the head', async () => {
    let requests = 0;
    const events = sse(counting(tick));
    const { url } = await listen((req, res) => {
      const request = ++requests;
      if (request === 1) res.writeHead(503, { 'Retry-After': '0' }).end('busy');
      else if (request === 3) res.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>Back soon</h1>');
      else if (request === 4) res.destroy();
      else events(req, res);
      if (request === 2) setTimeout(() => res.destroy(), 50);
    });
    const { ids, over, changes } = follow(url, {}, '100');
    await settles(over);
    expect(ids).toEqual(upTo(100));
    expect(codes(changes)).toEqual([
      'ERR_SLUICE_CLIENT_REFUSED',
      'ERR_SLUICE_CLIENT_DISCONNECTED',
      'ERR_SLUICE_CLIENT_CONTENT_TYPE',
      'ERR_SLUICE_CLIENT_UNREACHABLE',
    ]);
  });

  it('a quiet stream with heartbeats', async () => {
    const beats = heartbeat({ every: 40 });
    const events = sse(async (stream) => {
      await stream.send({ id: '1', data: 1 });
      await new Promise((resolve) => stream.onClose(resolve));
    });
    let socket: Socket | undefined;
    const { url } = await listen((req, res) => {
      socket = req.socket;
      beats(req, res, () => events(req, res));
    });
    const { ids, changes, close } = follow(url, { heartbeat: 400 });
    await until(() => ids.length === 1);
    // A beat is a line of two bytes in a chunk: so many take longer than the patience of the client.
    const before = socket!.bytesWritten;
    await until(() => socket!.bytesWritten > before + 30 * 7);
    expect(codes(changes)).toEqual([]);
    close();
  });
});

describe('connect ends', () => {
  it('after stop(), and does not ask again', async () => {
    const statuses: number[] = [];
    const events = sse(async (stream) => {
      await stream.send({ id: '1', data: 1 });
      await stream.stop();
    });
    for (const method of ['GET', 'POST']) {
      statuses.length = 0;
      const { url } = await listen((req, res) => {
        res.on('close', () => statuses.push(res.statusCode));
        events(req, res);
      });
      const { ids, over } = follow(url, { method, reconnect: 'always' });
      await settles(over);
      expect([ids, statuses]).toEqual([['1'], [200]]);
    }
  });

  it('with the loop: the server learns of it', async () => {
    let closed: unknown;
    const { url } = await listen(
      sse(async (stream) => {
        stream.onClose((reason) => (closed = reason));
        await stream.send({ id: '1', data: 1 });
        await new Promise((resolve) => stream.onClose(resolve));
      }),
    );
    await settles(follow(url, {}, '1').over);
    await until(() => closed !== undefined);
    expect(closed).toBe('client-closed');
  });

  it('a POST with its answer, sent once', async () => {
    const bodies: string[] = [];
    const events = sse(async function* () {
      yield { id: '1', data: bodies.at(-1) };
    });
    const { url } = await listen((req, res) => {
      void readText(req).then((body) => {
        bodies.push(body);
        events(req, res);
      });
    });
    const { ids, over } = follow(url, { method: 'POST', body: '{"q":1}' });
    await settles(over);
    expect([ids, bodies]).toEqual([['1'], ['{"q":1}']]);
  });

  it('a POST that is cut, with an error', async () => {
    let requests = 0;
    const { url } = await listen((req, res) => {
      requests++;
      res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('id: 1\ndata: 1\n\n');
      setTimeout(() => res.destroy(), 20);
      req.resume();
    });
    const { ids, over } = follow(url, { method: 'POST' });
    await expect(settles(over)).rejects.toMatchObject({ code: 'ERR_SLUICE_CLIENT_DISCONNECTED' });
    expect([ids, requests]).toEqual([['1'], 1]);
  });
});

describe('a fast server and a slow loop', () => {
  it('holds the server up, keeps little, and loses nothing', { timeout: 120_000 }, async () => {
    const [total, padding] = [24_000, 'x'.repeat(1000)];
    let written = 0;
    const { url } = await listen((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      const more = (): void => {
        while (written < total) {
          written++;
          if (!res.write(`id: ${written}\ndata: ${padding}\n\n`)) {
            res.once('drain', more);
            return;
          }
        }
        res.end();
      };
      more();
    });
    const connection = connect(url, { reconnect: 'on-error', maxBufferSize: 2000 });
    onTestFinished(() => connection.close());
    const events = connection[Symbol.asyncIterator]();
    await settles(events.next());
    // What the kernel and `fetch` hold is a few megabytes.
    const stalled = await parked(() => written);
    expect(stalled).toBeLessThan(total);
    let expected = 2;
    for await (const { id } of connection) {
      if (id !== String(expected)) expect.fail(`got ${id}, expected ${expected}`);
      expected++;
    }
    expect(expected).toBe(total + 1);
  });
});
