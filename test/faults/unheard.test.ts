import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import http from 'node:http';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  createMemoryBackplane,
  createSwitch,
  deadline,
  type EventStream,
  heartbeat,
  lifecycle,
  ndjson,
  pipeBody,
  ProducerFencedError,
  sse,
  type SseOptions,
} from '../../src/index.ts';
import {
  changed,
  ended,
  type Instance,
  type InstanceOptions,
  Script,
  serveAnswers,
} from '../channel/resumable/site.ts';
import { bare, carriers, listen, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { attend, serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

type Warning = Error & { code?: string; detail?: string };

const warnings: Warning[] = [];
const collect = (warning: Warning): void => void (warning.code === 'SLUICE_UNHANDLED' && warnings.push(warning));
const printers = process.listeners('warning');

beforeAll(() => {
  // What is expected here is not to be printed.
  process.removeAllListeners('warning').on('warning', collect);
});
afterAll(() => {
  process.off('warning', collect);
  for (const printer of printers) process.on('warning', printer);
});
beforeEach(() => void warnings.splice(0));

let made = 0;

/** An error of a kind of its own: what one test warned of, the next one could not. */
function makeError(): Error {
  return Object.assign(new Error('no listener'), { name: `Unheard${++made}` });
}

/** Everything that was to be warned of by now has been. */
async function given(): Promise<string[]> {
  await turns(5);
  return warnings.map(({ message }) => message);
}

function listenTo(channel: string): unknown[] {
  const messages: unknown[] = [];
  const listener = (message: unknown): void => void messages.push(message);
  subscribe(channel, listener);
  onTestFinished(() => void unsubscribe(channel, listener));
  return messages;
}

describe.each(carriers)('on $name, a handler that throws after its first event', (carrier) => {
  const failing = (error: Error, options?: SseOptions): Middleware =>
    sse(async function* () {
      yield 'first';
      throw error;
    }, options);

  async function visitTwice(middleware: Middleware): Promise<void> {
    const running = await serve(carrier, middleware);
    for (let visit = 0; visit < 2; visit++) {
      const reading = await running.visit({ path: '/events?token=secret' });
      expect(await settles(reading.over)).toBe('aborted');
    }
  }

  it('is warned of once, with its place, the request and the cure', async () => {
    const error = makeError();
    await visitTwice(failing(error));
    expect(await given()).toEqual([expect.stringMatching(/^Unhandled error of GET \/events: \w+: no listener$/)]);
    expect(warnings[0]).toMatchObject({
      name: 'SluiceWarning',
      detail: expect.stringMatching(/unheard\.test\.ts:\d+[^]*`onError`[^]*`sluice:stream:error`/) as string,
    });
    expect(warnings[0]!.detail).not.toContain('no listener');
  });

  it('is not warned of where there is an onError', async () => {
    const heard: unknown[] = [];
    const error = makeError();
    await visitTwice(failing(error, { onError: (each) => heard.push(each) }));
    expect([await given(), heard]).toEqual([[], [error, error]]);
  });

  it('is not warned of where the channel has a subscriber', async () => {
    const messages = listenTo('sluice:stream:error');
    const error = makeError();
    await visitTwice(failing(error));
    expect([await given(), messages]).toEqual([[], [expect.objectContaining({ error })]]);
  });
});

describe('a stream', () => {
  it('that fails before its head is not warned of: next has the error', async () => {
    const error = makeError();
    const running = await serve(
      bare,
      sse(() => Promise.reject(error)),
      ndjson(() => Promise.reject(error)),
    );
    const reading = await running.visit();
    await settles(reading.over);
    expect([await given(), running.errors]).toEqual([[], [error]]);
  });

  it('that fails before its head is warned of where there is no next', async () => {
    const error = makeError();
    const middleware = sse(() => Promise.reject(error));
    const running = attend(await listen(http.createServer((req, res) => middleware(req, res))));
    const reading = await running.visit();
    await settles(reading.over);
    expect(await given()).toHaveLength(1);
  });

  it('that was refused by a response that has begun is warned of where there is no next', async () => {
    const running = await serve(bare, (req, res) => {
      sse(() => undefined)(req, res);
      sse(() => undefined)(req, res);
    });
    await running.visit();
    expect(await given()).toEqual([expect.stringContaining('ResponseStartedError')]);
  });

  const endings: [name: string, fail: (stream: EventStream) => unknown, count: number][] = [
    ['by its signal', (stream) => stream.signal.throwIfAborted(), 0],
    ['by a send that comes too late', (stream) => stream.send('late'), 0],
    [
      'by an AbortError',
      () => {
        throw new DOMException('aborted', 'AbortError');
      },
      0,
    ],
    [
      'by the error of an SDK that was aborted',
      () => {
        throw new (class APIUserAbortError extends Error {})('Request was aborted.');
      },
      0,
    ],
    [
      'by an error that an abort has caused',
      () => {
        throw new Error('fetch failed', { cause: new DOMException('aborted', 'AbortError') });
      },
      0,
    ],
    [
      'by a source that was cut',
      () => {
        throw Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
      },
      0,
    ],
    [
      'by a fault of its own',
      () => {
        throw makeError();
      },
      1,
    ],
  ];
  it.each(endings)('whose client has left, and whose handler then ends %s', async (_name, fail, count) => {
    const failed = deferred();
    const running = await serve(
      bare,
      sse(async (stream) => {
        await new Promise((resolve) => stream.onClose(resolve));
        setImmediate(failed.resolve);
        await fail(stream);
      }),
    );
    (await running.visit()).destroy();
    await settles(failed.promise);
    expect(await given()).toHaveLength(count);
    expect(running.errors).toEqual([]);
  });

  it('whose handler aborts while its client is there is warned of: the client gets half a body', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        await stream.send('first');
        await turns();
        throw Object.assign(new DOMException('aborted', 'AbortError'), {});
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(await given()).toHaveLength(1);
  });

  it('is not warned of when it ends, stops, reconnects or is cut without an error', async () => {
    const running = await serve(
      bare,
      sse(async (stream, req) => {
        const way = (req.url ?? '').slice(1) as 'end' | 'stop' | 'reconnect' | 'destroy';
        void stream.send('x');
        void stream[way]();
        void stream.send('too late');
        void stream.pipe(['too late']);
        await stream.send('too late');
      }),
    );
    for (const path of ['/end', '/stop', '/reconnect', '/destroy']) {
      // A stream that is destroyed at once has no head.
      const reading = await running.visit({ path }).catch(() => undefined);
      if (reading) await settles(reading.over);
    }
    expect(await given()).toEqual([]);
  });

  it('whose close listener throws is warned of', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        stream.onClose(() => {
          throw makeError();
        });
        await stream.send('x');
      }),
    );
    await settles((await running.visit()).over);
    expect(await given()).toHaveLength(1);
  });
});

