// The same in an application of Express. It is compiled only.
import express from 'express';
import {
  compress,
  contextOf,
  deadline,
  heartbeat,
  lifecycle,
  ndjson,
  openEventStream,
  pipeBody,
  proxy,
  sse,
} from 'sluice';

const app = express();
const life = lifecycle();
const compression = compress({ filter: (req, res) => req.url !== '/plain' && compress.filter(req, res) });

app.use(life);
app.use(deadline({ default: '30s', idle: '60s' }));
app.use(heartbeat());
app.use(compression);
app.get('/readyz', life.ready);
app.get(
  '/count/:from',
  sse(async function* (stream, req) {
    for (let n = Number(req.params['from']); !stream.signal.aborted; n++) yield { id: String(n), data: { n } };
  }),
);
app.get(
  '/rows',
  ndjson(async (stream) => {
    await stream.send({ row: 1 });
  }),
);
app.get('/open', async (req, res) => {
  const stream = openEventStream(req, res);
  await stream.send(`${contextOf(req).remaining()}`);
  await stream.end();
});
app.get('/body', (req, res, next) => {
  pipeBody(['a'], req, res).catch(next);
});
app.post('/compression', (_req, res) => {
  compression.switch.disable();
  res.json({ enabled: compression.switch.enabled });
});
app.use(
  '/api',
  proxy({
    target: ['http://localhost:4000', new URL('http://localhost:4001')],
    rewrite: (path, req) => `/${req.hostname}${path}`,
    requestHeaders: (headers, req) => headers.set('X-Client', req.ip ?? ''),
    onError: (error, _req, res) => void res.status(error.status).json({ code: error.code }),
  }),
);

life.attach(app.listen(3000));
