// @ts-check
// A gateway in front of the service of a model provider: users have keys of their own, and their tokens are counted.
// UPSTREAM=https://api.openai.com/v1 UPSTREAM_KEY=… node gateway.js; without UPSTREAM it starts a stand-in.
import console from 'node:console';
import process from 'node:process';
import express from 'express';
import { compress, deadline, heartbeat, lifecycle, proxy } from 'sluice';
import { standInKey, startStandIn } from './stand-in.js';

/** @typedef {import('express').Request} Request @typedef {import('express').Response} Response */
/** @typedef {import('express').NextFunction} Next */

/** Put your database in the place of these two. @type {ReadonlyMap<string, string>} */
const users = new Map([['Bearer key-of-ann', 'ann']]);
/** @type {Map<string, number>} */
const tokens = new Map();

const userOf = (/** @type {Request} */ req) => users.get(req.get('Authorization') ?? '');

/** Counts the usage that is in an answer, or in the last event of a stream. @param {Request} req @param {string} json */
function count(req, json) {
  if (!json.includes('"usage"')) return; // most events of a stream have none
  const user = userOf(req) ?? '';
  const { usage } = /** @type {{ usage?: { total_tokens: number } | null }} */ (JSON.parse(json));
  if (usage) tokens.set(user, (tokens.get(user) ?? 0) + usage.total_tokens);
}

/** @param {Request} req @param {Response} res @param {Next} next */
function check(req, res, next) {
  if (userOf(req) === undefined) {
    res.status(401).json({ error: { message: 'Unknown key', type: 'invalid_request_error', code: null } });
    return;
  }
  // Without this a stream has no usage. The proxy writes the changed body.
  if (req.body?.stream) req.body.stream_options = { ...req.body.stream_options, include_usage: true };
  next();
}

const target = process.env['UPSTREAM'] ?? (await startStandIn());

const passOn = proxy({
  target,
  // Without an encoding, so that `tap` can read and `compress` can encode each event.
  requestHeaders: {
    Authorization: `Bearer ${process.env['UPSTREAM_KEY'] ?? standInKey}`,
    'Accept-Encoding': 'identity',
  },
  timeouts: { head: '2m', idle: '1m' },
  // The provider is paid for the whole answer: read its usage although the client has left.
  onClientGone: { drain: { timeout: '2m', maxBytes: '1mb', concurrent: 100 } },
  tap: ({ data }, req) => count(req, data),
  modifyResponse({ headers }, req) {
    if (!headers.get('Content-Type')?.startsWith('application/json')) return;
    return async function* (chunks) {
      let json = '';
      for await (const chunk of chunks) {
        json += String(chunk);
        yield chunk;
      }
      count(req, json);
    };
  },
  onError(error, _req, res) {
    console.error(error.message);
    res
      .status(error.status)
      .json({ error: { message: 'The model is not available', type: 'server_error', code: null } });
  },
});

const app = express();
const life = lifecycle({ drainTimeout: '2m' }); // longer than the longest answer
app.use(life, deadline({ max: '2m' }), heartbeat(), compress());
app.get('/readyz', life.ready);
app.get('/livez', life.live);
app.get('/usage', (_req, res) => void res.json(Object.fromEntries(tokens)));
app.use('/v1', express.json({ limit: '10mb' }), check, passOn);

life.attach(app.listen(Number(process.env['PORT'] ?? 3000)));
