// The server of the soak: everything that the library has on one Express. It gets orders, and answers each.
import { subscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import net from 'node:net';
import { queryObjects } from 'node:v8';
import express from 'express';
import { sluice } from 'sluice';
import { pipeBody } from 'sluice/body';
import { createChannel } from 'sluice/channel';
import { ndjson } from 'sluice/records';
import { sse } from 'sluice/sse';
import { answer } from './orders.js';

/** @typedef {{ id: string, path: string, status: number, isWhole: boolean, reason?: string }} Seen */

/** @type {Seen[]} */
let seen = [];
/** @type {WeakMap<object, string>} */
const reasons = new WeakMap();
subscribe('sluice:stream:close', (/** @type {any} */ { req, reason }) => void reasons.set(req, reason));
/** @type {string[]} */
const warnings = [];
process.on('warning', ({ name, message }) => {
  // Of `queryObjects`.
  if (name !== 'ExperimentalWarning') warnings.push(`${name}: ${message}`);
});

const parts = sluice({ heartbeat: { every: '1s', writeDeadline: '60s' } });
const ticks = createChannel({ name: 'ticks', history: { count: 100 } });
/** @type {Map<any, boolean>} Streams that stay until they are ended, or their client leaves. */
const live = new Map();

const app = express();
app.use((req, res, next) => {
  res.on('close', () => {
    const reason = reasons.get(req);
    const { id } = req.query;
    const outcome = { id: String(id), path: req.path, status: res.statusCode, isWhole: res.writableFinished };
    seen.push(reason === undefined ? outcome : { ...outcome, reason });
  });
  next();
});
app.use(parts);
app.get('/ticks', ticks.subscribe({ from: 1, headers: { 'Cache-Control': 'no-cache' } }));
app.get('/news', sse(stay, { headers: { 'Cache-Control': 'no-cache' } }));
app.get('/rows', ndjson(stay, { headers: { 'Cache-Control': 'no-cache' } }));
app.get('/few-news', sse(few, { headers: { 'Cache-Control': 'no-cache' } }));
app.get('/few-rows', ndjson(few, { headers: { 'Cache-Control': 'no-cache' } }));
app.get('/download', async (req, res) => {
  res.type('text/plain');
  await pipeBody(chunks(Number(req.query['size'] ?? Infinity)), req, res);
});
app.get('/json', (_req, res) => void res.json({ rows: Array.from({ length: 50 }, (_, id) => ({ id, text: line })) }));
// Answers never: its client leaves, or its deadline passes.
app.get('/hang', () => undefined);

const line = 'a line that is like the others\n';
const block = line.repeat(500);

/** @param {number} size */
async function* chunks(size) {
  for (let left = size; left > 0; left -= block.length) {
    await pause(5);
    yield left < block.length ? block.slice(0, left) : block;
  }
}

/** @param {any} stream @param {any} req */
function stay(stream, req) {
  live.set(stream, req.query.fate === 'end');
  stream.onClose(() => live.delete(stream));
  void stream.send({ data: 'first' });
}

/** @param {any} _stream @param {any} req */
async function* few(_stream, req) {
  for (let left = Number(req.query.events); left > 1; left -= 1) {
    yield { data: line };
    await pause(50);
  }
  yield { data: 'last' };
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Rarer than heartbeats, so that these are sent.
setInterval(() => {
  for (const stream of live.keys()) void stream.send({ data: line });
  void ticks.publish({ event: 'tick', data: { line } });
}, 2_500);

const server = http.createServer(app);
// Longer than the clients of Node need between two requests.
server.keepAliveTimeout = 2_000;
parts.attach(server);
const Timeout = setTimeout(() => undefined, 0).constructor;

/** How many there are of each, once garbage is collected. */
function countObjects() {
  const kinds = { Timeout, Socket: net.Socket, Request: http.IncomingMessage, Response: http.ServerResponse };
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, queryObjects(/** @type {any} */ (kind))]),
  );
}

/** @returns {Record<string, number>} */
function countResources() {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** @returns {Promise<number>} */
function countConnections() {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}

async function look() {
  const { streams, connections, routes, errors, expired } = parts.monitor.snapshot();
  return {
    connections: await countConnections(),
    live: live.size,
    subscribers: ticks.subscribers().length,
    active: streams.active,
    responses: Object.values(routes).reduce((sum, { active }) => sum + active, 0),
    watched: connections.connections,
    heartbeats: connections.heartbeats,
    ended: streams.ended,
    endedWatches: connections.ended,
    encoders: parts.compress.activeEncoders,
    errors,
    expired,
    warnings,
  };
}

answer({
  listen: () =>
    new Promise((resolve) => {
      server.listen({ port: 0, host: '127.0.0.1', backlog: 8192 }, () => {
        resolve({ port: /** @type {net.AddressInfo} */ (server.address()).port });
      });
    }),
  look,
  /** Ends those that are to be ended, one after another. */
  end: async ({ ms }) => {
    const ending = [...live].filter(([, isToEnd]) => isToEnd).map(([stream]) => stream);
    for (const [at, stream] of ending.entries()) {
      setTimeout(
        () => {
          void stream.send({ data: 'last' });
          void stream.end();
        },
        (ms * at) / ending.length,
      );
    }
    return { ending: ending.length };
  },
  /** What was seen since the last time. */
  seen: () => {
    const all = seen;
    seen = [];
    return all;
  },
  measure: async () => {
    for (let time = 0; time < 3; time += 1) {
      globalThis.gc?.();
      await pause(20);
    }
    const objects = countObjects();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { ...(await look()), resources: countResources(), objects, rss, heapUsed, external };
  },
});