describe('an event that cannot be framed', () => {
  const bad = { id: 'a\nb', data: 1 };
  const looks: [name: string, look: (stream: EventStream) => unknown][] = [
    ['caught', (stream) => stream.send(bad).catch(() => undefined)],
    [
      'awaited',
      async (stream) => {
        try {
          await stream.send(bad);
        } catch {
          /* seen */
        }
      },
    ],
    ['handled by then', (stream) => stream.send(bad).then(undefined, () => undefined)],
    ['one of several that are awaited', (stream) => Promise.allSettled([stream.send('good'), stream.send(bad)])],
    [
      'returned by an async function that is awaited',
      async (stream) => {
        try {
          await (async () => stream.send(bad))();
        } catch {
          /* seen */
        }
      },
    ],
    [
      'a comment that is awaited',
      async (stream) => {
        try {
          await stream.comment(5 as unknown as string);
        } catch {
          /* seen */
        }
      },
    ],
    [
      'piped and awaited',
      async (stream) => {
        try {
          await stream.pipe([bad]);
        } catch {
          /* seen */
        }
      },
    ],
  ];
  it.each(looks)('is not warned of: %s', async (_name, look) => {
    const messages = [] as unknown[];
    const running = await serve(
      bare,
      sse(
        async (stream) => {
          await look(stream);
          await turns();
        },
        { onError: (error) => messages.push(error) },
      ),
      sse(() => undefined),
    );
    expect(await settles((await running.visit()).over)).toBe('end');
    expect([await given(), messages]).toEqual([[], []]);
  });

  it('is warned of where nothing waits for its send, once, and the stream goes on', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        void stream.send({ event: 'a\nb' });
        void stream.send({ event: 'a\nb' });
        await turns();
        await stream.send('good');
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(':ok\ndata: good\n\n');
    expect(await given()).toEqual([expect.stringContaining('InvalidEventError: Event field `event`')]);
  });

  it('goes to onError where nothing waits for its send', async () => {
    const heard: unknown[] = [];
    const running = await serve(
      bare,
      sse(
        async (stream) => {
          void stream.send(bad);
          void stream.pipe([bad]);
          await turns();
        },
        { onError: (error) => heard.push(error) },
      ),
    );
    expect(await settles((await running.visit()).over)).toBe('end');
    expect([await given(), heard]).toEqual([
      [],
      [expect.objectContaining({ field: 'id' }), expect.objectContaining({ field: 'id' })],
    ]);
  });

  it('is published once, also where it then ends the handler', async () => {
    const messages = listenTo('sluice:stream:error');
    const running = await serve(
      bare,
      sse(async (stream) => {
        await stream.send('first');
        await turns();
        await stream.send(bad);
      }),
    );
    expect(await settles((await running.visit()).over)).toBe('aborted');
    expect([await given(), messages]).toEqual([
      [],
      [expect.objectContaining({ error: expect.objectContaining({ field: 'id' }) as Error })],
    ]);
  });
});

