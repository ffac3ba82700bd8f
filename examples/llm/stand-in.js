// @ts-check
// Stands for the service of a model provider, so that ./gateway.js runs without one.
import { once } from 'node:events';
import express from 'express';
import { sse } from 'sluice';
import { generate } from './model.js';

/** The key that the provider gave to the gateway. */
export const standInKey = 'key-of-the-gateway';

const answer = sse(async (stream, req) => {
  const { messages, model, stream_options: options } = req.body;
  const start = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 0, model };
  let tokens = 0;
  for await (const content of generate(messages, stream.signal)) {
    tokens++;
    await stream.send({ data: { ...start, choices: [{ index: 0, delta: { content }, finish_reason: null }] } });
  }
  const usage = { prompt_tokens: 0, completion_tokens: tokens, total_tokens: tokens };
  if (options?.include_usage) await stream.send({ data: { ...start, choices: [], usage } });
  await stream.send('[DONE]');
});

/** Starts it on a free port. Returns the target for the gateway. */
export async function startStandIn() {
  const app = express();
  app.post('/v1/chat/completions', express.json(), (req, res, next) => {
    if (req.get('Authorization') === `Bearer ${standInKey}`) answer(req, res, next);
    else res.status(401).json({ error: { message: 'Unknown key', type: 'invalid_request_error', code: null } });
  });
  // It does not keep the gateway's process alive.
  const server = app.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}/v1`;
}
