// @ts-check
import { Buffer } from 'node:buffer';
import process from 'node:process';
import express from 'express';
import { loadMetrics, openLoad } from './load.js';
import { makeOrders } from './orders.js';

/** @typedef {{ level?: number }} Settings */

/**
 * Our ratios to `compression`: requests per second, CPU, bytes of the body, bytes of the answer.
 * @typedef {{ rate?: number, cpu?: number, body?: number, bytes?: number }} ToReach
 */

/**
 * @param {string} key
 * @param {string} title
 * @param {number | undefined} ratio
 * @returns {import('./rounds.js').Metric}
 */
function lengthMetric(key, title, ratio) {
  return { key, title, better: 'less', digits: 0, ...(ratio !== undefined && { toReach: { sluice: ratio } }) };
}

/**
 * An app with one answer.
 * @param {unknown} body
 * @param {import('express').RequestHandler} [middleware]
 */
function serveExpress(body, middleware) {
  const app = express();
  if (middleware) app.use(middleware);
  app.get('/item', (_req, res) => {
    res.json(body);
  });
  return { app };
}

/**
 * The same in Fastify, as the documentation of its plugin says.
 * @param {unknown} body
 * @param {Settings} settings
 */
async function serveFastify(body, settings) {
  const { default: fastify } = await import('fastify');
  const app = fastify();
  await app.register(import('@fastify/compress'), settings.level === undefined ? {} : { zlibOptions: settings });
  app.get('/item', (_request, reply) => reply.send(body));
  await app.ready();
  return {
    app: (
      /** @type {import('node:http').IncomingMessage} */ req,
      /** @type {import('node:http').ServerResponse} */ res,
    ) => app.routing(req, res),
  };
}

/**
 * The text without a framework: what remains is Node and the middleware.
 * @param {string} text
 * @param {(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse, next: () => void) =>
 * void} [middleware]
 */
function servePlain(text, middleware = (_req, _res, next) => next()) {
  /** @type {import('node:http').RequestListener} */
  const app = (req, res) =>
    middleware(req, res, () => {
      res.setHeader('Content-Type', 'application/json; charset=utf-8');
      res.end(text);
    });
  return { app };
}

/**
 * The same bodies behind `node:http` alone.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {number} options.bytes - of the text, about
 * @param {ToReach} options.toReach
 * @returns {import('./rounds.js').Scenario}
 */
export function plainBodies({ name, summary, bytes, toReach }) {
  const text = JSON.stringify(makeOrders(bytes));
  const settings = { level: 6 };
  return {
    ...loadScenario({ name, summary, text, acceptEncoding: 'gzip', toReach }),
    peers: [
      {
        name: 'compression',
        title: 'node:http, compression',
        async serve() {
          const { default: compression } = await import('compression');
          // It is typed for Express, and asks for nothing of it.
          return servePlain(text, /** @type {any} */ (compression(settings)));
        },
      },
      { name: 'bare', title: 'node:http, uncompressed', serve: () => servePlain(text) },
      {
        name: 'sluice',
        title: 'node:http, compress',
        async serve() {
          const { compress } = await import('sluice');
          return servePlain(text, compress(settings));
        },
      },
    ],
  };
}

/**
 * What both kinds measure.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {string} options.text
 * @param {string} options.acceptEncoding
 * @param {ToReach} options.toReach
 */
function loadScenario({ name, summary, text, acceptEncoding, toReach }) {
  return {
    name,
    summary,
    baseline: 'compression',
    rounds: 5,
    slices: 4,
    metrics: [
      ...loadMetrics(...[toReach.rate, toReach.cpu].map((ratio) => (ratio === undefined ? {} : { sluice: ratio }))),
      lengthMetric('body', 'bytes of the body', toReach.body),
      lengthMetric('bytes', 'bytes of the answer, with its head', toReach.bytes),
    ],
    prepare: (/** @type {import('./child.js').Child} */ server, /** @type {{ quick: boolean }} */ { quick }) =>
      openLoad(server, { text, acceptEncoding, quick }),
  };
}

/**
 * What encoding one body takes without a server, in µs of CPU.
 * @param {import('sluice').Codec} codec
 * @param {Buffer} text
 */
