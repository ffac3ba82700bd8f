import { once } from 'node:events';
import http from 'node:http';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { fetchEventSource } from '@microsoft/fetch-event-source';
import { streamText } from 'ai';
import express from 'express';
import type { Chat, ChatCompletionCreateParamsStreaming } from 'openai/resources';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { lacksBrowser, launchBrowser, lastingPort, openPage, runExample, startTimeout } from '../browser/support.ts';
import { compress, heartbeat } from '../../src/index.ts';
import { listen } from '../support/carriers.ts';
import { EventParser } from '../support/event-parser.ts';
import { examplesOf, openRoom, type Running, start } from '../support/docs.ts';
import { settles, until } from '../support/until.ts';
import { chatText, clientOf, complete, hello, modelOf } from './models.ts';

// What docs/llm.md says, by the clients that it names.

const room = openRoom();
afterAll(() => room.remove());
const examples = new Map(examplesOf('docs/llm.md').map((example) => [example.key, example]));

function run(title: string, upstream?: string): Promise<Running> {
  return start(examples.get(`docs/llm.md: ${title}`)!, room, upstream === undefined ? {} : { upstream });
}

/** The reasons of the streams that close from now on. */
function watchCloses(): string[] {
  const reasons: string[] = [];
  const listener = (message: unknown): void => void reasons.push((message as { reason: string }).reason);
  subscribe('sluice:stream:close', listener);
  onTestFinished(() => void unsubscribe('sluice:stream:close', listener));
  return reasons;
}

/** A service that answers every request in one way. */
async function answering(listener: http.RequestListener): Promise<string> {
  const running = await listen(http.createServer(listener));
  onTestFinished(() => running.close());
  return running.origin;
}

