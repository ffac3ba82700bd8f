import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import compression from 'compression';
import { describe, expect, it } from 'vitest';
import { tickFor, tokenFor } from '../../bench/support/tick.js';
import { words } from '../../bench/support/words.js';
import { compress } from '../../src/compress/index.ts';
import { type EventStream, sse } from '../../src/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { decodeStrictly } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { parseEvents } from '../support/event-parser.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const events = 200;
// Until then there is little to refer to.
const warmUp = 10;

interface Sizes {
  /** Bytes of content per event. */
  readonly content: number;
  /** With the chunk around it. */
  readonly framed: number;
  /** Bytes of text per event. */
  readonly text: number;
}

type EventFor = (number: number) => { readonly event: string; readonly id: string; readonly data: unknown };

/** As one writes it with this library: each event in a turn of its own. */
const bySse = (eventFor: EventFor): readonly Middleware[] => [
  compress(),
  sse(async (stream) => {
    for (let number = 1; number <= events; number++) {
      await stream.send(eventFor(number));
      await turns(1);
    }
  }),
];

/** As one writes it with `compression`. */
const byFlush = (eventFor: EventFor): readonly Middleware[] => [
  compression() as unknown as Middleware,
  async (_req, response) => {
    const res = response as ServerResponse & { flush(): void };
    res.setHeader('Content-Type', 'text/event-stream');
    for (let number = 1; number <= events; number++) {
      const { event, id, data } = eventFor(number);
      res.write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
      res.flush();
      // Encoded in another thread.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    res.end();
  },
];

/** Measures what comes after the first few events. */
async function measure(
  eventFor: EventFor,
  stack: (eventFor: EventFor) => readonly Middleware[] = bySse,
): Promise<Sizes> {
  const running = await serve(bare, ...stack(eventFor));
  const client = await running.dial();
  client.send(getRequest('/', { 'Accept-Encoding': 'gzip', Connection: 'close' }));
  await settles(client.closed);
  const { chunks, complete, rest, head } = parseChunked(client.received);
  expect([complete, rest]).toEqual([true, '']);
  expect(head).toMatch(/^Content-Encoding: gzip$/m);
  const text = decodeStrictly('gzip', Buffer.from(chunks.join(''), 'latin1')).toString();
  expect(parseEvents(text)).toHaveLength(events);
  // By `sse` an event each, the first with the comment before it, and what ends the member.
  if (stack === bySse) expect(chunks).toHaveLength(events + 1);
  const count = events - warmUp;
  const measured =
    stack === bySse ? chunks.slice(warmUp, events) : chunks.slice(Math.round((chunks.length * warmUp) / events));
  const sum = (size: (chunk: string) => number): number => measured.reduce((total, chunk) => total + size(chunk), 0);
  return {
    content: sum((chunk) => chunk.length) / count,
    framed: sum((chunk) => chunk.length + chunk.length.toString(16).length + 4) / count,
    text: Buffer.byteLength(text) / events,
  };
}

describe('an event stream by sse in gzip', () => {
  it.each([0, 7, 999])('takes at most 49.5 bytes for a tick of 228 (client %i)', async (client) => {
    const { content, framed, text } = await measure((number) => ({
      event: 'tick',
      id: String(number),
      data: tickFor(client, number),
    }));
    expect(text).toBeGreaterThan(210);
    expect(content).toBeLessThanOrEqual(49.5);
    expect(framed).toBeLessThanOrEqual(49.5 + 6);
  });

  it('takes at most 0.55 of what `compression` takes with a flush for each event, and 0.3 of the text', async () => {
    const tick: EventFor = (number) => ({ event: 'tick', id: String(number), data: tickFor(5, number) });
    const [own, theirs] = [await measure(tick), await measure(tick, byFlush)];
    expect(own.framed / theirs.framed).toBeLessThanOrEqual(0.55);
    expect(own.framed / own.text).toBeLessThanOrEqual(0.3);
  });

  it.each<[string, EventFor]>([
    [
      'a word',
      (number) => ({
        event: 'token',
        id: String(number),
        data: { text: ` ${words[(number * 104_729) % words.length]!}` },
      }),
    ],
    ['a delta', (number) => ({ event: 'tick', id: String(number), data: tokenFor(3, number) })],
  ])('takes at most 21 bytes for %s of a model', async (_name, eventFor) => {
    const { content, framed } = await measure(eventFor);
    expect(content).toBeLessThanOrEqual(21);
    expect(framed).toBeLessThanOrEqual(21 + 6);
  });
});

describe('the events of a tick', () => {
  it('leave in one piece as soon as the tick is over', async () => {
    const opened = deferred<{ stream: EventStream; socket: Socket }>();
    const running = await serve(
      bare,
      compress(),
      sse((stream, { socket }) => opened.resolve({ stream, socket })),
    );
    const client = await running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }));
    const { stream, socket } = await opened.promise;
    await until(() => client.received.includes('\r\n\r\n'));
    await turns(2);
    for (let number = 1; number <= 3; number++) {
      const before = socket.bytesWritten;
      void stream.send({ data: tickFor(1, number) });
      void stream.send({ data: tickFor(2, number) });
      expect(socket.bytesWritten).toBe(before);
      await new Promise(process.nextTick);
      const first = socket.bytesWritten;
      expect(first).toBeGreaterThan(before);
      await turns(2);
      expect(socket.bytesWritten).toBe(first);
    }
  });
});