async function encodeAlone(codec, text) {
  // As many as take some 50 ms.
  const count = Math.max(50, Math.round(6_000_000 / text.length));
  const before = process.cpuUsage();
  for (let done = 0; done < count; done++) await codec.encode?.(text, { tier: 0, size: text.length, padding: 0 });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/**
 * The row of a scenario with one level of gzip: what compressing costs above an answer that is not compressed. The
 * encoder alone is what no middleware can pass.
 * @param {string} size
 * @param {import('./summary.js').Row['toReach']} toReach
 * @returns {import('./summary.js').Row}
 */
export function costRow(size, toReach) {
  return {
    title: `${size} of JSON, gzip 6: CPU above bare Express`,
    against: '`compression` above bare Express',
    better: 'less',
    ratio: ({ sluice, compression, bare }) => (sluice.cpu - bare.cpu) / (compression.cpu - bare.cpu),
    limit: {
      title: 'the encoder alone',
      of: ({ sluice, compression, bare }) => sluice.encoder / (compression.cpu - bare.cpu),
    },
    ...(toReach !== undefined && { toReach }),
  };
}

/**
 * The rows of a scenario in which each chooses its coding.
 * @param {string} size
 * @param {number} toReach - of the CPU, on Node 24
 * @returns {import('./summary.js').Row[]}
 */
export function bestRows(size, toReach) {
  const against = '`compression`';
  return [
    {
      title: `${size} of JSON, the best coding of each: CPU`,
      against,
      better: 'less',
      ratio: ({ sluice, compression }) => sluice.cpu / compression.cpu,
      limit: { title: 'bare Express', of: ({ bare, compression }) => bare.cpu / compression.cpu },
      toReach: { 24: toReach },
    },
    {
      title: `${size} of JSON, the best coding of each: bytes`,
      against,
      better: 'less',
      ratio: ({ sluice, compression }) => sluice.bytes / compression.bytes,
      toReach: { 24: 1.01 },
    },
  ];
}

/**
 * JSON bodies, each compressed for the one who asks.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {number} options.bytes - of the text, about
 * @param {string} options.acceptEncoding
 * @param {Settings} [options.settings] - of all peers; without it, their own
 * @param {ToReach} options.toReach
 * @param {readonly import('./summary.js').Row[]} options.rows
 * @returns {import('./rounds.js').Scenario}
 */
export function jsonBodies({ name, summary, bytes, acceptEncoding, settings = {}, toReach, rows }) {
  const body = makeOrders(bytes);
  const text = JSON.stringify(body);
  return {
    ...loadScenario({ name, summary, text, acceptEncoding, toReach }),
    rows,
    rowPeers: ['compression', 'bare', 'sluice'],
    rowKeys: ['encoder'],
    async prepare(server, { quick, peer }) {
      const bench = await openLoad(server, { text, acceptEncoding, quick });
      const encodes = peer.name === 'sluice' && settings.level !== undefined;
      if (!encodes) return bench;
      return { ...bench, measure: async () => ({ ...(await bench.measure()), encoder: await server.call('encoder') }) };
    },
    peers: [
      {
        name: 'compression',
        title: 'Express, compression',
        async serve() {
          const { default: compression } = await import('compression');
          return serveExpress(body, compression(settings));
        },
      },
      { name: 'fastify', title: 'Fastify, @fastify/compress', serve: () => serveFastify(body, settings) },
      { name: 'bare', title: 'Express, uncompressed', serve: () => serveExpress(body) },
      {
        name: 'sluice',
        title: 'Express, compress',
        async serve() {
          const { compress, gzip } = await import('sluice');
          return {
            ...serveExpress(body, compress(settings)),
            calls: { encoder: () => encodeAlone(gzip({ level: 6, syncThreshold: Infinity }), Buffer.from(text)) },
          };
        },
      },
    ],
  };
}

/**
 * The same body again and again, with the option `cache` and without.
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.summary
 * @param {number} options.bytes - of the text, about
 * @param {string} options.acceptEncoding
 * @param {number} options.rate - to reach: our requests per second to those of Express, uncompressed
 * @returns {import('./rounds.js').Scenario}
 */
export function repeatedBodies({ name, summary, bytes, acceptEncoding, rate }) {
  const body = makeOrders(bytes);
  const text = JSON.stringify(body);
  const scenario = loadScenario({ name, summary, text, acceptEncoding, toReach: {} });
  const peer = (/** @type {string} */ peerName, /** @type {string} */ title, /** @type {object} */ options) => ({
    name: peerName,
    title,
    async serve() {
      const { compress } = await import('sluice');
      return serveExpress(body, compress(options));
    },
  });
  return {
    ...scenario,
    baseline: 'bare',
    metrics: scenario.metrics.map((metric) =>
      metric.key === 'rate' ? { ...metric, toReach: { cache: rate } } : metric,
    ),
    rowPeers: ['bare', 'cache'],
    rows: [
      {
        title: 'the same 10 kB of JSON again, with `cache`: requests/s',
        against: 'bare Express, uncompressed',
        better: 'more',
        ratio: ({ cache, bare }) => cache.rate / bare.rate,
        toReach: rate,
      },
    ],
    peers: [
      { name: 'bare', title: 'Express, uncompressed', serve: () => serveExpress(body) },
      peer('sluice', 'Express, compress', {}),
      peer('cache', 'Express, compress with a cache', { cache: '8mb' }),
    ],
  };
}
