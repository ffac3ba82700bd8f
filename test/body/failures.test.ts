import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type BodyOptions,
  type BodySource,
  contextOf,
  deadline,
  pipeBody,
  type RequestContext,
} from '../../src/index.ts';
import { Context } from '../../src/internal/context/context.ts';
import { bare, type Carrier, carriers } from '../support/carriers.ts';
import type { Reading } from '../support/clients.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const failure = Object.assign(new Error('source'), { status: 418 });

interface Outcome {
  readonly running: Served;
  readonly reading: Reading;
  /** What `pipeBody` rejected with; `undefined` when it resolved. */
  readonly error: unknown;
}

/** Pipes one source to one client. */
async function pipeOne(carrier: Carrier, source: BodySource, options?: BodyOptions): Promise<Outcome> {
  const outcome = deferred<unknown>();
  const running = await serve(carrier, (req, res, next) =>
    pipeBody(source, req, res, options).then(
      () => outcome.resolve(undefined),
      (error: unknown) => {
        outcome.resolve(error);
        if (!res.headersSent) next(error);
      },
    ),
  );
  const reading = await running.visit();
  return { running, reading, error: await settles(outcome.promise) };
}

const early: [string, () => BodySource][] = [
  [
    'a Readable',
    () =>
      new Readable({
        read() {
          this.destroy(failure);
        },
      }),
  ],
  [
    'an async generator',
    () =>
      // eslint-disable-next-line require-yield
      (async function* () {
        await turns();
        throw failure;
      })(),
  ],
  [
    'a sync generator',
    () =>
      // eslint-disable-next-line require-yield
      (function* () {
        throw failure;
      })(),
  ],
  ['a ReadableStream', () => new ReadableStream({ pull: (controller) => controller.error(failure) })],
  [
    'an iterator whose next throws',
    () => ({
      [Symbol.asyncIterator]: () => ({
        next: () => {
          throw failure;
        },
      }),
    }),
  ],
  [
    'an iterable that cannot be opened',
    () => ({
      [Symbol.asyncIterator]: () => {
        throw failure;
      },
    }),
  ],
  [
    'chunks that are all empty',
    () =>
      (function* () {
        yield '';
        yield new Uint8Array(0);
        throw failure;
      })(),
  ],
];

const late: [string, () => BodySource][] = [
  [
    'a Readable',
    () => {
      let reads = 0;
      return new Readable({
        highWaterMark: 1,
        read() {
          if (reads++ === 0) this.push('begun');
          else void turns().then(() => this.destroy(failure));
        },
      });
    },
  ],
  [
    'an async generator',
    () =>
      (async function* () {
        yield 'begun';
        await turns();
        throw failure;
      })(),
  ],
  [
    'a ReadableStream',
    () => {
      let pulls = 0;
      return new ReadableStream<string>({
        async pull(controller) {
          await turns(1);
          if (pulls++ === 0) controller.enqueue('begun');
          else controller.error(failure);
        },
      });
    },
  ],
];

