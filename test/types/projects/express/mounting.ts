// Express: where handlers and middlewares are mounted, and the request that they get.
import http from 'node:http';
import http2 from 'node:http2';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import { compress, type EventStream, ndjson, openEventStream, pipeBody, type RoutedRequest, sse } from 'sluice';
import { same } from '../common/same.js';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
      user: { id: string };
    }
  }
}

interface Events {
  tick: { price: number };
  message: string;
}

const app = express();
const router = Router();
const clients = new Set<EventStream>();
const auth: RequestHandler = (req, res, next) => (req.user.id === '' ? res.sendStatus(401) : next());

same<Request<any>>()({} as RoutedRequest);

app.get(
  '/events',
  sse((s) => clients.add(s)),
);
app.get(
  '/rooms/:id',
  sse(async function* (_stream, req) {
    const id: string = req.params.id;
    yield { data: [id, req.user.id, req.ip, req.path, req.get('x'), req.query.since, req.body.text] };
    // @ts-expect-error there is no such member
    void req.tenant;
  }),
);
app.get(
  '/rooms/:id',
  auth,
  compress(),
  express.json(),
  sse(async (stream, req) => {
    const id: string = req.params.id;
    await stream.send({ data: [id, req.user.id] });
  }),
);
app.get('/rooms/:id', [auth, sse((_stream, req) => void [req.params.id, req.user.id, req.path])]);
app.get(
  ['/a/:id', '/b/:id'],
  sse((_stream, req) => void [req.params.id, req.user.id]),
);
app.get(
  /^\/c/,
  sse((_stream, req) => void [req.params[0], req.user.id]),
);
app.use(
  '/all',
  sse((_stream, req) => void [req.user.id, req.path]),
);
app.use(sse((_stream, req) => void [req.user.id, req.path]));
app
  .route('/d/:id')
  .get(sse((_stream, req) => void [req.params.id, req.user.id]))
  .post(
    auth,
    ndjson((_s, req) => void req.user.id),
  );
app.get(
  '/typed/:id',
  auth,
  sse<Events>(async function* (_stream, req) {
    const id: string = req.params.id;
    yield { event: 'tick', data: { price: Number(id) } };
    yield req.user.id;
  }),
);
app.get(
  '/rows/:id',
  ndjson(async function* (_stream, req) {
    yield { id: req.params.id, user: req.user.id };
  }),
);
router.use(compress());
router.get(
  '/e/:id',
  auth,
  sse((_stream, req) => void [req.params.id, req.user.id]),
);

// A handler that is kept, and handlers with a type of their own.
const handler = sse((_stream, req) => void [req.params.id, req.user.id, req.path]);
app.get('/f', handler);
router.get('/f', auth, handler);
const listener: RequestHandler = sse((_stream, req) => void req.user.id);
const typed: RequestHandler<{ id: string }> = sse((_stream, req) => void req.params.id);
app.get('/g', listener);
app.get('/g/:id', typed);
app.get(
  '/h/:id',
  auth,
  sse((_stream, req: Request<{ id: string }>) => void req.params.id.length),
);
app.get(
  '/i',
  sse((_stream, req: Request & { tenant: string }) => void req.tenant),
);
sse((_stream, req: http.IncomingMessage) => void req.url);

// The same handlers elsewhere.
http.createServer(handler);
http.createServer(sse((_stream, req) => void req.url));
http2.createServer(sse((_stream, req) => void req.stream.id));
http.createServer((req, res) => compress()(req, res, () => handler(req, res)));

// In a handler of one's own, and as methods of a class.
app.get('/open', (req, res, next) => {
  clients.add(openEventStream(req, res));
  fetch('http://127.0.0.1/')
    .then((response) => pipeBody(response, req, res))
    .catch(next);
});
class Controller {
  readonly clients = new Set<EventStream>();
  stream(req: Request, res: Response): void {
    sse((stream) => this.clients.add(stream))(req, res);
  }
  async events(stream: EventStream, req: Request): Promise<void> {
    await stream.send({ data: req.user.id });
  }
  subscribe = (stream: EventStream, req: Request) => this.clients.add(stream) && req.user;
}
const controller = new Controller();
app.get('/j', (req, res) => controller.stream(req, res));
app.get(
  '/k',
  sse((stream, req) => controller.events(stream, req)),
);
app.get('/l', sse(controller.subscribe));
app.get('/m', sse(controller.events.bind(controller)));
