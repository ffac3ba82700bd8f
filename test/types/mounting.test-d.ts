// Checked by the compiler alone: middlewares fit where they are mounted, and give handlers the types that are there.
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { Readable } from 'node:stream';
import compression from 'compression';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import { fetch as undiciFetch } from 'undici';
import {
  brotli,
  type Codec,
  compress,
  type CompressOptions,
  createGovernor,
  createSwitch,
  deflate,
  gzip,
  jsonSeq,
  ndjson,
  openEventStream,
  openJsonSeq,
  openNdjson,
  pipeBody,
  type RecordStream,
  sse,
  waitWritable,
  webCodec,
  zstd,
} from '../../src/index.ts';

const app = express();
const router = express.Router();

// Express 5, by every method and in a chain.
app.get(
  '/events',
  sse(async function* () {
    yield 'x';
  }),
);
app.post(
  '/events',
  express.json(),
  sse(async (stream, req) => {
    await stream.send({ data: req.body });
  }),
);
app.use(
  '/events',
  compression(),
  sse(() => undefined),
);
app.all(
  '/events',
  sse(() => undefined),
  ndjson(() => undefined),
  jsonSeq(() => undefined),
);
router
  .route('/events')
  .get(sse(() => undefined))
  .post(
    ndjson(async function* () {
      yield 1;
    }),
  );
app.get(
  '/events/:room',
  sse<{ tick: number }>(async function* (_stream, req) {
    yield { event: 'tick', data: Number(req.params.room) };
  }),
);
app.get(
  '/typed',
  sse(async (stream, req: express.Request) => {
    await stream.send(req.params['room'] as string);
  }),
);
app.get('/body', (req, res, next) => {
  pipeBody(Readable.from(['x']), req, res).catch(next);
});
app.get('/open', async (req, res) => {
  const stream = openEventStream(req, res);
  await waitWritable(res, { deadline: new Date(), signal: req.app.get('signal') as AbortSignal });
  await stream.end();
});

// connect.
connect()
  .use(
    '/events',
    sse(() => undefined),
  )
  .use(ndjson(() => undefined))
  .use((req, res, next) => {
    pipeBody(['x'], req, res).catch(next);
  });

// Plain servers of every protocol.
http.createServer(sse(() => undefined));
https.createServer(sse(() => undefined));
http2.createServer(sse(() => undefined));
http2.createSecureServer(
  { allowHTTP1: true },
  ndjson(() => undefined),
);
http.createServer((req, res) => void pipeBody(new Blob(['x']), req, res));
http2.createServer((req, res) => {
  void openNdjson(req, res).send(1);
  void openJsonSeq<string>(req, res).send('x');
  void waitWritable(res);
});

// Records have a type too.
ndjson<{ n: number }>(async function* () {
  yield { n: 1 };
});
// @ts-expect-error a record of another type
ndjson<{ n: number }>(async function* () {
  yield { n: 'x' };
});
ndjson<number>(async (stream) => {
  await stream.send(1);
  // @ts-expect-error a record of another type
  await stream.send('x');
  // @ts-expect-error records have no comments
  await stream.comment('x');
});
// @ts-expect-error records have no retry hint
ndjson(() => undefined, { retry: 5 });
declare const records: RecordStream<number>;
void records.pipe([1, 2]);
// @ts-expect-error a source of other records
void records.pipe(['x']);

// Sources of a body.
declare const req: http.IncomingMessage;
declare const res: http.ServerResponse;
void pipeBody(new Response('x'), req, res, { status: 201, headers: { a: 'b' }, signal: new AbortController().signal });
void pipeBody(new ReadableStream<Uint8Array>(), req, res);
void pipeBody(
  (async function* () {
    yield new Uint8Array(1);
    yield 'x';
  })(),
  req,
  res,
);
void pipeBody(req, req, res);
void fetch('http://localhost').then((response) => pipeBody(response, req, res));
void undiciFetch('http://localhost').then(
  (response) => response.body && pipeBody(response.body as AsyncIterable<Uint8Array>, req, res),
);
// @ts-expect-error objects are no bytes
void pipeBody([{ a: 1 }], req, res);
async function* numbers(): AsyncGenerator<number, void> {
  yield 5;
}
// @ts-expect-error numbers are no bytes
void pipeBody(numbers(), req, res);
// @ts-expect-error no source at all
void pipeBody(5, req, res);
// @ts-expect-error a status is a number
void pipeBody(['x'], req, res, { status: '200' });