describe.each(carriers)('a source that fails on $name', (carrier) => {
  it.each(early)('before its first chunk leaves the response to the error handler: %s', async (_name, make) => {
    const { running, reading, error } = await pipeOne(carrier, make(), { status: 201, headers: { 'X-Mine': 'y' } });
    expect(error).toBe(failure);
    expect(running.errors).toEqual([failure]);
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, reading.headers['x-mine']]).toEqual([418, 'error: source', undefined]);
  });

  it.each(late)('after its first chunk cuts the connection: %s', async (_name, make) => {
    const { running, reading, error } = await pipeOne(carrier, make());
    expect(error).toBe(failure);
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe('begun');
    expect(running.errors).toEqual([]);
  });

  it('in the tick of its first chunk shows as a cut connection too', async () => {
    const outcome = deferred<unknown>();
    const running = await serve(carrier, (req, res) =>
      pipeBody(
        (function* () {
          yield 'begun';
          throw failure;
        })(),
        req,
        res,
      ).then(outcome.resolve, outcome.resolve),
    );
    // The head may not have left.
    const over = await running.visit().then(
      (reading) => reading.over,
      () => 'aborted',
    );
    expect(await settles(outcome.promise)).toBe(failure);
    expect(over).toBe('aborted');
  });

  it('cuts the connection before the first chunk of a Response, whose head is sent', async () => {
    const source = new Response(
      new ReadableStream({
        async pull(controller) {
          await turns();
          controller.error(failure);
        },
      }),
    );
    const { reading, error } = await pipeOne(carrier, source);
    expect(error).toBe(failure);
    expect(await settles(reading.over)).toBe('aborted');
  });

  const wrong: [string, unknown][] = [
    ['a number', 7],
    ['null', null],
    ['an object', {}],
    ['a boolean', true],
    ['an array', ['x']],
  ];
  it.each(wrong)('with a chunk that is %s rejects and cancels it', async (_name, chunk) => {
    const source = Readable.from([chunk === null ? Symbol('s') : chunk, 'never']);
    const { running, reading, error } = await pipeOne(carrier, source as BodySource);
    expect(error).toMatchObject({ code: 'ERR_SLUICE_BODY_CHUNK_INVALID' });
    expect(running.errors).toEqual([error]);
    expect(reading.status).toBe(500);
    await until(() => source.destroyed);
  });

  it('with a wrong chunk after a good one cuts the connection', async () => {
    const { reading, error } = await pipeOne(
      carrier,
      (async function* () {
        yield 'good';
        await turns();
        yield 7 as unknown as string;
      })(),
    );
    expect(error).toMatchObject({ code: 'ERR_SLUICE_BODY_CHUNK_INVALID' });
    expect(await settles(reading.over)).toBe('aborted');
  });

  const lengths: [string, announced: number, chunks: string[], received: number, sent: boolean][] = [
    ['too short', 10, ['12345'], 5, true],
    ['too long', 4, ['123', '45', 'never'], 5, true],
    ['too long in its first chunk', 4, ['12345'], 5, false],
    ['empty', 4, [], 0, false],
  ];
  it.each(lengths)(
    'its Content-Length, being %s, is an error and no complete body',
    async (_name, announced, chunks, received, sent) => {
      const outcome = deferred<unknown>();
      const source = (async function* () {
        for (const chunk of chunks) {
          yield chunk;
          await turns();
        }
      })();
      const running = await serve(carrier, (req, res, next) =>
        pipeBody(source, req, res, { headers: { 'Content-Length': announced } }).catch((error: unknown) => {
          outcome.resolve(error);
          if (!res.headersSent) next(error);
        }),
      );
      const reading = await running.visit();
      const error = await settles(outcome.promise);
      expect(error).toMatchObject({ code: 'ERR_SLUICE_BODY_LENGTH_MISMATCH', expected: announced, received });
      expect(await settles(reading.over)).toBe(sent ? 'aborted' : 'end');
      if (!sent) expect([reading.status, reading.text]).toEqual([500, `error: ${(error as Error).message}`]);
    },
  );
});

describe('a source that fails', () => {
  it('after its first chunk leaves no terminating chunk', async () => {
    const running = await serve(bare, (req, res) => pipeBody(late[1]![1](), req, res).catch(() => undefined));
    const client = await running.dial();
    client.send(getRequest());
    await settles(client.closed);
    expect(client.received).toContain('begun');
    expect(client.received).not.toContain('0\r\n\r\n');
  });

  it('while it is cancelled harms nobody', async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listener);
    process.on('uncaughtException', listener);
    const sources: [string, () => BodySource][] = [
      [
        'generator',
        () =>
          (async function* () {
            try {
              for (;;) yield 'x'.repeat(60_000);
            } finally {
              // eslint-disable-next-line no-unsafe-finally
              throw failure;
            }
          })(),
      ],
      [
        'Readable',
        () =>
          new Readable({
            read() {
              this.push('x'.repeat(60_000));
            },
            destroy: (_error, callback) => callback(failure),
          }),
      ],
      [
        'ReadableStream',
        () =>
          new ReadableStream({
            pull: (controller) => controller.enqueue('x'.repeat(60_000)),
            cancel: () => Promise.reject(failure),
          }),
      ],
      [
        'iterator',
        () => ({
          [Symbol.asyncIterator]: () => ({
            next: async () => ({ done: false, value: 'x'.repeat(60_000) }),
            return: () => Promise.reject(failure),
          }),
        }),
      ],
      [
        'iterator that throws',
        () => ({
          [Symbol.asyncIterator]: () => ({
            next: async () => ({ done: false, value: 'x'.repeat(60_000) }),
            return: () => {
              throw failure;
            },
          }),
        }),
      ],
    ];
    try {
      for (const [name, make] of sources) {
        const outcome = deferred<unknown>();
        const running = await serve(bare, (req, res) =>
          pipeBody(make(), req, res).then(() => outcome.resolve(name), outcome.resolve),
        );
        const reading = await running.visit();
        reading.destroy();
        expect(await settles(outcome.promise)).toBe(name);
      }
      await turns(5);
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listener);
      process.off('uncaughtException', listener);
    }
  });
});

