import { fetchEventSource } from '@microsoft/fetch-event-source';
import { DefaultChatTransport } from 'ai';
import { EventSource } from 'eventsource';
import { createParser } from 'eventsource-parser';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import OpenAI from 'openai';
import { fetch as undiciFetch, request } from 'undici';
import { vi } from 'vitest';
import { connect } from '../../src/client/index.ts';
import { EventParser } from '../support/event-parser.ts';
import { BlankLineDecoder, type LenientDecoder, SeenFieldDecoder } from '../support/lenient-decoders.ts';
import { chunks, type Ending } from './site.ts';

/** What a client made of a stream. */
export interface Outcome {
  /** The data of every message, in order, as the client's user would parse it. */
  readonly data: readonly unknown[];
  readonly ending: Ending;
}

/** A client as services meet it. */
export interface Client {
  readonly name: string;
  /** Whether it takes `[DONE]` for the end. */
  readonly wantsDone: boolean;
  /** Whether it comes back by itself. */
  readonly resumes: boolean;
  /** Whether it learns from `stop()` to stay away. */
  readonly stops: boolean;
  /** Reads a stream to its end. */
  read(url: string): Promise<Outcome>;
}

type Bytes = AsyncIterable<Uint8Array>;

/** Feeds a body to something that parses it. */
async function readBody(body: Bytes, take: (bytes: Uint8Array) => void): Promise<Ending> {
  try {
    for await (const bytes of body) take(bytes);
    return 'end';
  } catch {
    return 'cut';
  }
}

const post: RequestInit = {
  method: 'POST',
  headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
  body: '{"stream":true}',
};

async function postForBody(url: string): Promise<Bytes> {
  const response = await fetch(url, post);
  if (response.status !== 200) throw new Error(`answered ${response.status}`);
  return response.body as unknown as Bytes;
}

function byDecoder(name: string, makeDecoder: () => LenientDecoder): Client {
  return {
    name,
    wantsDone: true,
    resumes: false,
    stops: false,
    async read(url) {
      const decoder = makeDecoder();
      const data: unknown[] = [];
      const ending = await readBody(await postForBody(url), (bytes) => {
        for (const message of decoder.push(bytes)) data.push(parse(message.data));
      });
      return { data, ending };
    },
  };
}

