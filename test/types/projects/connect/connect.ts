// Connect, without the types of Express: the request is Connect's where it is mounted, and Node's elsewhere.
import http from 'node:http';
import connect from 'connect';
import {
  compress,
  createRegistry,
  deadline,
  type EventStream,
  heartbeat,
  lifecycle,
  ndjson,
  openEventStream,
  pipeBody,
  sse,
} from 'sluice';

const app = connect();
const clients = new Set<EventStream>();
app.use(compress()).use(heartbeat()).use(deadline()).use(lifecycle());
app.use(
  '/events',
  sse((s) => clients.add(s)),
);
app.use(
  '/path',
  sse((_stream, req) => void [req.originalUrl, req.url]),
);
app.use(
  sse(async function* (_stream, req) {
    yield { data: req.originalUrl };
  }),
);
app.use(ndjson((_stream, req) => void req.originalUrl));
app.use((req, res, next) => {
  clients.add(openEventStream(req, res));
  pipeBody(['x'], req, res).catch(next);
});
const handler = sse((_stream, req) => void [req.originalUrl, req.url, req.body, req.query, req.params, req.headers]);
app.use(handler);
http.createServer(app);
http.createServer(handler);

createRegistry({ clientKey: (req) => req.socket.remoteAddress });
compress({ filter: (req, res) => req.url !== '/raw' && compress.filter(req, res) });
compress({ filter: (req: connect.IncomingMessage) => req.originalUrl !== '/raw' });
// @ts-expect-error that is Express
compress({ filter: (req) => req.ip });