// compress, in every place for a middleware.
const compressed = compress();
app.use(compressed);
app.use('/api', compress({ threshold: 0 }), express.json());
app.get('/one', compress({ level: 9 }), (_req, res) => {
  res.json({});
});
router.use(compress());
router.route('/two').get(
  compress(),
  sse(() => undefined),
);
express4()
  .use(compress())
  .get(
    '/one',
    compress(),
    sse(() => undefined),
  );
connect()
  .use(compress())
  .use('/events', compress())
  .use(
    '/events',
    ndjson(() => undefined),
  );

// And where there is nobody to call next.
http.createServer((req, res) => {
  compressed(req, res, () => res.end('x'));
});
https.createServer((req, res) => {
  compressed(req, res, () => void pipeBody(['x'], req, res));
});
http2.createServer((req, res) => {
  compressed(req, res, () => {
    sse(() => undefined)(req, res);
  });
});
http2.createSecureServer({ allowHTTP1: true }, (req, res) => {
  compressed(req, res, () => {
    res.end('x');
  });
});
// @ts-expect-error it has a next to call
http.createServer(compressed);

// A filter, with the types of the framework and with those of Node; its answer may be anything, as that of
// `compression`.
compress({
  filter: (req: express.Request, res: express.Response) =>
    req.path !== '/plain' && res.locals['plain'] !== true && compress.filter(req, res),
});
compress({
  filter: (req, res) =>
    req.headers['x-no-compression'] === undefined && res.getHeader('x') === undefined && compress.filter(req, res),
});
compress({ filter: (req: http.IncomingMessage) => req.headers['x-no-compression'] ?? true });
// @ts-expect-error a filter of something else
compress({ filter: (count: number) => count > 0 });

// Its options, and those of `compression` among them.
compress({
  threshold: '1kb',
  level: 6,
  memLevel: 8,
  chunkSize: 16_384,
  windowBits: 15,
  strategy: 0,
  enforceEncoding: 'gzip',
  filter: () => true,
});
compress({
  brotli: { params: { 1: 5 }, chunkSize: 1024 },
  governor: { dwell: '5s' },
  switch: createSwitch({ name: 'x' }),
  randomPadding: { max: 64 },
});
compress({
  codecs: [brotli({ quality: [5, 4, 2] }), gzip({ level: 6 }), deflate(), zstd({ windowBits: 20 }), webCodec('gzip')],
});
compress({
  governor: createGovernor({ thresholds: [0.5, 0.8, Infinity] }),
  weigh: (coding, { kind, family }) => (coding === 'br' && family === 'cdn' && kind === 'long' ? 0 : undefined),
});
// @ts-expect-error a size is a number or a string
compress({ threshold: true });
// @ts-expect-error codecs are objects
compress({ codecs: ['gzip'] });
// @ts-expect-error one level for each of three tiers
gzip({ level: [6, 4] });
// @ts-expect-error there is no such option
compress({ levels: 6 });

// What the middleware tells, and what it can be told.
compressed.switch.disable();
void compressed.switch.swap({ codecs: [gzip()] });
const undo: () => void = compressed.switch.on('change', ({ enabled, version }) => void [enabled, version]);
undo();
const active: number = compressed.activeEncoders + compressed.encoderBytes + (compressed.governor?.load ?? 0);
void active;
// @ts-expect-error they are counted, and not set
compressed.activeEncoders = 0;

// A codec of one's own.
const own: Codec = {
  coding: 'x-own',
  available: true,
  weight: ({ kind }) => (kind === 'complete' ? 1 : 0),
  encode: (body) => body,
};
const options: CompressOptions = { codecs: [own] };
compress(options);
// @ts-expect-error it has to say whether it is available
compress({ codecs: [{ coding: 'x-own', encode: (body: Uint8Array) => body }] });
