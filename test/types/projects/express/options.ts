// Express: the request and the response of options and messages.
import type { IncomingMessage, ServerResponse } from 'node:http';
import compression from 'compression';
import { type Request, type Response } from 'express';
import { compress, createRegistry, deadline, heartbeat, lifecycle, sse, subscribe } from 'sluice';

createRegistry({ clientKey: (req) => req.ip });
createRegistry({ clientKey: (req) => req.get('x-client') });
heartbeat({ filter: (req) => req.path !== '/raw' });
heartbeat({ filter: (req, res) => req.get('accept') && res.locals['quiet'] !== true });
compress({ filter: (req) => req.path !== '/raw' });
compress({ filter: (req, res) => req.get('x-no-compression') === undefined && compress.filter(req, res) });
lifecycle({ exempt: (req) => req.path === '/healthz' || req.get('x-probe') });
deadline({
  trust: (req) => req.get('x-internal') === 'yes' && req.ip,
  onExpired(e, req, res) {
    const code: 'ERR_SLUICE_DEADLINE_EXCEEDED' = e.code;
    void code;
    res.status(503).json({ path: req.path });
  },
});
deadline({ onExpired: (_e, _req, res) => res.status(503).json() });
sse(() => undefined, { onError: (error, req) => void [error.message, req.path, req.ip] });
subscribe('sluice:stream:close', ({ req, res, reason }) => void [req.originalUrl, req.path, res.locals, reason]);
subscribe('sluice:stream:error', ({ req, error }) => void [req?.originalUrl, error.code]);

// Functions with a type of their own.
compress({ filter: (req: Request, res: Response) => req.path !== '/raw' && res.locals['plain'] !== true });
compress({ filter: (req: IncomingMessage, res: ServerResponse) => req.url !== '/raw' && res.statusCode === 200 });
compress({ filter: compression.filter });
compress({} as compression.CompressionOptions);
createRegistry({ clientKey: (req: IncomingMessage) => req.socket.remoteAddress });
// @ts-expect-error a key is a text
createRegistry({ clientKey: (req) => req.socket.remotePort });
// @ts-expect-error there is no such member
compress({ filter: (req) => req.pathname });
