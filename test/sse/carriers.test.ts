import { describe, expect, it, onTestFinished } from 'vitest';
import {
  ClientClosedError,
  type CloseReason,
  type EventStream,
  sse,
  type SseHandler,
  StreamClosedError,
} from '../../src/index.ts';
import { carriers } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const sent = ['a', { event: 'b', id: '7', data: { n: 1 } }] as const;
const bytes = ':ok\ndata: a\n\nevent: b\nid: 7\ndata: {"n":1}\n\n';

async function* waiting(): AsyncGenerator<string | { event: string; id: string; data: unknown }> {
  for (const each of sent) {
    await turns();
    yield each;
  }
}

const forms: [string, SseHandler][] = [
  [
    'an async generator',
    async function* () {
      yield* sent;
    },
  ],
  ['an async generator that awaits', waiting],
  [
    'a sync generator',
    function* () {
      yield* sent;
    },
  ],
  [
    'an async function',
    async (stream) => {
      for (const each of sent) {
        await stream.send(each);
        await turns();
      }
    },
  ],
  ['a function that returns an async iterable', () => ({ [Symbol.asyncIterator]: waiting })],
  [
    'a function that returns a ReadableStream',
    () =>
      new ReadableStream({
        async pull(controller) {
          await turns();
          controller.enqueue(sent[0]);
          controller.enqueue(sent[1]);
          controller.close();
        },
      }),
  ],
  ['an async function that returns a source', async () => waiting()],
];

