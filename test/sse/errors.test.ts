import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type AnyEvents,
  type EventStream,
  type HttpRequest,
  type HttpResponse,
  ndjson,
  pipeBody,
  sse,
  type SseHandler,
  type SseOptions,
  StreamFailedError,
} from '../../src/index.ts';
import { bare, carriers, listen } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { attend, serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const teapot = Object.assign(new Error('no coffee'), { status: 418 });

const early: [string, SseHandler][] = [
  [
    'a function that throws',
    () => {
      throw teapot;
    },
  ],
  ['a promise that rejects', () => Promise.reject(teapot)],
  [
    'an async function that throws after a promise callback',
    async () => {
      await Promise.resolve();
      throw teapot;
    },
  ],
  [
    'an async generator that throws first',
    // eslint-disable-next-line require-yield
    async function* () {
      throw teapot;
    },
  ],
  [
    'a sync generator that throws first',
    // eslint-disable-next-line require-yield
    function* () {
      throw teapot;
    },
  ],
  ['a ReadableStream that errors first', () => new ReadableStream({ start: (controller) => controller.error(teapot) })],
  [
    'a source that is read already',
    () => {
      const taken = new ReadableStream<string>();
      taken.getReader();
      return taken;
    },
  ],
];

const late: [string, SseHandler<AnyEvents, HttpRequest>][] = [
  [
    'an async generator',
    async function* () {
      yield 'accepted';
      await turns();
      throw teapot;
    },
  ],
  [
    'a sync generator',
    function* () {
      yield 'accepted';
      throw teapot;
    },
  ],
  [
    'an async function',
    async (stream) => {
      void stream.send('accepted');
      throw teapot;
    },
  ],
  [
    'an async function that throws with the head sent',
    async (stream) => {
      await turns();
      void stream.send('accepted');
      throw teapot;
    },
  ],
];

describe.each(carriers)('an error on $name', (carrier) => {
  it.each(early)('goes to the error handler of the stack before the head: %s', async (name, handler) => {
    const onError = vi.fn();
    const running = await serve(carrier, sse(handler, { onError }));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    if (name.startsWith('a source that is read')) {
      expect(running.errors).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_SOURCE_INVALID' })]);
      expect(reading.status).toBe(500);
    } else {
      expect(running.errors).toHaveLength(1);
      expect(running.errors[0]).toBe(teapot);
      expect([reading.status, reading.text]).toEqual([418, 'error: no coffee']);
    }
    expect(reading.headers['content-type']).toMatch(/^text\/plain/);
    expect(Object.keys(reading.headers)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(cache-control|x-accel-buffering)$/)]),
    );
    expect(onError).not.toHaveBeenCalled();
  });

  it.each(late)('cuts the body after the head and is told to onError: %s', async (_name, handler) => {
    const onError = vi.fn();
    const closed = deferred<EventStream>();
    const running = await serve(
      carrier,
      sse(
        (stream, req) => {
          stream.onClose(() => closed.resolve(stream));
          return handler(stream, req);
        },
        { onError },
      ),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe(':ok\ndata: accepted\n\n');
    expect(onError).toHaveBeenCalledTimes(1);
    expect(onError.mock.calls[0]![0]).toBe(teapot);
    expect(onError.mock.calls[0]![1]).toHaveProperty('url', '/');
    expect(running.errors).toEqual([]);
    const stream = await settles(closed.promise);
    expect(stream.signal.reason).toBeInstanceOf(StreamFailedError);
    expect(stream.signal.reason).toMatchObject({ reason: 'error', cause: teapot });
  });
});