describe('the endpoint', () => {
  it('compresses, and sends each chunk as it comes', async () => {
    const { origin } = await run('Language models');
    const response = await fetch(`${origin()}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Accept-Encoding': 'gzip', 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'mine', stream: true, messages: [hello] }),
    });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    const text = new TextDecoder();
    const pieces: string[] = [];
    for await (const bytes of response.body!) pieces.push(text.decode(bytes as Uint8Array, { stream: true }));
    const holding = (word: string): number => pieces.findIndex((piece) => piece.includes(word));
    expect(holding('said: ')).toBeGreaterThan(holding('You '));
    expect(holding('[DONE]')).toBeGreaterThan(holding('said: '));
  });

  it('sends the usage to a client that asks for it', async () => {
    const { origin } = await run('Language models');
    const { usage } = await complete(origin(), { stream_options: { include_usage: true } });
    expect(usage?.completion_tokens).toBe(3);
    expect((await complete(origin())).usage).toBeUndefined();
  });
});

describe('a gateway', () => {
  it.each(['Abort the model', 'Errors with a status'])(
    'ends the call of the model with its client: %s',
    async (title) => {
      const model = await run('Language models');
      const gateway = await run(title, model.origin());
      const reasons = watchCloses();
      const long = { role: 'user', content: 'word '.repeat(1000) } as const;
      const stream = await clientOf(gateway.origin()).chat.completions.create({
        model: 'mine',
        messages: [long],
        stream: true,
      });
      for await (const chunk of stream) if (chunk.id) break; // which aborts the request
      await until(
        () => reasons.length === 2,
        () => reasons.join(),
      );
      expect(reasons).toEqual(['client-closed', 'client-closed']);
    },
  );

  it('passes on the status of a model that refuses', async () => {
    const upstream = await answering((_req, res) => void res.writeHead(429).end('{}'));
    const { origin } = await run('Errors with a status', upstream);
    await expect(complete(origin())).rejects.toMatchObject({
      status: 429,
      error: { message: 'The model refused', type: 'upstream_error' },
    });
    await expect(complete(origin(), { messages: undefined as never })).rejects.toMatchObject({ status: 400 });
  });

  it('ends the call of a model that has not begun to answer', async () => {
    const calls: http.ServerResponse[] = [];
    const upstream = await answering((_req, res) => void calls.push(res));
    const { origin } = await run('Errors with a status', upstream);
    const client = new AbortController();
    const answer = clientOf(origin()).chat.completions.create(
      { model: 'mine', messages: [hello], stream: true },
      { signal: client.signal },
    );
    answer.catch(() => undefined);
    await until(
      () => calls.length === 1,
      () => 'the model is not called',
    );
    client.abort();
    await until(
      () => calls[0]!.destroyed,
      () => 'the model is still called',
    );
  });

  it('cuts an answer whose model breaks off, so that the SDK fails', async () => {
    const upstream = await answering((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.write('data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n', () => void res.destroy());
    });
    const { origin } = await run('Errors with a status', upstream);
    await expect(complete(origin())).rejects.toThrow();
  });
});

it('pipeUIMessageStreamToResponse of the AI SDK is kept alive and compressed, and read without a trace of that', async () => {
  const beat = heartbeat({ every: 5, jitter: 0 });
  const app = express().use(beat, compress());
  const sent = (): number => beat.registry.stats().heartbeats;
  app.post('/', (_req, res) => {
    const words = async function* (): AsyncGenerator<string> {
      const before = sent();
      yield 'The ';
      await until(
        () => sent() > before + 2,
        () => 'no heartbeat is sent',
      );
      yield 'answer.';
    };
    void streamText({ model: modelOf(words()), prompt: 'hello' }).pipeUIMessageStreamToResponse(res);
  });
  const running = await listen(http.createServer(app));
  onTestFinished(() => running.close());
  expect(await chatText(running.origin)).toBe('The answer.');
  const response = await fetch(running.origin, { method: 'POST', headers: { 'Accept-Encoding': 'gzip' } });
  expect([response.headers.get('content-encoding'), await response.text()]).toEqual([
    'gzip',
    expect.stringContaining('answer.'),
  ]);
});

describe('the readers', () => {
  afterEach(() => void vi.unstubAllGlobals());

  it('@microsoft/fetch-event-source gets each part and the end, once', async () => {
    const { origin } = await run('Language models');
    const listeners = { addEventListener: () => undefined, removeEventListener: () => undefined };
    vi.stubGlobal('document', { hidden: false, ...listeners });
    vi.stubGlobal('window', { fetch, setTimeout, clearTimeout });
    const data: string[] = [];
    await settles(
      fetchEventSource(`${origin()}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ model: 'mine', stream: true, messages: [hello] }),
        onmessage: (message) => void data.push(message.data),
      }),
    );
    expect([data.length, data.at(-1)]).toEqual([5, '[DONE]']);
  });

  describe.skipIf(lacksBrowser('docs/llm.md'))('Chromium', { timeout: startTimeout }, () => {
    let browser: Awaited<ReturnType<typeof launchBrowser>>;
    beforeAll(async () => void (browser = await launchBrowser()), startTimeout);
    afterAll(() => browser.close());

    it('reads the answer of a POST', async () => {
      const port = await lastingPort();
      runExample('llm/server.js', { port });
      const origin = `http://localhost:${port}`;
      await expect
        .poll(
          () =>
            fetch(`${origin}/livez`).then(
              ({ ok }) => ok,
              () => false,
            ),
          { timeout: 45_000 },
        )
        .toBe(true);
      const page = await openPage(browser, `${origin}/livez`);
      const { code } = examples.get('docs/llm.md: Read it in a browser')!;
      const data = await page.evaluate<string[]>(`(async () => {
        ${code.replace('export ', '')}
        const response = await fetch('/v1/chat/completions', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: ${JSON.stringify(JSON.stringify({ model: 'mine', stream: true, messages: [hello] }))},
        });
        const found = [];
        for await (const text of readEvents(response)) found.push(text);
        return found;
      })()`);
      const words = data.slice(0, -1).map((text) => JSON.parse(text) as { choices: { delta: { content?: string } }[] });
      expect(words.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('You said: hello');
      expect(data.at(-1)).toBe('[DONE]');
    });
  });
});

describe('examples/llm', () => {
  it('answers the SDK with and without a stream, tells its errors, and lets an answer finish at SIGTERM', async () => {
    const port = await lastingPort();
    const program = runExample('llm/server.js', { port });
    const origin = `http://localhost:${port}`;
    await expect
      .poll(
        () =>
          fetch(`${origin}/livez`).then(
            ({ ok }) => ok,
            () => false,
          ),
        { timeout: 45_000 },
      )
      .toBe(true);
    const { chat, models } = clientOf(origin);
    expect((await models.list()).data.map(({ id }) => id)).toEqual(['mine']);
    expect(await complete(origin, { stream_options: { include_usage: true } })).toEqual({
      content: 'You said: hello',
      finish: 'stop',
      usage: { prompt_tokens: 0, completion_tokens: 3, total_tokens: 3 },
    });
    const whole = await chat.completions.create({ model: 'mine', messages: [hello] });
    expect(whole.choices[0]?.message.content).toBe('You said: hello');
    await expect(chat.completions.create({ model: 'mine', messages: 'hello' as never })).rejects.toMatchObject({
      status: 400,
      param: 'messages',
    });
    await expect(complete(origin, { messages: [{ role: 'user', content: 'fail' }] })).rejects.toMatchObject({
      message: 'The model failed',
    });
    await resumesAnswer(`${origin}/answers/1`);

    const content = 'word '.repeat(20);
    const stream = await chat.completions.create({
      model: 'mine',
      messages: [{ role: 'user', content }],
      stream: true,
    });
    let read = '';
    for await (const chunk of stream) {
      if (read === '') program.child.kill('SIGTERM');
      read += chunk.choices[0]?.delta.content ?? '';
    }
    expect(read).toBe(`You said: ${content}`);
    await once(program.child, 'close');
    expect(program.child.exitCode).toBe(0);
  }, 120_000);
});