/** What is no JSON becomes visible, and ends nothing. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return `no JSON: ${JSON.stringify(text)}`;
  }
}

function byFetch(
  name: string,
  open: (url: string) => Promise<Bytes>,
  parseBody: (body: Bytes, data: unknown[]) => Promise<Ending>,
): Client {
  return {
    name,
    wantsDone: false,
    resumes: false,
    stops: false,
    async read(url) {
      const data: unknown[] = [];
      const ending = await parseBody(await open(url), data);
      return { data, ending };
    },
  };
}

async function parseByLetter(body: Bytes, data: unknown[]): Promise<Ending> {
  const parser = new EventParser();
  const ending = await readBody(body, (bytes) => parser.push(bytes));
  for (const event of parser.events) data.push(parse(event.data));
  return ending;
}

async function parseByCallback(body: Bytes, data: unknown[]): Promise<Ending> {
  const text = new TextDecoder();
  const parser = createParser({
    onEvent: (event) => data.push(parse(event.data)),
    onError: (error) => data.push(`${error.type}: ${error.message}`),
  });
  return readBody(body, (bytes) => parser.feed(text.decode(bytes, { stream: true })));
}

async function parseByStream(body: Bytes, data: unknown[]): Promise<Ending> {
  const events = (body as unknown as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream() as never)
    .pipeThrough(new EventSourceParserStream({ onError: 'terminate' }));
  try {
    for await (const event of events as unknown as AsyncIterable<{ data: string }>) data.push(parse(event.data));
    return 'end';
  } catch {
    return 'cut';
  }
}

const openai: Client = {
  name: 'openai',
  wantsDone: true,
  resumes: false,
  stops: false,
  async read(url) {
    const client = new OpenAI({ apiKey: 'none', baseURL: url, maxRetries: 0, logLevel: 'off' });
    const data: unknown[] = [];
    // Not within the `try`: a refusal is no cut.
    const stream = await client.chat.completions.create({
      model: 'any',
      stream: true,
      messages: [{ role: 'user', content: 'hello' }],
    });
    try {
      for await (const chunk of stream) data.push(chunk);
      return { data, ending: 'end' };
    } catch (error) {
      if (error instanceof SyntaxError) data.push(`no JSON: ${error.message}`);
      return { data, ending: 'cut' };
    }
  },
};

const aiSdk: Client = {
  name: 'ai',
  wantsDone: true,
  resumes: false,
  stops: false,
  async read(url) {
    const transport = new DefaultChatTransport({ api: url });
    const data: unknown[] = [];
    const stream = await transport.sendMessages({
      chatId: 'chat',
      messages: [],
      trigger: 'submit-message',
      messageId: undefined,
      abortSignal: undefined,
    });
    try {
      for await (const chunk of stream as unknown as AsyncIterable<unknown>) data.push(chunk);
      return { data, ending: 'end' };
    } catch (error) {
      if ((error as Error).name.startsWith('AI_')) data.push(`no chunk: ${(error as Error).message}`);
      return { data, ending: 'cut' };
    }
  },
};

const byFetchEventSource: Client = {
  name: '@microsoft/fetch-event-source',
  wantsDone: false,
  resumes: true,
  stops: false,
  async read(url) {
    const data: unknown[] = [];
    const listeners = { addEventListener: () => undefined, removeEventListener: () => undefined };
    // It is made for browsers. For its calls only: other clients look for these to know where they are.
    vi.stubGlobal('document', { hidden: false, ...listeners });
    vi.stubGlobal('window', { fetch, setTimeout, clearTimeout });
    try {
      await fetchEventSource(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{}',
        onmessage: (message) => void data.push(parse(message.data)),
      });
    } finally {
      vi.unstubAllGlobals();
    }
    return { data, ending: 'end' };
  },
};

const byEventSource: Client = {
  name: 'eventsource',
  wantsDone: false,
  resumes: true,
  // Version 4 takes over ids from events with data only.
  stops: false,
  read(url) {
    const data: unknown[] = [];
    const source = new EventSource(url);
    const listener = (message: { data: unknown }): void => void data.push(parse(String(message.data)));
    for (const type of ['message', 'chunk']) source.addEventListener(type, listener);
    return new Promise((resolve) => {
      source.addEventListener('error', () => {
        // It reconnects after any end. One that has all closes, as a page does.
        if (data.length < chunks.length) return;
        source.close();
        resolve({ data, ending: 'end' });
      });
    });
  },
};

const byConnect: Client = {
  name: 'sluice/client',
  wantsDone: false,
  resumes: true,
  stops: true,
  async read(url) {
    const data: unknown[] = [];
    let ending: Ending = 'stopped';
    const connection = connect(url, { retry: { min: 1 } });
    connection.onStateChange(({ state }) => {
      // It reconnects after any end. One that has all closes.
      if (state !== 'connecting' || data.length < chunks.length) return;
      ending = 'end';
      connection.close();
    });
    for await (const event of connection) data.push(parse(event.data));
    return { data, ending };
  },
};

/** Every client that runs in Node. */
export const clients: readonly Client[] = [
  openai,
  aiSdk,
  byFetchEventSource,
  byEventSource,
  byConnect,
  byFetch('eventsource-parser', postForBody, parseByCallback),
  byFetch('the stream of eventsource-parser', postForBody, parseByStream),
  byFetch('the fetch of undici', async (url) => (await undiciFetch(url)).body as unknown as Bytes, parseByLetter),
  byFetch('the request of undici', async (url) => (await request(url)).body, parseByLetter),
  byDecoder('a decoder by the rule of SDKs for Python', () => new SeenFieldDecoder()),
  byDecoder('a decoder by the rule of older SDKs for Go', () => new BlankLineDecoder()),
];
