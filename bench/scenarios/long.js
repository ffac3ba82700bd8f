// @ts-check
import { pipeline } from 'node:stream';
import { createGzip } from 'node:zlib';
import express from 'express';
import { openDownloads } from '../support/downloads.js';
import { makeLog } from '../support/log-text.js';

const megabytes = 32;
const bytes = megabytes * 1024 * 1024;

/**
 * @param {(req: import('express').Request, res: import('express').Response) => void} send
 * @param {import('express').RequestHandler} middleware
 */
function serveLog(send, middleware) {
  const app = express();
  app.use(middleware);
  app.get('/log', (req, res) => {
    res.type('text/plain');
    send(req, res);
  });
  return { app };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'long',
  summary: '32 MB of log lines in pieces of 64 kB, one download at a time, gzip level 6',
  baseline: 'pipeline',
  rounds: 5,
  slices: 4,
  metrics: [
    {
      key: 'rate',
      title: 'MB of text per second',
      better: 'more',
      digits: 1,
      toReach: { sluice: 1, 'sluice-body': 1 },
    },
    { key: 'cpu', title: 'CPU of the server per MB of text, ms', better: 'less', digits: 2 },
    { key: 'body', title: 'kB of the body per MB of text', better: 'less', digits: 1 },
  ],
  prepare: (server, { quick }) => openDownloads(server, { megabytes, coding: 'gzip', quick }),
  rowPeers: ['pipeline', 'sluice', 'sluice-body'],
  rows: [
    {
      title: '32 MB of log lines, gzip 6: MB/s',
      against: '`pipeline(source, createGzip(), res)`',
      better: 'more',
      ratio: ({ sluice, pipeline }) => sluice.rate / pipeline.rate,
      toReach: 1,
    },
    {
      title: 'the same by `pipeBody`: MB/s',
      against: '`pipeline(source, createGzip(), res)`',
      better: 'more',
      ratio: ({ pipeline, ...peers }) => peers['sluice-body'].rate / pipeline.rate,
      toReach: 1,
    },
  ],
  peers: [
    {
      name: 'pipeline',
      title: 'node:http, pipeline(source, createGzip(), res)',
      serve() {
        const log = makeLog(bytes);
        return {
          app(_req, res) {
            res.writeHead(200, {
              'Content-Type': 'text/plain; charset=utf-8',
              'Content-Encoding': 'gzip',
              Vary: 'Accept-Encoding',
            });
            // It destroys the response, and the client notices.
            pipeline(log.open(), createGzip({ level: 6 }), res, () => {});
          },
        };
      },
    },
    {
      name: 'compression',
      title: 'Express, compression, source.pipe(res)',
      async serve() {
        const { default: compression } = await import('compression');
        const log = makeLog(bytes);
        return serveLog((_req, res) => void log.open().pipe(res), compression({ level: 6 }));
      },
    },
    {
      name: 'sluice',
      title: 'Express, compress, source.pipe(res)',
      async serve() {
        const { compress } = await import('sluice');
        const log = makeLog(bytes);
        return serveLog((_req, res) => void log.open().pipe(res), compress({ level: 6 }));
      },
    },
    {
      name: 'sluice-body',
      title: 'Express, compress, pipeBody',
      async serve() {
        const { compress, pipeBody } = await import('sluice');
        const log = makeLog(bytes);
        return serveLog((req, res) => void pipeBody(log.open(), req, res), compress({ level: 6 }));
      },
    },
  ],
};

export default scenario;
