// @ts-check
// A chat completions endpoint as OpenAI has it, and answers that survive a reload. Put your model in place of
// ./model.js.
import console from 'node:console';
import { randomUUID } from 'node:crypto';
import process from 'node:process';
import express from 'express';
import {
  compress,
  contextOf,
  createChannels,
  deadline,
  heartbeat,
  lifecycle,
  mergeDeltas,
  resumable,
  sse,
} from 'sluice';
import { generate } from './model.js';

const app = express();
const life = lifecycle({ drainTimeout: '2m' }); // longer than the longest answer
app.use(life, deadline({ max: '2m' }), heartbeat({ idleProducer: '60s' }), compress());
app.get('/readyz', life.ready);
app.get('/livez', life.live);

app.get('/v1/models', (_req, res) => {
  res.json({ object: 'list', data: [{ id: 'mine', object: 'model', created: 0, owned_by: 'me' }] });
});

/** @typedef {import('express').Request} Request @typedef {import('express').Response} Response */
/** @typedef {import('express').NextFunction} Next */

/** @param {Request} req @param {Response} res @param {Next} next */
function check(req, res, next) {
  const { messages } = req.body ?? {};
  if (Array.isArray(messages) && messages.every(({ content }) => typeof content === 'string')) {
    next();
    return;
  }
  const message = 'messages has to be an array of objects with a content';
  res.status(400).json({ error: { message, type: 'invalid_request_error', param: 'messages', code: null } });
}

/** What every chunk and every answer has in common. */
const head = (/** @type {string} */ object, /** @type {string} */ model) => ({
  id: `chatcmpl-${randomUUID()}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model,
});

const usageOf = (/** @type {number} */ tokens) => ({
  prompt_tokens: 0,
  completion_tokens: tokens,
  total_tokens: tokens,
});

/** @param {Request} req @param {Response} res @param {Next} next */
async function whole(req, res, next) {
  if (req.body.stream) {
    next();
    return;
  }
  const words = [];
  for await (const word of generate(req.body.messages, contextOf(req).signal)) words.push(word);
  const message = { role: 'assistant', content: words.join('') };
  res.json({
    ...head('chat.completion', req.body.model),
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: usageOf(words.length),
  });
}

const streamed = sse(async (stream, req) => {
  const { messages, model, stream_options: options } = req.body;
  const start = head('chat.completion.chunk', model);
  const send = (/** @type {object} */ delta, /** @type {string | null} */ reason = null) =>
    stream.send({ data: { ...start, choices: [{ index: 0, delta, finish_reason: reason }] } });
  try {
    let tokens = 0;
    await send({ role: 'assistant', content: '' });
    for await (const content of generate(messages, stream.signal)) {
      tokens++;
      await send({ content });
    }
    await send({}, 'stop');
    if (options?.include_usage) await stream.send({ data: { ...start, choices: [], usage: usageOf(tokens) } });
    await stream.send('[DONE]');
  } catch (error) {
    if (stream.signal.aborted) return; // the client has left
    console.error(error);
    await stream.send({ data: { error: { message: 'The model failed', type: 'server_error', code: null } } });
  }
});

app.post('/v1/chat/completions', express.json({ limit: '1mb' }), check, whole, streamed);

// The same for pages that come back: a reload reads on, and only DELETE stops the model.
const answers = resumable(createChannels({ history: { count: 20_000, bytes: '2mb' } }), {
  key: (req) => req.params.id, // false for a user who may not have this answer
  run: ({ req, signal }) => generate(req.body.messages, signal),
  coalesce: mergeDeltas({ ms: 40 }),
  onEnd({ key, status, error }) {
    if (status === 'failed') console.error(key, error);
  },
});

app.post('/answers/:id', express.json({ limit: '1mb' }), check, answers.start);
app.get('/answers/:id', answers.resume);
app.delete('/answers/:id', answers.cancel);

const server = app.listen(Number(process.env['PORT'] ?? 3000));
life.attach(server);
