// @ts-check
// The same endpoint again and again: an event stream at `/events`, and the set of those who are connected.
import { Buffer } from 'node:buffer';
import express from 'express';

const head = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'X-Accel-Buffering': 'no',
  'Cache-Control': 'no-cache, no-transform',
};

/** Express and nothing else: what somebody writes by hand. */
export function serveBare() {
  /** @type {Set<import('express').Response>} */
  const clients = new Set();
  const app = express();
  app.get('/events', (_req, res) => {
    res.writeHead(200, head);
    res.flushHeaders();
    res.write(':ok\n\n');
    clients.add(res);
    res.on('close', () => clients.delete(res));
  });
  return { app, clients };
}

// `compression` compresses nothing that says `no-transform`.
const transformable = { 'Cache-Control': 'no-cache' };

/** The same by hand with `compression`, as its documentation says: whoever writes an event flushes it. */
export async function serveCompression() {
  const { default: compression } = await import('compression');
  /** @type {Set<import('express').Response>} */
  const clients = new Set();
  const app = express();
  app.use(compression({ level: 6 }));
  app.get('/events', (_req, res) => {
    res.writeHead(200, { ...head, ...transformable });
    res.write(':ok\n\n');
    res.flush();
    clients.add(res);
    res.on('close', () => clients.delete(res));
  });
  return { app, clients };
}

/**
 * `better-sse` as documented, but for its keep-alive: mostly no other peer has one, and its comments are no events.
 * Its `retry` stays, as the first event.
 * @param {(session: import('better-sse').Session) => void} [onSession]
 * @param {() => number | null} [keepAlive] - in ms
 */
export async function serveBetterSse(onSession, keepAlive = () => null) {
  const { createSession } = await import('better-sse');
  /** @type {Set<import('better-sse').Session>} */
  const clients = new Set();
  const app = express();
  app.get('/events', async (req, res) => {
    const session = await createSession(req, res, { keepAlive: keepAlive() });
    clients.add(session);
    onSession?.(session);
    session.once('disconnected', () => clients.delete(session));
  });
  return { app, clients };
}

/**
 * `better-sse` under `compression`. It does not flush: its user has to.
 * @param {(session: import('better-sse').Session) => void} [onSession]
 */
export async function serveCompressedBetterSse(onSession) {
  const { createSession } = await import('better-sse');
  const { default: compression } = await import('compression');
  /** @type {Set<{ session: import('better-sse').Session, res: import('express').Response }>} */
  const clients = new Set();
  const app = express();
  app.use(compression({ level: 6 }));
  app.get('/events', async (req, res) => {
    const client = { session: await createSession(req, res, { keepAlive: null, headers: transformable }), res };
    res.flush();
    clients.add(client);
    onSession?.(client.session);
    client.session.once('disconnected', () => clients.delete(client));
  });
  return { app, clients };
}

/** `sse` under `compress`. */
export async function serveCompressedSluice() {
  const { compress } = await import('sluice');
  return serveSluice({}, (app) => void app.use(compress({ level: 6 })));
}

/**
 * Its streams begin with a comment and a blank line, as those of the others do: the readers wait for one.
 * @param {import('sluice').SseOptions} [options]
 * @param {(app: import('express').Express) => void} [setUp] - before the route
 */
export async function serveSluice(options, setUp) {
  const { sse } = await import('sluice');
  /** @type {Set<import('sluice').EventStream>} */
  const clients = new Set();
  const app = express();
  setUp?.(app);
  app.get(
    '/events',
    sse(
      (stream) => {
        clients.add(stream);
        stream.onClose(() => clients.delete(stream));
      },
      { comments: 'block', ...options },
    ),
  );
  return { app, clients };
}

/** A channel of `createChannel` under `compress`. */
export async function serveCompressedChannel() {
  const { compress, createChannel } = await import('sluice');
  const channel = createChannel({ name: 'ticks' });
  const app = express();
  app.use(compress({ level: 6 }));
  app.get('/events', channel.subscribe({ comments: 'block' }));
  const clients = {
    get size() {
      return channel.subscribers().length;
    },
  };
  return { app, clients, channel };
}

/**
 * What no channel can pass: the bytes are there, framed, and go to each socket by one call, past `res`. All streams have
 * the same text, so one encoder is enough.
 */
export async function serveReadyBytes() {
  const { gzip } = await import('sluice/compress');
  const encoder = gzip({ level: 6 }).createBlocks?.({ tier: 0, size: undefined, padding: 0, history: 1024 });
  if (!encoder) throw new Error('gzip makes no blocks');
  const encode = async (/** @type {string} */ text, last = false) =>
    Buffer.from(await encoder.encode(Buffer.from(text), last));
  const prelude = await encode(':ok\n\n');
  /** @type {Set<import('express').Response>} */
  const clients = new Set();
  const app = express();
  app.get('/events', (_req, res) => {
    res.writeHead(200, { ...head, 'Content-Encoding': 'gzip' });
    res.write(prelude);
    clients.add(res);
    res.on('close', () => clients.delete(res));
  });
  /** @param {string} text */
  async function send(text) {
    const block = await encode(text);
    const chunk = Buffer.concat([Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from('\r\n')]);
    for (const { socket } of clients) socket?.write(chunk);
  }
  async function end() {
    const block = await encode('', true);
    for (const res of clients) res.end(block);
  }
  return { app, clients, send, end };
}
