// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import { sse } from 'sluice';

const longestPrompt = 500;

/** @typedef {{ token: { text: string }, done: { tokens: number } }} TokenEvents */

/**
 * `GET /tokens?prompt=…`: a made-up answer at the pace of a language model, then `done`. The same prompt has the same
 * answer, so a client that lost its connection goes on at the next token, on another process too.
 *
 * @returns {import('express').RequestHandler[]}
 */
export function tokens() {
  /**
   * @param {import('sluice').EventStream<TokenEvents>} stream
   * @param {import('express').Request} req
   */
  async function handler(stream, req) {
    const answer = tokenize(compose(promptOf(req) ?? ''));
    for await (const index of paced(answer.length, startAfter(stream.lastEventId), stream.signal)) {
      await stream.send({ event: 'token', id: String(index), data: { text: answer[index] ?? '' } });
    }
    await stream.send({ event: 'done', data: { tokens: answer.length } });
    // An EventSource takes an end for a lost connection, and would ask again.
    await stream.stop();
  }
  return [requirePrompt, sse(handler, { retry: 1000, reconnectDelay: 1000, closeTimeout: 1000 })];
}

/**
 * @param {import('express').Request} req
 * @param {import('express').Response} res
 * @param {import('express').NextFunction} next
 */
function requirePrompt(req, res, next) {
  if (promptOf(req) !== undefined) next();
  else res.status(400).json({ error: `Expected one prompt of 1 to ${longestPrompt} characters` });
}

/** @param {import('express').Request} req */
function promptOf(req) {
  const { prompt } = req.query;
  return typeof prompt === 'string' && prompt.trim() !== '' && prompt.length <= longestPrompt
    ? prompt.trim()
    : undefined;
}

/**
 * @param {number} end
 * @param {number} start
 * @param {AbortSignal} signal
 */
async function* paced(end, start, signal) {
  for (let index = start; index < end; index += 1) {
    await sleep(20 + 40 * Math.random(), undefined, { signal });
    yield index;
  }
}

/** @param {string} lastEventId */
function startAfter(lastEventId) {
  return /^\d{1,6}$/.test(lastEventId) ? Number(lastEventId) + 1 : 0;
}

/**
 * Pieces about as long as a model's.
 *
 * @param {string} text
 * @returns {string[]}
 */
function tokenize(text) {
  return text.match(/\s*[\p{L}\p{M}\p{N}'’]{1,6}|\s*[^\s\p{L}\p{M}\p{N}]|\s+$/gu) ?? [];
}

/** @param {string} prompt */
function compose(prompt) {
  const start = sum(prompt) % sentences.length;
  const chosen = [...sentences.slice(start), ...sentences.slice(0, start)];
  const paragraphs = [
    `You asked: “${prompt}”. No model is at work here, so take this as an answer about the wire instead.`,
    chosen.slice(0, 2).join(' '),
    chosen.slice(2, 4).join(' '),
  ];
  return paragraphs.join('\n\n');
}

/** @param {string} text */
function sum(text) {
  let result = 0;
  for (const char of text) result += char.codePointAt(0) ?? 0;
  return result;
}

const sentences = [
  'Each of these words left the server in an event of its own, the moment it was there.',
  'The loop that makes them awaits every send, so a reader who falls behind slows the writer down instead of filling its memory.',
  'Each event has an id; restart the server in the middle of this sentence and the answer goes on at the next word.',
  'When you close the page, the generator is told through an abort signal and stops making words that no one will read.',
  'An error in the middle would cut the connection, because a clean end would pass half an answer for a whole one.',
  'The last event says that the answer is complete, and the end after it asks the browser not to come back.',
  'Text may hold quotes, “curly” ones, line breaks and signs such as ∑ or é: framing is the library’s work.',
  'Several sends in one turn of the event loop leave in one write, and none of them waits for the next turn.',
];
