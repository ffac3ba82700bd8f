import { DefaultChatTransport, readUIMessageStream, streamText, type UIMessage, type UIMessageChunk } from 'ai';
import OpenAI from 'openai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress, mergeDeltas } from '../../../src/index.ts';
import type { Middleware } from '../../support/carriers.ts';
import { settles, until } from '../../support/until.ts';
import { modelOf } from '../../docs/models.ts';
import { ended, type Instance, type InstanceOptions, Script, serveAnswers, told } from './site.ts';

const encoded = { before: [compress() as Middleware] };

/** The transport of `useChat`, with its default URLs. */
function transportOf({ running }: Instance): DefaultChatTransport<UIMessage> {
  return new DefaultChatTransport({ api: `${running.origin}/chat` });
}

async function send(transport: DefaultChatTransport<UIMessage>, id = '1'): Promise<ReadableStream<UIMessageChunk>> {
  const controller = new AbortController();
  onTestFinished(() => controller.abort());
  return transport.sendMessages({
    chatId: 'a',
    messages: [{ id, role: 'user', parts: [{ type: 'text', text: 'hello' }] }],
    trigger: 'submit-message',
    messageId: undefined,
    abortSignal: controller.signal,
  });
}

/** The text of a message, and the errors that the client would show. */
async function read(stream: ReadableStream<UIMessageChunk>): Promise<{ text: string; errors: string[] }> {
  const errors: string[] = [];
  let text = '';
  const onError = (error: unknown): void => void errors.push((error as Error).message);
  for await (const { parts } of readUIMessageStream({ stream, onError }))
    text = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  return { text, errors };
}

const opening = [
  { type: 'start', messageId: 'm1' },
  { type: 'text-start', id: 't' },
];
const delta = (text: string): object => ({ type: 'text-delta', id: 't', delta: text });
const closing = [{ type: 'text-end', id: 't' }, { type: 'finish' }];

describe('the AI SDK', () => {
  async function chat(options: InstanceOptions = {}): Promise<{ script: Script; one: Instance; two: Instance }> {
    const script = new Script();
    const first = await serveAnswers({ script, format: 'ui-message', ...encoded, ...options });
    return { script, one: first, two: first };
  }

  it('reads an answer, resumes it from another tab, and asks in vain for one that is over', async () => {
    const { script, one } = await chat();
    const transport = transportOf(one);
    const first = read(await send(transport));
    script.yields(...opening, delta('Hello, '));
    await until(() => script.begun === 1);
    const second = await transport.reconnectToStream({ chatId: 'a' });
    script.yields(delta('world'), ...closing);
    script.returns({ totalTokens: 7 });
    expect(await settles(first)).toEqual({ text: 'Hello, world', errors: [] });
    expect(await settles(read(second!))).toEqual({ text: 'Hello, world', errors: [] });
    expect((await ended(one))[0]).toMatchObject({ status: 'done', value: { totalTokens: 7 } });
    expect(await transport.reconnectToStream({ chatId: 'a' })).toBeNull();
    expect(await transport.reconnectToStream({ chatId: 'b' })).toBeNull();
    // The next message of the same chat gets an answer of its own.
    const next = read(await send(transport, '2'));
    script.yields(...opening, delta('again'), ...closing);
    script.returns();
    expect(await settles(next)).toEqual({ text: 'again', errors: [] });
  });

  it('is told of an answer that is cancelled, and of one that fails', async () => {
    const { script, one } = await chat();
    const cancelled = read(await send(transportOf(one)));
    script.yields(...opening, delta('half'));
    await until(() => script.begun === 1);
    expect(await one.cancel()).toBe(204);
    expect(await settles(cancelled)).toEqual({ text: 'half', errors: [] });
    const failed = read(await send(transportOf(one)));
    script.yields(...opening, delta('half'));
    script.throws(new Error('secret'));
    expect(await settles(failed)).toEqual({ text: 'half', errors: ['The answer failed'] });
    expect(one.ends.map(({ status }) => status)).toEqual(['cancelled', 'failed']);
  });

  it('sends its header and its last data', async () => {
    const { script, one } = await chat();
    script.yields(...opening);
    script.returns();
    const client = await one.start();
    await settles(client.over);
    expect(client.headers['x-vercel-ai-ui-message-stream']).toBe('v1');
    expect(client.text).toBe(
      ':ok\n' + opening.map((part) => `data: ${JSON.stringify(part)}\n\n`).join('') + 'data: [DONE]\n\n',
    );
  });

  it('is told of an answer that is longer than the history', async () => {
    const { script, one } = await chat({ channels: { history: { count: 2 } } });
    const first = await one.start();
    script.yields(...opening, delta('a'), delta('b'));
    await first.count(4);
    const late = await one.resume();
    expect(await settles(late.over)).toBe('end');
    expect(told(late)).toEqual(['{"type":"error","errorText":"A part of the answer is not kept any more"}', '[DONE]']);
    script.returns();
  });

  it('runs streamText, with pieces of text joined', async () => {
    const words = Array.from({ length: 50 }, (_each, n) => `word${String(n)} `);
    const { one } = await chat({
      coalesce: mergeDeltas({ ms: 1000 }),
      async *run({ signal }) {
        const result = streamText({ model: modelOf(words), prompt: 'hello', abortSignal: signal });
        yield* result.toUIMessageStream();
        return await result.finishReason;
      },
    });
    const client = await one.start();
    await settles(client.over);
    const [last] = await ended(one);
    expect(last).toMatchObject({ status: 'done', value: 'stop' });
    const deltas = client.events.filter(({ data }) => data.includes('text-delta'));
    expect(deltas.map(({ data }) => (JSON.parse(data) as { delta: string }).delta)).toEqual([words.join('')]);
  });
});

