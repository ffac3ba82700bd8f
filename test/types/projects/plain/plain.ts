// Servers of Node, without the types of Express.
import http, { type IncomingMessage } from 'node:http';
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import https from 'node:https';
import {
  compress,
  createRegistry,
  deadline,
  type EventStream,
  type HttpRequest,
  type HttpResponse,
  lifecycle,
  openEventStream,
  pipeBody,
  type RoutedRequest,
  type RoutedResponse,
  sse,
  subscribe,
} from 'sluice';
import { same } from '../common/same.js';

const clients = new Set<EventStream>();
same<HttpResponse>()({} as RoutedResponse);
declare const routed: RoutedRequest;
const plain: HttpRequest = routed;
void plain;

http.createServer(sse((s) => clients.add(s)));
https.createServer(sse((_stream, req) => void [req.url, req.headers, req.socket]));
http2.createServer(sse((_stream, req) => void [req.stream.id, req.authority]));
http2.createSecureServer(
  { allowHTTP1: true },
  sse((_stream, req) => void req.url),
);
const handler = sse(async (stream, req) =>
  stream.send({ data: [req.url, req.headers.accept, req.socket.remoteAddress] }),
);
http.createServer(handler);
http2.createServer(handler);
http.createServer((req, res) => compress()(req, res, () => handler(req, res)));
http2.createServer((req, res) => compress()(req, res, () => void pipeBody(['x'], req, res)));
http.createServer((req, res) => void clients.add(openEventStream(req, res)));
sse((_stream, req: IncomingMessage) => void req.complete);
sse((_stream, req: Http2ServerRequest) => void req.stream.id);

createRegistry({ clientKey: (req) => req.socket.remoteAddress });
createRegistry({ clientKey: (req: IncomingMessage) => req.headers.authorization });
createRegistry({ clientKey: (req: Http2ServerRequest) => req.authority });
compress({
  filter: (req: Http2ServerRequest, res: Http2ServerResponse) => req.authority !== '' && res.statusCode === 200,
});
lifecycle({ exempt: (req) => req.url?.startsWith('/healthz') });
deadline({
  onExpired(e, req, res) {
    res.statusCode = 503;
    res.end(`${e.message} ${req.url}`);
  },
});
subscribe('sluice:stream:close', ({ req, res, reason }) => void [req.url, res.statusCode, reason]);
// @ts-expect-error that is Express
createRegistry({ clientKey: (req) => req.ip });
// @ts-expect-error that is Express
deadline({ onExpired: (_e, _req, res) => res.status(503) });
