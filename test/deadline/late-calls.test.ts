import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type http from 'node:http';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import express from 'express';
import express4 from 'express4';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  compress,
  contextOf,
  type Deadline,
  deadline,
  DeadlineExceededError,
  type DeadlineLateMessage,
  type HttpResponse,
} from '../../src/index.ts';
import { bare, type Carrier, carriers, h2c, listen, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { attend, type Served, serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

let late: string[];
const onLate = (message: unknown): void => void late.push((message as DeadlineLateMessage).method);
const crashes: unknown[] = [];
const onCrash = (error: unknown): void => void crashes.push(error);

beforeEach(() => {
  late = [];
  crashes.length = 0;
  subscribe('sluice:deadline:late', onLate);
  process.on('uncaughtException', onCrash);
  process.on('unhandledRejection', onCrash);
});

afterEach(() => {
  unsubscribe('sluice:deadline:late', onLate);
  process.off('uncaughtException', onCrash);
  process.off('unhandledRejection', onCrash);
  expect(crashes).toEqual([]);
});

type Use = (res: http.ServerResponse) => unknown;

interface Played {
  readonly limit: Deadline;
  readonly given: unknown[];
  readonly thrown: unknown[];
  readonly text: string;
  readonly status: number;
}

/** Uses a response right after it was answered, and again when it is closed. */
async function play(carrier: Carrier, uses: readonly Use[], begin?: (res: HttpResponse) => void): Promise<Played> {
  // What was begun has to be at the client when it is cut.
  const limit = deadline({ default: begin ? 600 : 30 });
  const given: unknown[] = [];
  const thrown: unknown[] = [];
  const over = deferred();
  const running = await serve(carrier, limit, (req, response) => {
    const res = response as http.ServerResponse;
    begin?.(res);
    const attempt = (): void => {
      for (const use of uses) {
        try {
          const result = use(res);
          given.push(result === res ? 'res' : result);
        } catch (error) {
          thrown.push(error);
        }
      }
    };
    contextOf(req).signal.addEventListener('abort', () => {
      setImmediate(attempt);
      (res as EventEmitter).once('close', () =>
        setImmediate(() => {
          attempt();
          over.resolve();
        }),
      );
    });
  });
  const reading = await settles(running.visit());
  await settles(reading.over);
  await settles(over.promise);
  await turns();
  return { limit, given, thrown, text: reading.text, status: reading.status };
}

const uses: [name: string, use: Use, answer: unknown][] = [
  ['write', (res) => res.write('late'), false],
  ['write', (res) => res.write(Buffer.from('late'), () => undefined), false],
  ['end', (res) => res.end(), 'res'],
  ['end', (res) => res.end('late', 'utf8'), 'res'],
  ['writeHead', (res) => res.writeHead(200), 'res'],
  ['writeHead', (res) => res.writeHead(200, { 'X-Late': 'yes' }), 'res'],
  ['setHeader', (res) => res.setHeader('X-Late', 'yes'), 'res'],
  ['appendHeader', (res) => res.appendHeader('X-Late', 'yes'), 'res'],
  ['removeHeader', (res) => res.removeHeader('Content-Type'), undefined],
  ['addTrailers', (res) => res.addTrailers({ 'X-Late': 'yes' }), undefined],
  ['flushHeaders', (res) => res.flushHeaders(), undefined],
  ['writeContinue', (res) => res.writeContinue(), undefined],
  ['destroy', (res) => res.destroy(new Error('late')), 'res'],
  ['writeEarlyHints', (res) => res.writeEarlyHints({ link: '</a.css>; rel=preload' }), undefined],
];

describe.each(carriers)('on $name', (carrier) => {
  it.each<[string, [number, string], ((res: HttpResponse) => void)?]>([
    ['answered', [504, 'Gateway Timeout\n']],
    ['cut', [200, 'a part'], (res) => void (res as http.ServerResponse).write('a part')],
  ])(
    'every call on a response that was %s does nothing, gives back what Node does, and is counted',
    async (_how, sent, begin) => {
      const { limit, given, thrown, text, status } = await play(
        carrier,
        uses.map(([, use]) => use),
        begin,
      );
      expect(thrown).toEqual([]);
      expect([status, text]).toEqual(sent);
      // Once while it is on its way, once when it is closed.
      const [names, answers] = [uses.map(([name]) => name), uses.map(([, , answer]) => answer)];
      expect(given).toEqual([...answers, ...answers]);
      expect(late).toEqual([...names, ...names]);
      expect(limit.lateCalls).toBe(2 * uses.length);
    },
  );

  it('calls back with the reason, once, and not at once', async () => {
    const calls: unknown[] = [];
    const order: string[] = [];
    const { limit } = await play(carrier, [
      (res) => {
        res.write('a', (error) => calls.push(error));
        res.write('a', 'utf8', (error) => calls.push(error));
        res.end((error?: Error) => calls.push(error));
        res.end('a', (error?: Error) => {
          order.push('called back');
          calls.push(error);
        });
        order.push('returned');
      },
    ]);
    expect(calls).toHaveLength(8);
    expect(calls.every((each) => each instanceof DeadlineExceededError)).toBe(true);
    expect(order).toEqual(['returned', 'called back', 'returned', 'called back']);
    expect(limit.lateCalls).toBe(8);
  });

  it('reads stay what they are', async () => {
    const { given, thrown, limit } = await play(carrier, [
      (res) => [res.statusCode, res.headersSent, res.writableEnded, res.getHeader('content-type')].join(),
    ]);
    expect(thrown).toEqual([]);
    expect(given[0]).toBe('504,true,true,text/plain; charset=utf-8');
    expect(limit.lateCalls).toBe(0);
  });

  it('source.pipe(res) does not crash, and holds nobody up', async () => {
    const { thrown, text } = await play(carrier, [(res) => Readable.from(['late', 'later']).pipe(res)]);
    expect(thrown).toEqual([]);
    expect(text).toBe('Gateway Timeout\n');
    expect(late.length).toBeGreaterThan(0);
  });

  it.each(['before', 'after'])(
    'pipeline(source, res) that began %s the deadline calls back, and leaves the answer whole',
    async (when) => {
      const outcome = deferred<unknown>();
      const limit = deadline({ default: 30 });
      const source = new PassThrough();
      const running = await serve(carrier, limit, (req, res) => {
        const start = (): void => {
          try {
            pipeline(source, res as http.ServerResponse, (error) => outcome.resolve(error));
          } catch (error) {
            outcome.resolve(error);
          }
          if (when === 'after') source.end('late');
        };
        const { signal } = contextOf(req);
        if (when === 'before') start();
        signal.addEventListener('abort', () => {
          if (when === 'before') source.destroy(signal.reason as Error);
          else setImmediate(start);
        });
      });
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.text]).toEqual([504, 'Gateway Timeout\n']);
      const error = await settles(outcome.promise);
      // To `pipeline` a response that is over has finished; newer Nodes refuse one that is closed, by themselves.
      if (when === 'before') expect(error).toBeInstanceOf(DeadlineExceededError);
      else if (error !== undefined) expect(error).toHaveProperty('code', 'ERR_STREAM_UNABLE_TO_PIPE');
    },
  );

  it('res.destroy() leaves the answer whole', async () => {
    const limit = deadline({ default: 30 });
    const running = await serve(carrier, limit, (req, res) => {
      contextOf(req).signal.addEventListener('abort', () => queueMicrotask(() => void res.destroy(new Error('mine'))));
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([504, 'Gateway Timeout\n']);
  });

  it('next(error) reaches the last handler, which changes nothing', async () => {
    const limit = deadline({ default: 30 });
    const running = await serve(carrier, limit, (req, _res, next) => {
      contextOf(req).signal.addEventListener('abort', () => queueMicrotask(() => next(new RangeError('mine'))));
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([504, 'Gateway Timeout\n']);
    await until(() => running.errors.length === 1);
  });
});

const frameworks: [string, typeof express][] = [
  ['Express 5', express],
  ['Express 4', express4],
];

describe.each(frameworks)('the methods of %s', (_name, framework) => {
  const file = fileURLToPath(import.meta.url);

  async function start(
    use: (req: express.Request, res: express.Response, next: express.NextFunction) => unknown,
  ): Promise<{ running: Served; limit: Deadline; errors: unknown[]; outcomes: unknown[] }> {
    const errors: unknown[] = [];
    const outcomes: unknown[] = [];
    const limit = deadline({ default: 30 });
    const app = framework();
    app.use(limit as unknown as express.RequestHandler);
    app.use((req, res, next) => {
      contextOf(req).signal.addEventListener('abort', () =>
        setImmediate(() => {
          try {
            outcomes.push(use(req, res, next) === res ? 'res' : 'other');
          } catch (error) {
            outcomes.push(error);
          }
        }),
      );
    });
    app.use(((error, _req, res, next) => {
      errors.push(error);
      // As most are written: without a look at `headersSent`.
      res.status(500).json({ error: 'mine' });
      next(error);
    }) satisfies express.ErrorRequestHandler);
    app.set('env', 'test');
    const { createServer } = await import('node:http');
    const running = attend(await listen(createServer(app)));
    return { running, limit, errors, outcomes };
  }

  it.each<[string, (req: express.Request, res: express.Response, next: express.NextFunction) => unknown]>([
    ['json', (_req, res) => res.json({ late: true })],
    ['send', (_req, res) => res.send('late')],
    ['send of a buffer', (_req, res) => res.send(Buffer.from('late'))],
    [
      'status, type, set and send',
      (_req, res) =>
        res
          .status(200)
          .type('html')
          .set('X-Late', 'yes')
          .append('X-Late', 'too')
          .vary('X')
          .cookie('a', 'b')
          .clearCookie('c')
          .links({ next: '/x' })
          .send('late'),
    ],
    ['sendStatus', (_req, res) => res.sendStatus(200)],
    ['redirect', (_req, res) => res.redirect('/elsewhere')],
    ['jsonp', (_req, res) => res.jsonp({ late: true })],
    ['attachment and end', (_req, res) => res.attachment('a.txt').end('late')],
    ['format', (_req, res) => res.format({ text: () => res.send('late'), json: () => res.json({}) })],
    ['sendFile', (_req, res) => res.sendFile(file)],
    ['sendFile with a callback', (_req, res) => res.sendFile(file, () => undefined)],
    ['download', (_req, res) => res.download(file)],
    ['next with an error', (_req, _res, next) => next(new RangeError('mine'))],
    ['next', (_req, _res, next) => next()],
  ])('%s after a 504', async (_what, use) => {
    const { running, limit, outcomes } = await start(use);
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text]).toEqual([504, 'Gateway Timeout\n']);
    expect(reading.headers['x-late']).toBeUndefined();
    await until(() => outcomes.length === 1);
    await turns(10);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(outcomes.filter((each) => each instanceof Error)).toEqual([]);
    expect(limit.lateCalls).toBe(late.length);
  });

  it('leave the next request of the connection alone', async () => {
    const { running, outcomes } = await start((_req, res) => res.json({ late: true }));
    for (let n = 0; n < 3; n++) expect((await settles(running.visit())).status).toBe(504);
    await until(() => outcomes.length === 3);
  });
});

describe.each([bare, h2c])('a call in the turn of the abort over $name', (carrier) => {
  it('comes before the answer, and is the answer', async () => {
    const limit = deadline({ default: 30 });
    const running = await serve(carrier, limit, (req, res) => {
      contextOf(req).signal.addEventListener('abort', () => {
        res.statusCode = 202;
        res.end('later');
      });
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect([reading.status, reading.text, limit.lateCalls]).toEqual([202, 'later', 0]);
  });
});

it('patches that others made before the deadline do not see late calls, and those made after it do', async () => {
  const seen: string[] = [];
  const patch =
    (name: string): Middleware =>
    (_req, res, next) => {
      const target = res as unknown as { write: (...args: unknown[]) => unknown };
      const { write } = target;
      target.write = function (...args: unknown[]) {
        seen.push(name);
        return write.apply(this, args);
      };
      next();
    };
  const limit = deadline({ default: 30 });
  const running = await serve(bare, patch('outside'), limit, patch('inside'), compress(), (req, res) => {
    contextOf(req).signal.addEventListener('abort', () =>
      setImmediate(() => void (res as http.ServerResponse).write('late')),
    );
  });
  await settles((await settles(running.visit())).over);
  await until(() => limit.lateCalls === 1);
  expect(seen).toEqual([]);
});
