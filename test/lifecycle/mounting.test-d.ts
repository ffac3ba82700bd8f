import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import connect from 'connect';
import express from 'express';
import { WebSocketServer } from 'ws';
import { type DrainReport, lifecycle, type LifecycleState } from '../../src/index.ts';

// The lifecycle as Express, Connect and bare servers take it; checked by `npm run typecheck`.
const life = lifecycle({ signals: false, exempt: (req) => req.url === '/admin' });

const app = express();
app.use(life);
app.get('/readyz', life.ready);
app.get('/livez', life.live);
connect().use(life).use('/readyz', life.ready);

const servers = [
  http.createServer(app),
  http.createServer((req, res) => life(req, res, () => res.end())),
  https.createServer({}, app),
  http2.createServer((req, res) => life(req, res, () => res.end())),
  http2.createSecureServer({ allowHTTP1: true }),
  new WebSocketServer({ noServer: true }),
];
export const undos: (() => void)[] = servers.map((server) => life.attach(server));
export const state: LifecycleState = life.state;
export const signal: AbortSignal = life.signal;
export const report: Promise<DrainReport> = life.drain();
export const release: () => void = life.hold();
export const undo: () => void = life.on('state', (change) => change.state === 'dead');

// @ts-expect-error: the application is not a server
life.attach(app);
// @ts-expect-error: there is no such state
life.state = 'paused';
// @ts-expect-error: nor such an event
life.on('drain', () => undefined);