describe.each(carriers)('sse on $name', (carrier) => {
  it.each(forms)('sends the events of %s and ends', async (_name, handler) => {
    const running = await serve(carrier, sse(handler));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(bytes);
    expect(running.errors).toEqual([]);
  });

  it('leaves the stream of a plain function open for whoever keeps it', async () => {
    const kept: EventStream[] = [];
    const running = await serve(
      carrier,
      sse((stream) => void kept.push(stream)),
    );
    const reading = await running.visit();
    await until(() => reading.text === ':ok\n');
    await turns();
    expect(kept[0]!.state).toBe('open');
    void kept[0]!.send('later');
    await until(() => reading.text.endsWith('data: later\n\n'));
    await kept[0]!.end();
    expect(await settles(reading.over)).toBe('end');
  });

  it('takes a returned Set for no source', async () => {
    const clients = new Set<EventStream>();
    const running = await serve(carrier, sse(((stream: EventStream) => clients.add(stream)) as unknown as SseHandler));
    const reading = await running.visit();
    await until(() => clients.size === 1 && reading.text !== '');
    for (const each of clients) await each.send('broadcast');
    await until(() => reading.text === ':ok\ndata: broadcast\n\n');
    expect([...clients][0]!.state).toBe('open');
  });

  it('answers with the fields of an event stream and no others', async () => {
    const running = await serve(
      carrier,
      sse(() => undefined),
    );
    const { status, headers } = await running.visit();
    const added = Object.fromEntries(
      Object.entries(headers).filter(
        ([name]) => !['date', 'connection', 'transfer-encoding', 'x-powered-by', ':status'].includes(name),
      ),
    );
    expect(status).toBe(200);
    expect(added).toEqual({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    if (carrier.protocol === 'http2')
      expect(Object.keys(headers)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(connection|keep-alive|transfer-encoding)$/)]),
      );
    else expect(headers['transfer-encoding']).toBe('chunked');
  });

  it('sends the head and a first comment before the handler produces anything', async () => {
    const running = await serve(
      carrier,
      sse(async (stream) => new Promise<void>((resolve) => stream.onClose(() => resolve()))),
    );
    const reading = await running.visit();
    await until(() => reading.text === ':ok\n');
  });

  it('delivers an event before the next one is produced', async () => {
    const acknowledged = [deferred(), deferred(), deferred()] as const;
    const running = await serve(
      carrier,
      sse(async function* () {
        for (const [index, each] of acknowledged.entries()) {
          yield `event ${index}`;
          await each.promise;
        }
      }),
    );
    const reading = await running.visit();
    for (const [index, each] of acknowledged.entries()) {
      await until(() => reading.text.endsWith(`data: event ${index}\n\n`));
      each.resolve();
    }
    expect(await settles(reading.over)).toBe('end');
  });

  it('answers HEAD with the fields alone and never starts the handler', async () => {
    let calls = 0;
    const running = await serve(
      carrier,
      sse(() => void calls++),
    );
    const reading = await running.visit({ method: 'HEAD' });
    expect(await settles(reading.over)).toBe('end');
    expect([
      reading.status,
      reading.headers['content-type'],
      reading.headers['cache-control'],
      reading.text,
      calls,
    ]).toEqual([200, 'text/event-stream; charset=utf-8', 'no-cache, no-transform', '', 0]);
  });

  it('answers 406 to a client that wants something else, where that is asked for', async () => {
    const running = await serve(
      carrier,
      sse(() => expect.unreachable(), { negotiate: 'strict' }),
    );
    const reading = await running.visit({ headers: { accept: 'text/html' } });
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.headers['vary'], reading.text]).toEqual([
      406,
      'Accept',
      'Available as text/event-stream\n',
    ]);
  });

  it('tells everybody that a client has left', async () => {
    const reasons: CloseReason[] = [];
    const streams: EventStream[] = [];
    const cleaned = deferred();
    const running = await serve(
      carrier,
      sse(async function* (stream) {
        streams.push(stream);
        stream.onClose((reason) => reasons.push(reason));
        try {
          yield 'first';
          await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
        } finally {
          cleaned.resolve();
        }
      }),
    );
    const reading = await running.visit();
    await until(() => reading.text.includes('first'));
    reading.destroy();
    await settles(cleaned.promise);
    const [stream] = streams as [EventStream];
    expect(reasons).toEqual(['client-closed']);
    expect(stream.state).toBe('closed');
    expect(stream.signal.aborted).toBe(true);
    expect(stream.signal.reason).toBeInstanceOf(ClientClosedError);
    const refusal: unknown = await stream.send('late').catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(StreamClosedError);
    expect(refusal).toMatchObject({
      code: 'ERR_SLUICE_STREAM_CLOSED',
      reason: 'client-closed',
      cause: stream.signal.reason,
    });
    expect(running.errors).toEqual([]);
  });

  it('runs the cleanup of a generator that is parked in its yield', async () => {
    const cleaned = deferred();
    const running = await serve(
      carrier,
      sse(function* () {
        try {
          for (;;) yield 'x'.repeat(10_000);
        } finally {
          cleaned.resolve();
        }
      }),
    );
    const reading = await running.visit();
    reading.pause();
    reading.destroy();
    await settles(cleaned.promise);
  });

  it('cancels a returned ReadableStream that is silent when the client leaves', async () => {
    const cancelled = deferred<unknown>();
    const running = await serve(
      carrier,
      sse(() => new ReadableStream<string>({ cancel: (reason) => cancelled.resolve(reason) })),
    );
    const reading = await running.visit();
    await until(() => reading.text === ':ok\n');
    reading.destroy();
    expect(await settles(cancelled.promise)).toBeInstanceOf(ClientClosedError);
  });

  it('never starts a handler whose client has left already', async () => {
    const left = deferred();
    const decided = deferred();
    let calls = 0;
    const nexts: unknown[] = [];
    const middleware = sse(() => void calls++);
    const running = await serve(carrier, (req, res) => {
      res.on('close', () => {
        setImmediate(() => {
          middleware(req, res, (error) => nexts.push(error));
          decided.resolve();
        });
      });
      left.resolve();
    });
    const client = running.visit();
    client.catch(() => undefined);
    await settles(left.promise);
    if (carrier.protocol === 'http1') (running.server as import('node:http').Server).closeAllConnections();
    else await running.close();
    await settles(decided.promise);
    await turns();
    expect([calls, nexts]).toEqual([0, []]);
  });

  it('leaves no rejection unhandled when nobody awaits', async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listener);
    onTestFinished(() => void process.off('unhandledRejection', listener));
    const streams: EventStream[] = [];
    const running = await serve(
      carrier,
      sse((stream) => void streams.push(stream)),
    );
    const reading = await running.visit();
    await until(() => reading.text !== '');
    const [stream] = streams as [EventStream];
    // Fills the outbox, so that a waiter is there to be rejected.
    void stream.send('x'.repeat(8_000_000));
    void stream.send({ id: 'a\nb' });
    void stream.comment(5 as unknown as string);
    reading.destroy();
    await until(() => stream.state === 'closed');
    void stream.send('late');
    void stream.comment('late');
    void stream.end();
    void stream.stop();
    void stream.reconnect();
    await turns(5);
    expect(unhandled).toEqual([]);
  });
});