describe('the openai client', () => {
  const chunkOf = (content: string): object => ({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 0,
    model: 'm',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  });

  async function complete({ running }: Instance): Promise<string> {
    const client = new OpenAI({ apiKey: 'none', baseURL: running.origin, maxRetries: 0 });
    // The routes of the tests have names of their own.
    const stream = (await client.post('/chat', {
      body: { id: 'a' },
      stream: true,
    })) as AsyncIterable<OpenAI.ChatCompletionChunk>;
    let text = '';
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
    return text;
  }

  it('reads an answer to its end, also one that is resumed', async () => {
    const script = new Script();
    const one = await serveAnswers({ script, format: 'openai', coalesce: mergeDeltas({ ms: 5 }), ...encoded });
    const answers = [complete(one), complete(one)];
    script.yields(chunkOf('Hello, '));
    await until(() => one.rooms.subscribers().length === 2);
    script.yields(chunkOf('world'));
    script.returns({ total_tokens: 2 });
    expect(await settles(Promise.all(answers))).toEqual(['Hello, world', 'Hello, world']);
    expect((await ended(one)).map(({ value }) => value as unknown)).toEqual([{ total_tokens: 2 }]);
    const late = await one.resume();
    await settles(late.over);
    expect(told(late).at(-1)).toBe('[DONE]');
  });

  it('throws for an answer that fails', async () => {
    const script = new Script();
    const one = await serveAnswers({ script, format: 'openai' });
    script.yields(chunkOf('a'));
    script.throws(new Error('secret'));
    await expect(complete(one)).rejects.toMatchObject({ code: 'answer_failed', message: 'The answer failed' });
  });
});

it('joins text in order with all else', async () => {
  const script = new Script();
  const one = await serveAnswers({ script, coalesce: mergeDeltas({ ms: '30s' }) });
  script.yields('a', 'b', { event: 'note', data: 'x' }, { event: 'note', data: 'y' }, 'c', { data: { n: 1 } }, 'd');
  script.returns();
  const client = await one.start();
  await settles(client.over);
  expect(told(client)).toEqual(['ab', 'note xy', 'c', '{"n":1}', 'd', 'sluice.end {"status":"done"}']);
});