describe('a pipe', () => {
  it('whose source fails is warned of where nothing waits for it', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        void stream.pipe(new ReadableStream({ start: (controller) => controller.error(makeError()) }));
        await turns();
      }),
    );
    expect(await settles((await running.visit()).over)).toBe('end');
    expect(await given()).toHaveLength(1);
  });

  it('that its own signal stops is not warned of', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        const controller = new AbortController();
        void stream.pipe(new ReadableStream(), { signal: controller.signal });
        controller.abort(makeError());
        await turns();
      }),
    );
    expect(await settles((await running.visit()).over)).toBe('end');
    expect(await given()).toEqual([]);
  });
});

describe('a body', () => {
  it('whose source fails because its client has left is not warned of', async () => {
    const gone = deferred();
    const source = new Readable({
      read() {},
      destroy: (_error, callback) => callback(Object.assign(new Error('aborted'), { code: 'ECONNRESET' })),
    });
    const running = await serve(bare, async (req, res) => {
      res.on('close', gone.resolve);
      source.push('some');
      await pipeBody(source, req, res);
    });
    (await running.visit()).destroy();
    await settles(gone.promise);
    expect(await given()).toEqual([]);
  });

  it('whose source fails while it is cancelled is warned of', async () => {
    const cancelled = deferred();
    const running = await serve(bare, async (req, res) => {
      await pipeBody(
        new ReadableStream({
          start: (controller) => controller.enqueue('some'),
          cancel: () => {
            cancelled.resolve();
            throw makeError();
          },
        }),
        req,
        res,
      );
    });
    (await running.visit()).destroy();
    await settles(cancelled.promise);
    expect(await given()).toHaveLength(1);
  });
});

