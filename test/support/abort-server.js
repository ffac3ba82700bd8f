// A server in a process of its own whose clients leave at any moment. Started by test/faults/compress-aborts.test.ts,
// with --expose-gc, and asked over its channel what is left of them.
import { createHash } from 'node:crypto';
import http from 'node:http';
import v8 from 'node:v8';
import zlib from 'node:zlib';
import { compress } from 'sluice/compress';

/** @typedef {import('node:http').ServerResponse} ServerResponse */

const compression = compress({ idleFlush: '5ms' });

// What no coding makes much shorter, and what any does.
const noise = createHash('shake256', { outputLength: 300_000 }).update('noise').digest('base64url');
const prose = 'data: {"symbol":"SLC","price":101.25,"size":300}\n\n';
const whole = prose.repeat(4000);

/** @type {string[]} */
const faults = [];
for (const event of ['uncaughtException', 'unhandledRejection', 'warning']) {
  process.on(event, (/** @type {unknown} */ reason) => {
    const error = reason instanceof Error ? reason : new Error(String(reason));
    if (error.name !== 'ExperimentalWarning') faults.push(`${event}: ${error.stack}`);
  });
}

/** @param {number} count */
async function turns(count) {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => void setImmediate(resolve));
}

/** @param {ServerResponse} res */
function drained(res) {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const done = () => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
    if (res.destroyed) done();
  });
}

/**
 * Writes as a handler does that has not heard that its client is gone: it looks only now and then.
 * @param {ServerResponse} res
 * @param {string} type
 * @param {string} text - of each write
 * @param {number} count - of the writes
 */
async function write(res, type, text, count) {
  res.setHeader('Content-Type', type);
  for (let index = 0; index < count; index++) {
    if (!res.write(text)) await drained(res);
    if (index % 4 === 3) {
      await turns(1);
      if (res.destroyed) return;
    }
  }
  res.end('the end');
}

/** @type {Record<string, (res: ServerResponse) => unknown>} */
const routes = {
  '/events': (res) => write(res, 'text/event-stream', prose, 12),
  '/events/full': (res) => write(res, 'text/event-stream', noise.slice(0, 100_000), Infinity),
  '/long': (res) => write(res, 'text/plain', prose.repeat(40), 12),
  '/long/full': (res) => write(res, 'text/plain', noise.slice(0, 30_000), Infinity),
  '/whole': (res) => res.setHeader('Content-Type', 'text/plain').end(whole),
};

const server = http.createServer((req, res) => {
  // `/late/…`: begins when the client may have left already.
  const [, late, path = ''] = /^(\/late)?(.*)$/.exec(req.url ?? '') ?? [];
  compression(req, res, () => {
    const answer = async () => {
      if (late) await turns(5);
      await routes[path]?.(res);
    };
    answer().catch((/** @type {unknown} */ error) => faults.push(`handler: ${String(error)}`));
  });
});

function count() {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** @param {unknown} constructor */
function alive(constructor) {
  const { queryObjects } =
    /** @type {{ queryObjects?: (constructor: unknown, options: { format: 'count' }) => number }} */ (v8);
  return constructor && queryObjects ? queryObjects(constructor, { format: 'count' }) : 0;
}

/** Collects until what is left does not get less any more, and tells of it. */
async function report() {
  let rss = Infinity;
  for (let same = 0; same < 5;) {
    global.gc?.();
    await new Promise((resolve) => void setTimeout(resolve, 40));
    const now = process.memoryUsage.rss();
    same = now < rss * 0.995 ? 0 : same + 1;
    rss = Math.min(rss, now);
  }
  const kinds = {
    Gzip: zlib.Gzip,
    Deflate: zlib.Deflate,
    Brotli: zlib.BrotliCompress,
    Zstd: Reflect.get(zlib, 'ZstdCompress'),
    ServerResponse: http.ServerResponse,
  };
  return {
    rss,
    activeEncoders: compression.activeEncoders,
    encoderBytes: compression.encoderBytes,
    resources: count(),
    listeners: [process, server].map((emitter) =>
      emitter.eventNames().map((name) => [String(name), emitter.listenerCount(/** @type {string} */ (name))]),
    ),
    alive: Object.fromEntries(Object.entries(kinds).map(([name, constructor]) => [name, alive(constructor)])),
    faults,
  };
}

process.on('message', () => void report().then((message) => process.send?.(message)));
process.on('disconnect', () => process.exit());

// A pipe holds some 200 kB for a client that does not read, a TCP connection some megabytes.
const pipes = http.createServer((req, res) => server.emit('request', req, res));
const path = process.argv[2];
pipes.listen(path, () =>
  server.listen(0, '127.0.0.1', () =>
    process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (server.address()).port }),
  ),
);
