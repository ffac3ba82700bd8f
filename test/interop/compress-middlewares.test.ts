import type { ServerResponse } from 'node:http';
import compression from 'compression';
import cookieParser from 'cookie-parser';
import session, { MemoryStore } from 'express-session';
import helmet from 'helmet';
import morgan from 'morgan';
import { describe, expect, it } from 'vitest';
import { compress, type Compression } from '../../src/compress/index.ts';
import { sse } from '../../src/index.ts';
import { bare, http1Carriers, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded } from '../support/coded-clients.ts';
import { type Coding, codings } from '../support/decoders.ts';
import { serve, type Served } from '../support/serve.ts';
import { prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';

const asMiddleware = (middleware: unknown): Middleware => middleware as Middleware;

/** Other people's middleware, and what shows that it is alive. */
interface Neighbour {
  readonly name: string;
  make(): { readonly middleware: Middleware; check(reading: CodedReading): Promise<void> | void };
}

const neighbours: readonly Neighbour[] = [
  {
    // It holds the end back until the session is stored, and then writes the body but for its last byte first.
    name: 'express-session',
    make() {
      const store = new MemoryStore();
      return {
        middleware: asMiddleware(session({ secret: 's', resave: true, saveUninitialized: true, rolling: true, store })),
        async check({ headers }) {
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
    name: 'helmet',
    make: () => ({
      middleware: asMiddleware(helmet()),
      check: ({ headers }) =>
        expect(headers).toMatchObject({
          'x-content-type-options': 'nosniff',
          'content-security-policy': expect.any(String),
        }),
    }),
  },
  {
    name: 'morgan',
    make() {
      const lines: string[] = [];
      return {
        middleware: asMiddleware(
          morgan(':method :url :status :res[content-length] :res[content-encoding]', {
            stream: { write: (line) => void lines.push(line) },
          }),
        ),
        async check({ headers, coding }) {
          await until(() => lines.length === 1);
          // What it logs is what was sent.
          expect(lines).toEqual([
            expect.stringMatching(
              new RegExp(
                `^GET /[a-z-]+ 200 ${String(headers['content-length'] ?? '-')} ${coding === 'identity' ? '-' : coding}\n$`,
              ),
            ),
          ]);
        },
      };
    },
  },
  {
    name: 'cookie-parser',
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
];

const small = prose(4000);
const large = prose(150_000);
const text = { 'Content-Type': 'text/plain; charset=utf-8' };

function send(res: ServerResponse, act: () => void): void {
  for (const [name, value] of Object.entries(text)) res.setHeader(name, value);
  act();
}

const answers: readonly (readonly [path: string, text: string, middleware: Middleware])[] = [
  ['/small', small, (_req, res) => send(res as ServerResponse, () => res.end(small))],
  ['/large', large, (_req, res) => send(res as ServerResponse, () => res.end(large))],
  [
    '/long',
    `${small}the end`,
    (_req, response) => {
      const res = response as ServerResponse;
      send(res, () => {
        res.write(small);
        setTimeout(() => res.end('the end'), 5);
      });
    },
  ],
  [
    '/write-head',
    small,
    (_req, res) =>
      (res as ServerResponse).writeHead(200, { ...text, 'Content-Length': Buffer.byteLength(small) }).end(small),
  ],
  [
    '/sse',
    ':ok\ndata: one\n\ndata: two\n\n',
    sse(async function* () {
      yield 'one';
      await new Promise((resolve) => setTimeout(resolve, 5));
      yield 'two';
    }),
  ],
  // With its length, as Express sends it.
  [
    '/short',
    'short',
    (_req, res) => (res as ServerResponse).writeHead(200, { ...text, 'Content-Length': 5 }).end('short'),
  ],
];

const byPath: Middleware = (req, res, next) => answers.find(([path]) => path === req.url)![2](req, res, next);

async function visit(running: Served, path: string, accept: string): Promise<CodedReading> {
  const reading = await openCoded(running, 'HTTP/1.1', { path, accept, headers: { cookie: 'taste=good' } });
  expect(await settles(reading.over)).toBe('end');
  return reading;
}

const orders: readonly (readonly [
  string,
  (own: Compression, others: readonly Middleware[]) => readonly Middleware[],
])[] = [
  ['before', (own, others) => [own, ...others]],
  ['after', (own, others) => [...others, own]],
];

const stacks: readonly (readonly [string, readonly Neighbour[]])[] = [
  ...neighbours.map((one) => [one.name, [one]] as const),
  ['all of them', neighbours],
  ['all of them, the other way round', neighbours.toReversed()],
];

// Each by itself on one carrier, all of them on all.
const matrix = http1Carriers.flatMap((carrier) =>
  orders.flatMap(([order, stack]) =>
    stacks
      .filter(([, list]) => list.length > 1 || carrier === http1Carriers[0])
      .map(([name, list]) => [order, name, carrier.name, carrier, stack, list] as const),
  ),
);

it.each(matrix)(
  'compress %s %s, on %s, sends all kinds of bodies whole and coded once',
  async (_order, _name, _on, carrier, stack, list) => {
    for (const [path, expected] of answers) {
      for (const accept of list.length > 1 ? ['gzip', 'identity'] : ['gzip']) {
        const made = list.map((one) => one.make());
        const running = await serve(
          carrier,
          ...stack(
            compress(),
            made.map(({ middleware }) => middleware),
          ),
          byPath,
        );
        const reading = await visit(running, path, accept);
        expect([path, reading.status, reading.coding]).toEqual([path, 200, path === '/short' ? 'identity' : accept]);
        expect([path, reading.decode() === expected]).toEqual([path, true]);
        if (reading.headers['content-length'] !== undefined)
          expect(reading.headers['content-length']).toBe(String(reading.content.length));
        for (const { check } of made) await check(reading);
        expect(running.errors).toEqual([]);
        await running.close();
      }
    }
  },
);

describe('more than one that compresses', () => {
  const theirs = (): Middleware => asMiddleware(compression());
  const doubles: readonly (readonly [string, () => readonly Middleware[]])[] = [
    ['compress, then compression', () => [compress(), theirs()]],
    ['compression, then compress', () => [theirs(), compress()]],
    ['compress twice', () => [compress(), compress()]],
    [
      'compress three times, with compression between',
      () => [compress({ threshold: 0 }), theirs(), compress({ threshold: 0 }), compress({ etag: 'suffix' })],
    ],
    [
      'compress with zstd only, then with gzip only',
      () => [
        compress({ weigh: (coding) => (coding === 'gzip' ? 0 : undefined) }),
        compress({ weigh: (coding) => (coding === 'gzip' ? undefined : 0) }),
      ],
    ],
    [
      'one that is off, then one that is on',
      () => {
        const off = compress();
        off.switch.disable();
        return [off, compress()];
      },
    ],
  ];

  it.each(
    doubles.flatMap(([name, make]) =>
      [http1Carriers[0]!, bare].map((carrier) => [name, carrier.name, make, carrier] as const),
    ),
  )('%s, on %s, never code a body twice', async (_name, _on, make, carrier) => {
    const running = await serve(carrier, ...make(), byPath);
    for (const [path, expected] of answers) {
      for (const accept of [...codings, codings.join(', '), 'identity']) {
        const reading = await visit(running, path, accept);
        // `Content-Encoding: gzip, gzip` is no coding that a reader knows.
        expect([...codings, 'identity']).toContain(reading.coding as Coding);
        expect([path, accept, reading.decode() === expected]).toEqual([path, accept, true]);
        const vary = (reading.headers['vary'] as string | undefined)?.toLowerCase().split(/\s*,\s*/) ?? [];
        expect(vary.filter((name) => name === 'accept-encoding').length).toBe(1);
      }
    }
    expect(running.errors).toEqual([]);
  });

  it.each(http1Carriers)(
    'an event stream behind compress and compression arrives event by event, on $name',
    async (carrier) => {
      for (const stack of [
        [compress(), theirs()],
        [theirs(), compress()],
      ]) {
        for (const accept of codings) {
          let release!: () => void;
          const gate = new Promise<void>((resolve) => (release = resolve));
          const running = await serve(
            carrier,
            ...stack,
            sse(async function* () {
              yield 'one';
              await gate;
              yield 'two';
            }),
          );
          const reading = await openCoded(running, 'HTTP/1.1', { accept });
          await until(() => reading.text === ':ok\ndata: one\n\n');
          release();
          expect(await settles(reading.over)).toBe('end');
          expect([reading.coding, reading.decode()]).toEqual([accept, ':ok\ndata: one\n\ndata: two\n\n']);
          await running.close();
        }
      }
    },
  );
});
