// Checked by the compiler alone: middlewares fit where they are mounted, and give handlers the types that are there.
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { Readable } from 'node:stream';
import compression from 'compression';
import connect from 'connect';
import express from 'express';
import { fetch as undiciFetch } from 'undici';
import { jsonSeq, ndjson, openEventStream, openJsonSeq, openNdjson, pipeBody, type RecordStream, sse, waitWritable } from '../../src/index.ts';

const app = express();
const router = express.Router();

// Express 5, by every method and in a chain.
app.get('/events', sse(async function* () { yield 'x'; }));
app.post('/events', express.json(), sse(async (stream, req) => { await stream.send({ data: req.body }); }));
app.use('/events', compression(), sse(() => undefined));
app.all('/events', sse(() => undefined), ndjson(() => undefined), jsonSeq(() => undefined));
router.route('/events').get(sse(() => undefined)).post(ndjson(async function* () { yield 1; }));
app.get('/events/:room', sse<{ tick: number }>(async function* (_stream, req) { yield { event: 'tick', data: Number(req.params.room) }; }));
app.get('/typed', sse(async (stream, req: express.Request) => { await stream.send(req.params['room'] as string); }));
app.get('/body', (req, res, next) => {
  pipeBody(Readable.from(['x']), req, res).catch(next);
});
app.get('/open', async (req, res) => {
  const stream = openEventStream(req, res);
  await waitWritable(res, { deadline: new Date(), signal: req.app.get('signal') as AbortSignal });
  await stream.end();
});

// connect.
connect().use('/events', sse(() => undefined)).use(ndjson(() => undefined)).use((req, res, next) => {
  pipeBody(['x'], req, res).catch(next);
});

// Plain servers of every protocol.
http.createServer(sse(() => undefined));
https.createServer(sse(() => undefined));
http2.createServer(sse(() => undefined));
http2.createSecureServer({ allowHTTP1: true }, ndjson(() => undefined));
http.createServer((req, res) => void pipeBody(new Blob(['x']), req, res));
http2.createServer((req, res) => {
  void openNdjson(req, res).send(1);
  void openJsonSeq<string>(req, res).send('x');
  void waitWritable(res);
});

// Records have a type too.
ndjson<{ n: number }>(async function* () { yield { n: 1 }; });
// @ts-expect-error a record of another type
ndjson<{ n: number }>(async function* () { yield { n: 'x' }; });
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
void pipeBody((async function* () { yield new Uint8Array(1); yield 'x'; })(), req, res);
void pipeBody(req, req, res);
void fetch('http://localhost').then((response) => pipeBody(response, req, res));
void undiciFetch('http://localhost').then((response) => response.body && pipeBody(response.body as AsyncIterable<Uint8Array>, req, res));
// @ts-expect-error objects are no bytes
void pipeBody([{ a: 1 }], req, res);
// @ts-expect-error numbers are no bytes
void pipeBody((async function* () { yield 5; })(), req, res);
// @ts-expect-error no source at all
void pipeBody(5, req, res);
// @ts-expect-error a status is a number
void pipeBody(['x'], req, res, { status: '200' });