describe.each(carriers)('the signal on $name', (carrier) => {
  const why = new Error('enough');

  it('that is aborted already rejects, cancels the source and leaves the response', async () => {
    const source = Readable.from(['never']);
    const { running, reading, error } = await pipeOne(carrier, source, { signal: AbortSignal.abort(why) });
    expect(error).toBe(why);
    expect(running.errors).toEqual([why]);
    expect(reading.status).toBe(500);
    await until(() => source.destroyed);
  });

  it('that aborts before the first chunk leaves the response to the error handler', async () => {
    const controller = new AbortController();
    const source = new Readable({ read: () => void setImmediate(() => controller.abort(why)) });
    const { reading, error } = await pipeOne(carrier, source, { signal: controller.signal });
    expect(error).toBe(why);
    expect([reading.status, source.destroyed]).toEqual([500, true]);
  });

  it('that aborts after the first chunk cuts the connection', async () => {
    const controller = new AbortController();
    const outcome = deferred<unknown>();
    const source = new Readable({ read: () => undefined });
    source.push('begun');
    const running = await serve(carrier, (req, res) =>
      pipeBody(source, req, res, { signal: controller.signal }).then(outcome.resolve, outcome.resolve),
    );
    const reading = await running.visit();
    await until(() => reading.text === 'begun');
    controller.abort(why);
    expect(await settles(outcome.promise)).toBe(why);
    expect(await settles(reading.over)).toBe('aborted');
    expect(source.destroyed).toBe(true);
  });

  it.each(['in the middle', 'when the source is at its end'])(
    'that aborts while the client does not read cuts the connection: %s',
    async (when) => {
      const controller = new AbortController();
      const outcome = deferred<unknown>();
      const cleaned = deferred();
      const chunk = Buffer.alloc(30_000_000);
      const running = await serve(carrier, (req, res) =>
        pipeBody(
          (async function* () {
            try {
              yield chunk;
              if (when === 'in the middle') yield chunk;
            } finally {
              cleaned.resolve();
            }
          })(),
          req,
          res,
          { signal: controller.signal },
        ).then(outcome.resolve, outcome.resolve),
      );
      const reading = await running.visit();
      reading.pause();
      await turns(20);
      controller.abort(why);
      expect(await settles(outcome.promise)).toBe(why);
      await settles(cleaned.promise);
      reading.resume();
      expect(await settles(reading.over)).toBe('aborted');
    },
  );

  it('that aborts after everything changes nothing', async () => {
    const controller = new AbortController();
    const { reading, error } = await pipeOne(carrier, ['whole'], { signal: controller.signal });
    controller.abort(why);
    expect(await settles(reading.over)).toBe('end');
    expect([error, reading.text]).toEqual([undefined, 'whole']);
  });
});

it('leaves no context behind in that of its request, whatever became of the body', async () => {
  const child = vi.spyOn(Context.prototype, 'child');
  onTestFinished(() => child.mockRestore());
  const done = deferred<RequestContext>();
  const running = await serve(
    bare,
    (req, res, next) => deadline({ default: '1m' })(req, res, next),
    async (req, res) => {
      for (const [, make] of early) await pipeBody(make(), req, res).catch(() => undefined);
      await pipeBody(['whole'], req, res, { signal: AbortSignal.abort(failure) }).catch(() => undefined);
      const piped = pipeBody(['whole'], req, res);
      expect(child.mock.results.some(({ value }) => (value as Context).isLive)).toBe(true);
      done.resolve(contextOf(req));
      await piped;
    },
  );
  const reading = await running.visit();
  expect(await settles(reading.over)).toBe('end');
  await settles(done.promise);
  await turns(5);
  expect(child.mock.results.length).toBeGreaterThan(early.length);
  expect(child.mock.results.filter(({ value }) => (value as Context).isLive)).toEqual([]);
});
