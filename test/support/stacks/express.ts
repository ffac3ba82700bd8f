import http, { type RequestListener } from 'node:http';
import { fileURLToPath } from 'node:url';
import express, { type Request, type RequestHandler, type Response } from 'express';
import session, { MemoryStore, type SessionData } from 'express-session';
import helmet from 'helmet';
import morgan from 'morgan';
import passport from 'passport';
import { Strategy } from 'passport-local';
import { until } from '../until.ts';
import { type Gates, ifNoneMatch, listenOn, type Stack, type StackRequest } from './stack.ts';

const folder = fileURLToPath(new URL('../../../docs', import.meta.url));

const report = { rows: Array.from({ length: 80 }, (_row, id) => ({ id, name: `row ${id}` })) };
const parts = ['part 0', 'part 1', 'part 2'];
const ticks = ['tick 0', 'tick 1', 'tick 2'];

const form = { 'content-type': 'application/x-www-form-urlencoded' };

const requests: readonly StackRequest[] = [
  { name: 'a page that needs a login', path: '/report' },
  { name: 'a login that is wrong', method: 'POST', path: '/login', headers: form, body: 'username=ada&password=wrong' },
  { name: 'a login', method: 'POST', path: '/login', headers: form, body: 'username=ada&password=right' },
  { name: 'the page', path: '/report' },
  { name: 'the page again', path: '/report' },
  { name: 'the page as it was', path: '/report', headers: (seen) => ifNoneMatch(seen.get('the page again')) },
  { name: 'the head of the page', method: 'HEAD', path: '/report' },
  { name: 'a file', path: '/files/errors.md' },
  { name: 'a range of a file', path: '/files/errors.md', headers: { range: 'bytes=10-2000' } },
  { name: 'what is not there', path: '/nowhere' },
  { name: 'a handler that fails', path: '/fails' },
  { name: 'a small answer', path: '/small' },
  { name: 'a body in parts', path: '/parts', parts },
  { name: 'an event stream', path: '/ticks', parts: ticks },
  { name: 'a logout', method: 'POST', path: '/logout' },
  { name: 'the page after it', path: '/report' },
];

/** Saves when it gets round to it: `express-session` holds the response until it has. */
class LateStore extends MemoryStore {
  readonly saved = new Map<string, SessionData>();

  override set(id: string, data: SessionData, callback?: (error?: unknown) => void): void {
    setImmediate(() =>
      setImmediate(() => {
        this.saved.set(id, data);
        super.set(id, data, callback);
      }),
    );
  }
}

function makePassport(): passport.Authenticator {
  const own = new passport.Passport();
  own.use(new Strategy((name, password, done) => done(null, password === 'right' ? { name } : false)));
  own.serializeUser((user, done) => done(null, (user as { name: string }).name));
  own.deserializeUser((name: string, done) => done(null, { name }));
  return own as passport.Authenticator;
}

function addRoutes(app: express.Express, own: passport.Authenticator, gates: Gates): void {
  const login = own.authenticate('local', { successRedirect: '/report', failureRedirect: '/login?again' });
  app.post('/login', login as RequestHandler);
  app.post('/logout', (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect('/'))));
  app.get('/report', (req: Request, res: Response) => {
    const visits = req.session as unknown as { visits?: number };
    visits.visits = (visits.visits ?? 0) + 1;
    if (!req.user) res.status(401).json({ error: 'log in' });
    else res.json({ ...report, user: req.user });
  });
  app.use('/files', express.static(folder));
  app.get('/fails', () => {
    throw new Error('the handler failed');
  });
  app.get('/small', (_req, res) => void res.send('small'));
  app.get('/parts', async (_req, res) => {
    res.type('html');
    await write(res, Object.fromEntries(parts.map((part) => [part, `<p>${part}</p>`])), gates);
  });
  app.get('/ticks', async (_req, res) => {
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    await write(res, Object.fromEntries(ticks.map((tick) => [tick, `data: ${tick}\n\n`])), gates);
  });
}

async function write(res: Response, frames: Readonly<Record<string, string>>, gates: Gates): Promise<void> {
  for (const [each, frame] of Object.entries(frames)) {
    res.write(frame);
    (res as { flush?: () => void }).flush?.();
    await gates.pass(each);
  }
  res.end();
}

/** A service with sessions, logins, security headers and a log. `compress` stands where docs/compress.md puts it. */
export function expressStack(name: string, framework: typeof express): Stack {
  return {
    name,
    requests,
    async start(compress, gates) {
      const lines: string[] = [];
      const store = new LateStore();
      const own = makePassport();
      const app = framework();
      app.set('env', 'test');
      app.use(morgan(':method :url :status', { stream: { write: (line) => void lines.push(line) } }));
      app.use(helmet());
      app.use(session({ secret: 's', resave: false, saveUninitialized: true, store }));
      app.use(compress as unknown as RequestHandler);
      app.use(framework.urlencoded({ extended: false }));
      app.use(own.session() as RequestHandler);
      addRoutes(app, own, gates);
      const { port, close } = await listenOn(http.createServer(app as unknown as RequestListener));
      return {
        port,
        close,
        async facts() {
          await until(
            () => lines.length === requests.length,
            () => `${lines.length} of ${requests.length} lines`,
          );
          return { lines, sessions: [...store.saved.values()].map(({ cookie: _cookie, ...data }) => data) };
        },
      };
    },
  };
}
