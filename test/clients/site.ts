import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import {
  compress,
  createRegistry,
  type EventInput,
  type EventStream,
  heartbeat,
  sse,
  type SseOptions,
} from '../../src/index.ts';
import { listen, type Middleware, type Running } from '../support/carriers.ts';
import { until } from '../support/until.ts';

/** What the events of every scenario hold: chunks that the AI SDK knows, and any other client takes for JSON. */
export const chunks: readonly object[] = [
  { type: 'start' },
  { type: 'text-start', id: 'text' },
  ...['The', ' answer\n\ncomes', ' word by word: ', '🌊', ''].map((delta) => ({
    type: 'text-delta',
    id: 'text',
    delta,
  })),
  { type: 'text-end', id: 'text' },
  { type: 'finish' },
];

/** What the first visit gets of a stream that is to be resumed. */
export const firstPart = 4;

/** How the last body of a client ended. */
export type Ending = 'end' | 'cut' | 'stopped';

/** One way in which a service sends `chunks`. */
export interface Scenario {
  readonly name: string;
  readonly options?: SseOptions;
  /** Sends all, but the last word of those that want one. */
  send(stream: EventStream, site: Beating): Promise<void>;
  /** Whether clients are told in the middle to come back. */
  readonly isCut?: boolean;
  /** Whether clients are told at the end not to come back. */
  readonly isStopped?: boolean;
}

/** What a scenario may wait for. */
export interface Beating {
  /** Resolves when some more heartbeats were sent. */
  heartbeats(): Promise<void>;
  readonly res: ServerResponse;
}

const event = (index: number, more: EventInput = {}): EventInput => ({ ...more, data: chunks[index] });

async function sendEach(
  stream: EventStream,
  make: (index: number) => EventInput,
  from = 0,
  to: number = chunks.length,
): Promise<void> {
  for (let index = from; index < to; index++) await stream.send(make(index));
}

const withId = (index: number): EventInput => event(index, { id: String(index + 1) });

export const scenarios: readonly Scenario[] = [
  { name: 'events alone', send: (stream) => sendEach(stream, event) },
  { name: 'without a prelude', options: { prelude: false }, send: (stream) => sendEach(stream, event) },
  { name: 'ids', send: (stream) => sendEach(stream, withId) },
  { name: 'names', send: (stream) => sendEach(stream, (index) => event(index, { event: 'chunk', id: `${index}` })) },
  {
    name: 'comments',
    async send(stream) {
      await stream.comment('hello\n\nto everybody');
      await sendEach(stream, (index) => event(index, { comment: 'of the event' }), 0, 3);
      for (const text of ['', 'between', '\n']) await stream.comment(text);
      await sendEach(stream, withId, 3);
      await stream.comment('after all');
    },
  },
  {
    name: 'retry hints',
    options: { retry: 20 },
    async send(stream) {
      await stream.send({ retry: 30 });
      await sendEach(stream, withId, 0, 3);
      await stream.send({ retry: 20, comment: 'alone' });
      await sendEach(stream, (index) => event(index, { retry: 20 }), 3);
      await stream.send({ retry: 25 });
    },
  },
  {
    name: 'heartbeats',
    options: { retry: 20 },
    async send(stream, { heartbeats }) {
      await heartbeats();
      await sendEach(stream, withId, 0, 2);
      await heartbeats();
      await stream.comment('and a comment');
      await heartbeats();
      await sendEach(stream, withId, 2);
      await heartbeats();
    },
  },
  {
    name: 'a handler that writes by hand, in pieces, among heartbeats',
    async send(stream, { heartbeats, res }) {
      stream.flush();
      for (const [index, chunk] of chunks.entries()) {
        const text = `: by hand\r\nid: ${index + 1}\r\ndata: ${JSON.stringify(chunk)}\r\n\r\n`;
        if (index % 3 === 0) await heartbeats();
        // No heartbeat has a place in the middle: time passes all the same.
        res.write(text.slice(0, 20));
        await new Promise((resolve) => setTimeout(resolve, 8));
        res.write(text.slice(20));
      }
      await heartbeats();
    },
  },
  {
    name: 'reconnect()',
    isCut: true,
    async send(stream, { heartbeats }) {
      await heartbeats();
      if (stream.lastEventId === '') {
        await sendEach(stream, withId, 0, firstPart);
        await stream.comment('soon');
        await stream.reconnect({ retry: 10 });
      } else {
        await sendEach(stream, withId, Number(stream.lastEventId));
      }
    },
  },
  {
    name: 'stop()',
    options: { retry: 10 },
    isStopped: true,
    async send(stream, { heartbeats }) {
      await sendEach(stream, withId);
      await heartbeats();
    },
  },
];

/**
 * A service that sends every scenario, compressed or not: `/gzip/done/2/…` is the third, with `[DONE]` as its last
 * event.
 */
export async function startSite({ comments = 'line' }: Pick<SseOptions, 'comments'> = {}): Promise<Running> {
  const registry = createRegistry();
  const stack: Middleware[] = [
    heartbeat({
      comments,
      every: 4,
      jitter: 0,
      registry,
      readDeadline: Infinity,
      writeDeadline: Infinity,
      ackProbe: false,
    }) as Middleware,
    compress({ filter: (req) => req.url?.startsWith('/gzip/') === true, threshold: 0 }) as Middleware,
  ];
  const heartbeats = async (): Promise<void> => {
    const before = registry.stats().heartbeats;
    await until(
      () => registry.stats().heartbeats >= before + 2,
      () => 'no heartbeat has room',
    );
  };
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    const [, , last, number] = (req.url ?? '').split('/');
    const scenario = scenarios[Number(number)];
    if (!scenario) {
      // Browsers ask for an icon.
      res.writeHead(404).end();
      return;
    }
    const handler = sse(
      async (stream) => {
        await scenario.send(stream, { heartbeats, res });
        if (stream.state !== 'open') return;
        if (last === 'done') await stream.send('[DONE]');
        if (scenario.isStopped) await stream.stop();
      },
      { ...scenario.options, comments },
    );
    const run = (index: number): unknown =>
      index < stack.length ? stack[index]!(req, res, () => void run(index + 1)) : handler(req, res);
    run(0);
  };
  return listen(
    http.createServer((req, res) => {
      if (req.url === '/') res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>clients</title>');
      else listener(req, res);
    }),
  );
}

/** What a client should have got, by what it can. */
export function expectedOf(
  scenario: Scenario,
  client: { readonly resumes: boolean; readonly stops: boolean },
): { readonly data: readonly object[]; readonly ending: Ending } {
  if (scenario.isCut && !client.resumes) return { data: chunks.slice(0, firstPart), ending: 'cut' };
  return { data: chunks, ending: scenario.isStopped && client.stops ? 'stopped' : 'end' };
}