describe('an answer', () => {
  async function fail(error: Error, options: InstanceOptions): Promise<Instance> {
    const script = new Script();
    script.yields('half');
    script.throws(error);
    const instance = await serveAnswers({ script, ...options });
    await settles((await instance.start()).over);
    return instance;
  }

  it('that fails is warned of where there is no onEnd, with the request and the cure', async () => {
    await fail(makeError(), { onEnd: undefined });
    expect(await given()).toEqual([expect.stringMatching(/^Unhandled error of POST \/chat: \w+: no listener$/)]);
    expect(warnings[0]!.detail).toMatch(/`onEnd`[^]*`sluice:channel:error`/);
  });

  it('that fails is published once, and not warned of, where there is an onEnd', async () => {
    const unheard = await fail(makeError(), {});
    await ended(unheard);
    expect(await given()).toEqual([]);
    const messages = listenTo('sluice:channel:error');
    const error = makeError();
    const [last] = await ended(await fail(error, {}));
    const req = expect.objectContaining({ method: 'POST' }) as http.IncomingMessage;
    expect([await given(), messages, last?.error]).toEqual([[], [{ error, req }], error]);
  });

  it('that fails and then is fenced is warned of: its onEnd is never called', async () => {
    const memory = createMemoryBackplane();
    const script = new Script();
    // Another process has the answer by the time that this one writes the end.
    const fenced = changed(memory, (log) => ({
      append: (entry, options) => {
        if (entry.isEnd === true) throw new ProducerFencedError('chat');
        return log.append(entry, options);
      },
    }));
    script.throws(makeError());
    const one = await serveAnswers({ script, backplane: fenced });
    await one.start();
    await until(() => warnings.length > 0);
    expect([await given(), one.ends]).toEqual([[expect.stringContaining('POST /chat')], []]);
  });

  it.each<[string, (signal: AbortSignal) => Error, number]>([
    ['by its reason', (signal) => signal.reason as Error, 0],
    ['by an AbortError', () => new DOMException('aborted', 'AbortError'), 0],
    ['by a fault of its own', makeError, 1],
  ])('that is cancelled, and whose generator then ends %s', async (_name, make, count) => {
    const one = await serveAnswers({
      async *run({ signal }) {
        yield 'half';
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw make(signal);
      },
    });
    await (await one.start()).count(1);
    expect(await one.cancel()).toBe(204);
    expect((await ended(one)).map(({ status }) => status)).toEqual(['cancelled']);
    expect(await given()).toHaveLength(count);
  });

  it.each<[string, (signal: AbortSignal) => Error, number]>([
    ['by its reason', (signal) => signal.reason as Error, 0],
    ['by a fault of its own', makeError, 1],
  ])('that is given up, and whose generator ends much later %s', async (_name, make, count) => {
    const late = deferred();
    const one = await serveAnswers({
      grace: 10,
      async *run({ signal }) {
        yield 'half';
        await late.promise;
        throw make(signal);
      },
    });
    await (await one.start()).count(1);
    expect(await one.cancel()).toBe(204);
    await ended(one);
    late.resolve();
    await until(() => warnings.length >= count);
    expect(await given()).toHaveLength(count);
  });
});

describe('other middlewares', () => {
  const throws = (): never => {
    throw makeError();
  };

  it('warn of a listener of a switch of compress that throws', async () => {
    const control = createSwitch();
    control.on('change', throws);
    control.disable();
    expect(await given()).toHaveLength(1);
    expect(warnings[0]!.detail).toContain('`sluice:compress:error`');
  });

  it('warn of a filter of heartbeat that throws, unless its channel has a subscriber', async () => {
    const running = await serve(bare, heartbeat({ filter: throws }) as Middleware, (_req, res) => {
      res.setHeader('Content-Type', 'text/event-stream');
      (res as http.ServerResponse).write('data: x\n\n');
      res.end();
    });
    await settles((await running.visit()).over);
    expect(await given()).toEqual([expect.stringMatching(/^Unhandled error: \w+: no listener$/)]);
    expect(warnings[0]!.detail).toContain('`sluice:heartbeat:error`');
    const messages = listenTo('sluice:heartbeat:error');
    await settles((await running.visit()).over);
    expect([(await given()).length, messages.length]).toEqual([1, 1]);
  });

  it('warn of a listener of lifecycle that throws', async () => {
    const life = lifecycle({ signals: [], preDrain: 0 });
    life.on('state', throws);
    await settles(life.drain());
    const all = await given();
    expect(all.length).toBeGreaterThanOrEqual(1);
    expect(warnings[0]!.detail).toContain('`sluice:lifecycle:error`');
  });

  it.each([
    ['throws', throws],
    ['rejects', () => Promise.reject(makeError())],
  ] as const)('warn of an onExpired that %s', async (_name, onExpired) => {
    const running = await serve(
      bare,
      deadline({ default: 10, onExpired: onExpired as () => void }) as Middleware,
      () => undefined,
    );
    const reading = await running.visit().catch(() => undefined);
    reading?.destroy();
    await until(() => warnings.length === 1);
    expect(await given()).toHaveLength(1);
  });
});
