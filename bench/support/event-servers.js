// @ts-check
// The same endpoint three times: an event stream at `/events`, and the set of those who are connected.
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

/**
 * `better-sse` as documented, but for its keep-alive: no other peer has one, and its comments are no events.
 * Its `retry` stays, as the first event.
 * @param {(session: import('better-sse').Session) => void} [onSession]
 */
export async function serveBetterSse(onSession) {
  const { createSession } = await import('better-sse');
  /** @type {Set<import('better-sse').Session>} */
  const clients = new Set();
  const app = express();
  app.get('/events', async (req, res) => {
    const session = await createSession(req, res, { keepAlive: null });
    clients.add(session);
    onSession?.(session);
    session.once('disconnected', () => clients.delete(session));
  });
  return { app, clients };
}

/** @param {import('sluice').SseOptions} [options] */
export async function serveSluice(options) {
  const { sse } = await import('sluice');
  /** @type {Set<import('sluice').EventStream>} */
  const clients = new Set();
  const app = express();
  app.get(
    '/events',
    sse((stream) => {
      clients.add(stream);
      stream.onClose(() => clients.delete(stream));
    }, options),
  );
  return { app, clients };
}