describe('an error', () => {
  it('sends no terminating chunk', async () => {
    const running = await serve(bare, sse(late[0]![1]));
    const client = await running.dial();
    client.send(getRequest());
    await settles(client.closed);
    const message = parseChunked(client.received);
    expect(message.chunks.join('')).toBe(':ok\ndata: accepted\n\n');
    expect(message.complete).toBe(false);
    expect(client.received).not.toContain('0\r\n\r\n');
  });

  it('is answered 500 on a plain server, which has no next', async () => {
    const onError = vi.fn();
    const middleware = sse(() => Promise.reject(teapot), { onError });
    const running = attend(await listen(http.createServer((req, res) => middleware(req, res))));
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, reading.headers['content-type']]).toEqual([500, '', undefined]);
    expect(onError).toHaveBeenCalledExactlyOnceWith(teapot, expect.anything());
  });

  const successors: [string, (req: HttpRequest, res: HttpResponse) => unknown][] = [
    ['a body', (req, res) => pipeBody(['another'], req, res)],
    [
      'records',
      ndjson(function* () {
        yield 'another';
      }),
    ],
    [
      'events',
      sse(function* () {
        yield 'another';
      }),
    ],
  ];
  it.each(successors)('before the head leaves the response to %s', async (_name, succeed) => {
    const running = await serve(bare, (req, res) =>
      sse(() => Promise.reject(teapot))(req, res, () => void succeed(req, res)),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([200, expect.stringContaining('another')]);
  });

  it('may be an answer that the handler gave itself', async () => {
    const running = await serve(bare, (req, res, next) =>
      sse(() => {
        res.statusCode = 403;
        res.end('no');
      })(req, res, next),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, reading.headers['content-type']]).toEqual([403, 'no', undefined]);
  });

  it('of an event that cannot be framed leaves the stream usable and writes nothing', async () => {
    const reported: unknown[] = [];
    const listener = (message: unknown): void => void reported.push((message as { error: unknown }).error);
    subscribe('sluice:stream:error', listener);
    onTestFinished(() => void unsubscribe('sluice:stream:error', listener));
    const rejections: unknown[] = [];
    const running = await serve(
      bare,
      sse(async (stream) => {
        const refused = [{ id: 'a\nb', data: 1 }, { event: 'a\rb' }, { data: undefined }, { retry: 1.5 }, {}, 5];
        for (const each of refused) await stream.send(each as object).catch((error: unknown) => rejections.push(error));
        await stream.comment(null as unknown as string).catch((error: unknown) => rejections.push(error));
        await stream.send('good');
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(':ok\ndata: good\n\n');
    expect(rejections.map((error) => (error as { code: string }).code)).toEqual(
      Array(7).fill('ERR_SLUICE_EVENT_INVALID'),
    );
    expect(reported).toEqual(rejections);
  });

  it('of an event that cannot be framed ends a handler that does not catch it', async () => {
    const running = await serve(
      bare,
      sse(async function* () {
        yield { id: 'a\nb' };
      }),
    );
    const reading = await running.visit();
    expect(reading.status).toBe(500);
    expect(running.errors).toEqual([expect.objectContaining({ code: 'ERR_SLUICE_EVENT_INVALID' })]);
  });

  it('in onError, or in a close listener, harms no other', async () => {
    const heard: unknown[] = [];
    const running = await serve(
      bare,
      sse(
        async (stream) => {
          stream.onClose(() => {
            throw new Error('in a listener');
          });
          stream.onClose(() => heard.push('second'));
          await stream.send('accepted');
          await turns();
          throw teapot;
        },
        {
          onError: (error) => {
            heard.push((error as Error).message);
            throw new Error('in onError');
          },
        },
      ),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('aborted');
    await until(() => heard.length === 3);
    expect(heard).toEqual(['no coffee', 'in a listener', 'second']);
  });

  it('after the client has left goes to onError, and being told to stop is no error', async () => {
    const onError = vi.fn();
    const options: SseOptions = { onError };
    const finished: string[] = [];
    const middlewares: Record<string, ReturnType<typeof sse>> = {
      '/throws': sse(async (stream) => {
        await new Promise((resolve) => stream.onClose(resolve));
        finished.push('/throws');
        throw teapot;
      }, options),
      '/sends': sse(async (stream) => {
        await new Promise((resolve) => stream.onClose(resolve));
        finished.push('/sends');
        await stream.send('late');
      }, options),
      '/aborts': sse(async (stream) => {
        await new Promise((resolve) => stream.onClose(resolve));
        finished.push('/aborts');
        stream.signal.throwIfAborted();
      }, options),
    };
    const running = await serve(bare, (req, res, next) => middlewares[req.url!]!(req, res, next));
    for (const path of Object.keys(middlewares)) {
      const reading = await running.visit({ path });
      reading.destroy();
    }
    await until(() => finished.length === 3);
    await turns();
    expect(onError).toHaveBeenCalledExactlyOnceWith(teapot, expect.objectContaining({ url: '/throws' }));
    expect(running.errors).toEqual([]);
  });
});
