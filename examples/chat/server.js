// @ts-check
// Rooms, who is in them, and private messages, over one event stream for each page.
import console from 'node:console';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import express from 'express';
import { createChannels, sluice } from 'sluice';

/** @typedef {import('express').Request} Request @typedef {import('express').Response} Response */
/** @typedef {import('express').NextFunction} Next */

const staff = ['ann', 'bob'];
const roomsOf = (/** @type {string} */ user) => ['lobby', 'music', ...(staff.includes(user) ? ['staff'] : [])];

/** For the demo alone: anyone can write any name into the address. A real service reads its session here. */
const userOf = (/** @type {import('node:http').IncomingMessage} */ req) => fieldOf(req, 'user');
const roomOf = (/** @type {import('node:http').IncomingMessage} */ req) => fieldOf(req, 'room');

/** @param {import('node:http').IncomingMessage} req @param {string} name */
function fieldOf(req, name) {
  return new URLSearchParams(req.url?.split('?')[1]).get(name) ?? '';
}

const isName = (/** @type {unknown} */ value) => typeof value === 'string' && /^[\p{L}\p{N}_-]{1,24}$/u.test(value);

const chat = createChannels({
  name: 'chat',
  history: { count: 200, bytes: '256kb' },
  limits: { perIdentity: 10, perChannel: 1000 },
  // Pages that come or go together are told by one list.
  coalesce: {
    ms: 50,
    key: ({ event }) => (event === 'presence' ? event : undefined),
    merge: (_earlier, later) => later,
  },
});

/** Tells a room who is in it. A channel of its own: these lists push no message out of the history. */
function tellPresence(/** @type {string} */ room) {
  const inside = chat.subscribers().filter(({ req }) => roomOf(req) === room);
  const users = Array.from(new Set(inside.map(({ identity }) => String(identity)))).sort();
  void chat.publish(`presence:${room}`, { event: 'presence', data: { users } });
}
chat.on('join', ({ req }) => tellPresence(roomOf(req)));
chat.on('leave', ({ subscriber }) => tellPresence(roomOf(subscriber.req)));

const events = chat.subscribe({
  // A new page gets the newest event of each key: all messages, since each has its own, and one list of users.
  from: 'latest',
  authorize: (req) => {
    const [user, room] = [userOf(req), roomOf(req)];
    return (
      roomsOf(user).includes(room) && { identity: user, keys: [`room:${room}`, `presence:${room}`, `user:${user}`] }
    );
  },
});

/** @param {Request} req @param {Response} res @param {Next} next */
function checkUser(req, res, next) {
  if (isName(userOf(req))) next();
  else refuse(res, 400, 'user has to be 1 to 24 letters, digits, - or _');
}

/** @param {Request} req @param {Response} res */
async function postMessage(req, res) {
  const { room, to, text } = req.body ?? {};
  const from = userOf(req);
  if (typeof text !== 'string' || text.trim() === '' || text.length > 500)
    return refuse(res, 400, 'text has to be a string of 1 to 500 characters');
  if ((room === undefined) === (to === undefined)) return refuse(res, 400, 'A message needs a room, or a user in to');
  if (room !== undefined && typeof room !== 'string') return refuse(res, 400, 'room has to be a string');
  if (to !== undefined && !isName(to)) return refuse(res, 400, 'to has to be the name of a user');
  if (room !== undefined && !roomsOf(from).includes(room)) return refuse(res, 403, 'You may not enter this room');
  // The pages of the sender show a private message too.
  const keys = room === undefined ? Array.from(new Set([`user:${to}`, `user:${from}`])) : [`room:${room}`];
  const data = { room, to, from, text, at: Date.now() };
  await chat.publish(keys, { event: 'message', data }, { key: randomUUID() });
  res.sendStatus(204);
}

/** @param {Response} res @param {number} status @param {string} error */
function refuse(res, status, error) {
  res.status(status).json({ error });
}

/** @param {Error & { status?: number }} error @param {Request} _req @param {Response} res @param {Next} next */
function answerFailure(error, _req, res, next) {
  const { status = 500, message } = error;
  if (res.headersSent) return next(error);
  if (status >= 500) console.error(error);
  refuse(res, status, status >= 500 ? 'The server failed' : message);
}

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const app = express();
const all = sluice();
app.disable('x-powered-by');
app.use(all);
app.use((_req, res, next) => {
  res.set({ 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' });
  next();
});
app.get('/readyz', all.lifecycle.ready);
app.get('/events', checkUser, events);
app.get('/rooms', checkUser, (req, res) => void res.json(roomsOf(userOf(req))));
app.post('/messages', checkUser, express.json({ limit: '4kb' }), postMessage);
app.use(express.static(join(import.meta.dirname, 'public')), answerFailure);

const server = createServer(app);
all.attach(server);
// Names are not checked: only this machine reaches the server, unless HOST says otherwise.
server.listen(Number(process.env['PORT'] ?? 3000), process.env['HOST'] ?? '127.0.0.1');
await once(server, 'listening');
const address = server.address();
console.log(`http://localhost:${typeof address === 'object' && address ? address.port : ''}`);
