import { createHash } from 'node:crypto';
import compression from 'compression';
import cookieParser from 'cookie-parser';
import session, { MemoryStore } from 'express-session';
import helmet from 'helmet';
import morgan from 'morgan';
import { describe, expect, it } from 'vitest';
import { ndjson, pipeBody, sse } from '../../src/index.ts';
import { type Carrier, carriers, http1Carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { parseEvents } from '../support/event-parser.ts';
import { parseNdjson } from '../support/record-parser.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/** Other people's middlewares, as one would write them in an application, and what shows that they are alive. */
interface Neighbour {
  readonly name: string;
  /** Whether it knows HTTP/2. */
  readonly http2: boolean;
  make(): { readonly middleware: Middleware; check(headers: Record<string, unknown>): Promise<void> | void };
}

const asMiddleware = (middleware: unknown): Middleware => middleware as Middleware;

const neighbours: readonly Neighbour[] = [
  {
    name: 'express-session',
    http2: false,
    make() {
      const store = new MemoryStore();
      return {
        middleware: asMiddleware(
          session({ secret: 's', resave: false, saveUninitialized: true, rolling: true, store }),
        ),
        async check(headers) {
          expect(headers['set-cookie']).toEqual([expect.stringMatching(/^connect\.sid=s%3A/)]);
          const id = /^connect\.sid=s%3A([^.]+)\./.exec((headers['set-cookie'] as string[])[0]!)![1]!;
          const stored = await new Promise((resolve, reject) =>
            store.get(id, (error: unknown, found) => (error ? reject(error as Error) : resolve(found))),
          );
          expect(stored).toHaveProperty('cookie');
        },
      };
    },
  },
  {
    name: 'morgan',
    http2: true,
    make() {
      const lines: string[] = [];
      return {
        middleware: asMiddleware(
          morgan(':method :url :status', { stream: { write: (line) => void lines.push(line) } }),
        ),
        async check() {
          await until(() => lines.length === 1);
          expect(lines).toEqual([expect.stringMatching(/^GET \/\w* 200\n$/)]);
        },
      };
    },
  },
  {
    name: 'helmet',
    http2: true,
    make: () => ({
      middleware: asMiddleware(helmet()),
      check: (headers) =>
        expect(headers).toMatchObject({
          'x-content-type-options': 'nosniff',
          'content-security-policy': expect.any(String),
          'x-dns-prefetch-control': 'off',
        }),
    }),
  },
  {
    name: 'cookie-parser',
    http2: true,
    make() {
      const seen: unknown[] = [];
      return {
        middleware: (req, res, next) =>
          (cookieParser() as unknown as Middleware)(req, res, (error) => {
            seen.push((req as { cookies?: unknown }).cookies);
            next(error);
          }),
        check: () => expect(seen).toEqual([{ taste: 'good' }]),
      };
    },
  },
  {
    name: 'compression',
    http2: false,
    make: () => ({
      middleware: asMiddleware(compression()),
      check: (headers) => expect(headers['content-encoding']).toBeUndefined(),
    }),
  },
];

interface Answer {
  readonly path: string;
  readonly middleware: Middleware;
  check(text: string): void;
}

const body = Array.from({ length: 50 }, (_, index) =>
  createHash('sha256').update(String(index)).digest('hex').repeat(200),
);

/** The small suite that must pass whatever stands before. */
function answers(gate: Promise<void>): readonly Answer[] {
  return [
    {
      path: '/sse',
      middleware: sse(async function* () {
        yield { id: '1', data: { n: 1 } };
        await gate;
        yield { id: '2', data: 'two\nlines' };
      }),
      check: (text) =>
        expect(parseEvents(text)).toEqual([
          { type: 'message', data: '{"n":1}', lastEventId: '1' },
          { type: 'message', data: 'two\nlines', lastEventId: '2' },
        ]),
    },
    {
      path: '/ndjson',
      middleware: ndjson(async function* () {
        yield { n: 1 };
        await gate;
        yield [2];
      }),
      check: (text) => expect(parseNdjson(text)).toEqual([{ n: 1 }, [2]]),
    },
    {
      path: '/body',
      // Not for `compression`: its business with a body has a file of its own.
      middleware: (req, res) =>
        pipeBody(
          (async function* () {
            yield* body.slice(0, 1);
            await gate;
            yield* body.slice(1);
          })(),
          req,
          res,
          { headers: { 'Cache-Control': 'no-transform' } },
        ),
      check: (text) => expect(text === body.join('')).toBe(true),
    },
  ];
}

const stacks: [name: string, neighbours: readonly Neighbour[]][] = [
  ...neighbours.map((one): [string, Neighbour[]] => [one.name, [one]]),
  ['all of them', neighbours],
  ['all of them, the other way round', neighbours.toReversed()],
];

const matrix: [on: string, stack: string, path: string, carrier: Carrier, list: readonly Neighbour[]][] =
  carriers.flatMap((carrier) =>
    stacks.flatMap(([stack, all]) => {
      const list = all.filter((one) => one.http2 || http1Carriers.includes(carrier));
      return list.length === 0
        ? []
        : ['/sse', '/ndjson', '/body'].map((path): [string, string, string, Carrier, readonly Neighbour[]] => [
            carrier.name,
            stack,
            path,
            carrier,
            list,
          ]);
    }),
  );

describe('behind other middlewares', () => {
  it.each(matrix)('on %s, behind %s, %s arrives piece by piece and whole', async (_on, _stack, path, carrier, list) => {
    const gate = deferred();
    const answer = answers(gate.promise).find((each) => each.path === path)!;
    const made = list.map((one) => one.make());
    const running = await serve(carrier, ...made.map((one) => one.middleware), answer.middleware);
    const reading = await running.visit({ path, headers: { cookie: 'taste=good', 'accept-encoding': 'gzip' } });
    // The first piece is there before the second is made.
    await until(() => reading.text.length > ':ok\n'.length);
    expect(() => answer.check(reading.text)).toThrow();
    gate.resolve();
    expect(await settles(reading.over)).toBe('end');
    answer.check(reading.text);
    for (const one of made) await one.check(reading.headers);
    expect(running.errors).toEqual([]);
  });

  it.each(http1Carriers)('a client that leaves is noticed behind all of them on $name', async (carrier) => {
    const cleaned = deferred();
    const made = neighbours.map((one) => one.make());
    const running = await serve(
      carrier,
      ...made.map((one) => one.middleware),
      sse(async function* (stream) {
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
  });

  it.each(http1Carriers)(
    "an error before the head is the application's to answer behind all of them on $name",
    async (carrier) => {
      const failure = Object.assign(new Error('early'), { status: 409 });
      const made = neighbours.map((one) => one.make());
      const running = await serve(
        carrier,
        ...made.map((one) => one.middleware),
        sse(async () => {
          throw failure;
        }),
      );
      const reading = await running.visit();
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.text, running.errors]).toEqual([409, 'error: early', [failure]]);
      expect(reading.headers['x-content-type-options']).toBe('nosniff');
    },
  );

  it.each(http1Carriers)('an error after the head cuts the body behind all of them on $name', async (carrier) => {
    const made = neighbours.map((one) => one.make());
    const running = await serve(
      carrier,
      ...made.map((one) => one.middleware),
      sse(async function* () {
        yield 'first';
        await turns();
        throw new Error('late');
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('aborted');
    expect(parseEvents(reading.text)).toHaveLength(1);
  });
});