/** Begins an answer, leaves, and comes back with the id of what it has. */
async function resumesAnswer(url: string): Promise<void> {
  const read = async (init: RequestInit, isEnough: (parser: EventParser) => boolean): Promise<EventParser> => {
    const parser = new EventParser();
    const { body } = await fetch(url, init);
    for await (const bytes of body!) if (isEnough(parser.push(bytes as Uint8Array))) break;
    return parser;
  };
  const textOf = ({ events }: EventParser): string =>
    events.map(({ type, data }) => (type === 'message' ? data : '')).join('');
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'one two three four' }] });
  const first = await read({ method: 'POST', headers, body }, ({ events }) => events.length > 0);
  const rest = await read({ headers: { 'Last-Event-ID': first.lastEventId } }, () => false);
  expect(textOf(first) + textOf(rest)).toBe('You said: one two three four');
  expect(rest.events.at(-1)).toMatchObject({ type: 'sluice.end', data: '{"status":"done"}' });
  expect((await fetch(url, { method: 'DELETE' })).status).toBe(204);
}

describe('examples/llm/gateway.js', { timeout: 120_000 }, () => {
  /** Starts it, with its stand-in for a provider. */
  async function startGateway(): Promise<{ chat: Chat; usage(): Promise<number>; stranger: Chat }> {
    const port = await lastingPort();
    runExample('llm/gateway.js', { port });
    const origin = `http://localhost:${port}`;
    const isLive = (): Promise<boolean> =>
      fetch(`${origin}/livez`).then(
        ({ ok }) => ok,
        () => false,
      );
    await expect.poll(isLive, { timeout: 45_000 }).toBe(true);
    const clientWith = (apiKey: string): Chat => new OpenAI({ apiKey, baseURL: `${origin}/v1`, maxRetries: 0 }).chat;
    return {
      chat: clientWith('key-of-ann'),
      stranger: clientWith('key-of-a-stranger'),
      usage: async () => ((await (await fetch(`${origin}/usage`)).json()) as { ann?: number }).ann ?? 0,
    };
  }

  const saying = (content: string): ChatCompletionCreateParamsStreaming => ({
    model: 'mine',
    messages: [{ role: 'user', content }],
    stream: true,
  });

  it('counts the usage once, also of a client that leaves', async () => {
    const { chat, usage, stranger } = await startGateway();
    const deltas: string[] = [];
    for await (const { choices } of await chat.completions.create(saying('hello to all'))) {
      const content = choices[0]?.delta.content;
      if (content) deltas.push(content);
    }
    expect(deltas).toEqual(['You ', 'said: ', 'hello ', 'to ', 'all']);
    expect(await usage()).toBe(5);

    for await (const { choices } of await chat.completions.create(saying('one two three four five'))) {
      if (choices[0]?.delta.content) break; // which aborts the request
    }
    await expect.poll(usage, { timeout: 45_000 }).toBe(5 + 7);

    await expect(stranger.completions.create(saying('hello'))).rejects.toMatchObject({ status: 401 });
    expect(await usage()).toBe(12);
  });

  it('passes each delta on as it comes, and breaks off where the deadline passes or the model fails', async () => {
    const { chat, usage } = await startGateway();
    const read = async (content: string, timeout = 60_000): Promise<string[]> => {
      const deltas: string[] = [];
      const reading = async (): Promise<void> => {
        const headers = { 'X-Request-Timeout-Ms': String(timeout) };
        const stream = await chat.completions.create(saying(content), { headers });
        for await (const { choices } of stream) deltas.push(choices[0]?.delta.content ?? '');
      };
      await expect(reading()).rejects.toThrow();
      return deltas;
    };
    // On a machine that is busy the first deltas may take longer than the first deadline.
    let late: string[] = [];
    for (let timeout = 1000; late.length === 0 && timeout < 60_000; timeout *= 4) {
      late = await read('word '.repeat(5000), timeout);
    }
    expect(late.slice(0, 2)).toEqual(['You ', 'said: '].slice(0, late.length));
    expect(late.length).toBeGreaterThan(0);
    expect(await read('fail')).toEqual(['You ', 'said: ']);
    expect(await usage()).toBe(0);
  });
});
