import { EventEmitter, getEventListeners, setMaxListeners } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import v8 from 'node:v8';
import { describe, expect, it } from 'vitest';
import { ndjson, pipeBody, sse, waitWritable } from '../../src/index.ts';
import { Seam } from '../../src/internal/seam/response.ts';
import { OutStream } from '../../src/internal/writer/stream.ts';
import { bare, h2c, type Middleware } from '../support/carriers.ts';
import { getRequest } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { turns, until } from '../support/until.ts';

const cycles = 2_000;

/** Objects that outlive every request, and on which each leaves something for a while. */
const feed = new EventEmitter().setMaxListeners(0);
const root = new AbortController();
setMaxListeners(0, root.signal);

/** More than the kernel takes for a client that does not read. */
const block = Buffer.alloc(5_000_000);

/** Streams of every kind, each with something that has to be undone when its client leaves. */
const routes: Record<string, Middleware> = {
  '/listener': sse((stream) => {
    const send = (): void => void stream.send('news');
    feed.on('news', send);
    stream.onClose(() => feed.off('news', send));
  }),
  '/generator': sse(async function* (stream) {
    yield 'first';
    await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
  }),
  '/pipe': sse(async (stream) =>
    stream.pipe(new ReadableStream<string>({ start: (controller) => controller.enqueue('first') }), {
      signal: root.signal,
    }),
  ),
  '/records': ndjson(async function* (stream) {
    yield 1;
    await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
  }),
  '/body': (req, res) =>
    pipeBody(
      (async function* () {
        yield 'first';
        yield* new ReadableStream<string>();
      })(),
      req,
      res,
      { signal: root.signal },
    ),
  '/full': async (_req, res) => {
    // An HTTP/2 window is 64 kB, and what a session may hold is bounded.
    (res as http.ServerResponse).write('stream' in res ? block.subarray(0, 70_000) : block);
    await waitWritable(res, { signal: root.signal, deadline: Date.now() + 3_600_000 }).catch(() => undefined);
  },
  '/reconnect': sse(
    async (stream) => {
      await stream.send('first');
      await stream.reconnect();
      // A timer that is left behind must not go by itself before it is counted.
    },
    { closeTimeout: '1h' },
  ),
  '/end': sse(function* () {
    yield 'first';
  }),
  '/fails': sse(
    async function* () {
      yield 'first';
      await turns(1);
      throw new Error('late');
    },
    { closeTimeout: '1h' },
  ),
};

const paths = Object.keys(routes);
const route: Middleware = (req, res, next) => routes[req.url!]!(req, res, next);

function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function listeners(): Record<string, number> {
  return {
    news: feed.listenerCount('news'),
    abort: getEventListeners(root.signal, 'abort').length,
    process: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
}

/** Objects of a class that are still reachable. */
function alive(constructor: abstract new (...args: never[]) => unknown): number {
  const { queryObjects } = v8 as unknown as {
    queryObjects(constructor: unknown, options: { format: 'count' }): number;
  };
  return queryObjects(constructor, { format: 'count' });
}

async function inParallel(count: number, task: (index: number) => Promise<void>, concurrency = 200): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) await task(next++);
    }),
  );
}

/** Opens a stream, reads its first bytes, leaves. */
function visit(port: number, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(getRequest(path)));
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      received += received.length > 1000 ? '' : chunk;
      if (
        received.includes('first') ||
        received.includes(':ok') ||
        received.includes('\r\n1\n') ||
        received.length > 1000
      )
        socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () =>
      received.startsWith('HTTP/1.1 200') ? resolve() : reject(new Error(`${path}: ${JSON.stringify(received)}`)),
    );
  });
}

async function settled(before: Record<string, number>, now: () => Record<string, number>): Promise<void> {
  const keys = (): string[] => [...new Set([...Object.keys(before), ...Object.keys(now())])];
  // A socket or timer of somebody else's may go meanwhile; none of ours may come.
  await until(
    () => keys().every((key) => (now()[key] ?? 0) <= (before[key] ?? 0)),
    () => JSON.stringify({ before, now: now() }),
  ).catch(() => expect(now()).toEqual(before));
}

describe('two thousand streams that come and go', () => {
  it('leave no handle, timer, listener or object behind', { timeout: 300_000 }, async () => {
    const running = await serve(bare, route);
    const server = running.server as http.Server;
    // What is made once, at the first use.
    await inParallel(paths.length * 5, (index) => visit(running.port, paths[index % paths.length]!));
    await turns(50);
    const before = {
      resources: resources(),
      listeners: listeners(),
      server: server.eventNames().map((name) => server.listenerCount(name)),
    };
    await inParallel(cycles, (index) => visit(running.port, paths[index % paths.length]!));
    let connections = -1;
    await until(() => {
      server.getConnections((_error, count) => (connections = count));
      return connections === 0;
    });
    await settled(before.resources, resources);
    await settled(before.listeners, listeners);
    expect(server.eventNames().map((name) => server.listenerCount(name))).toEqual(before.server);
    // Some may still be held by Node's parser pool; thousands are not.
    for (const constructor of [Seam, OutStream, http.ServerResponse, http2.Http2ServerResponse])
      expect(alive(constructor)).toBeLessThan(100);
  });

  it('leave nothing on the one HTTP/2 connection that carried them', { timeout: 300_000 }, async () => {
    const running = await serve(h2c, route);
    const serverSessions: http2.Http2Session[] = [];
    running.server.on('session', (session: http2.Http2Session) => serverSessions.push(session));
    const session = http2.connect(running.origin);
    session.on('error', () => undefined);
    const visitStream = (index: number): Promise<void> =>
      new Promise((resolve) => {
        const req = session.request({ ':path': paths[index % paths.length]! });
        req.on('data', () => req.close(http2.constants.NGHTTP2_CANCEL));
        req.on('error', () => undefined);
        req.on('close', () => resolve());
      });
    const count = (emitter: NodeJS.EventEmitter): number[] =>
      emitter.eventNames().map((name) => emitter.listenerCount(name));
    await inParallel(paths.length, visitStream);
    // The server's side of them is over too.
    await until(() => listeners()['news'] === 0 && listeners()['abort'] === 0);
    await turns(50);
    const [serverSession] = serverSessions as [http2.Http2Session];
    const before = {
      resources: resources(),
      listeners: listeners(),
      session: count(serverSession),
      socket: count(serverSession.socket),
    };
    // Fewer than Node takes for an attack.
    await inParallel(800, visitStream, 40);
    await turns(50);
    await settled(before.listeners, listeners);
    await settled(before.resources, resources);
    await expect
      .poll(() => [count(serverSession), count(serverSession.socket)], { timeout: 5000 })
      .toEqual([before.session, before.socket]);
    for (const constructor of [Seam, OutStream, http.ServerResponse, http2.Http2ServerResponse])
      expect(alive(constructor)).toBeLessThan(100);
    session.destroy();
  });
});
