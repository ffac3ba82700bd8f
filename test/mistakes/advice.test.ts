import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { format } from 'node:util';
import debug from 'debug';
import express from 'express';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  compress,
  deadline,
  type EventStream,
  heartbeat,
  lifecycle,
  ndjson,
  sse,
  type SseHandler,
} from '../../src/index.ts';
import { until } from '../support/until.ts';

const lines: string[] = [];
const { log } = debug;

beforeEach(() => {
  lines.splice(0);
  debug.log = (...args: unknown[]) => void lines.push(format(...args));
  debug.enable('sluice:*');
});
afterEach(() => {
  debug.disable();
  debug.log = log;
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Waits for a line of the log that holds all pieces. */
const told = (...pieces: string[]): Promise<void> =>
  until(
    () => lines.some((line) => pieces.every((piece) => line.includes(piece))),
    () => `${pieces.join(' … ')} is not in:\n${lines.join('\n')}`,
  );

describe('the debug log tells of', () => {
  it.each([
    ['compress', () => compress()],
    ['heartbeat', () => heartbeat({ ackProbe: false })],
    ['deadline', () => deadline({ max: '1m' })],
    ['lifecycle', () => lifecycle({ signals: false })],
  ])('%s behind the route of a stream, and of any other', async (part, make) => {
    const app = express();
    app.get(
      `/stream-${part}`,
      sse((stream) => stream.end()),
    );
    app.get(`/page-${part}`, (_req, res) => void res.send('hello'));
    app.use(make());
    const url = await listen(app);
    await (await fetch(`${url}/stream-${part}?token=secret`)).text();
    await (await fetch(`${url}/page-${part}`)).text();
    await told(`GET /stream-${part}`, `did not pass \`${part}\``, 'before the route');
    await told(`GET /page-${part}`, `did not pass \`${part}\``);
    expect(lines.join('\n')).not.toContain('secret');
  });

  it('a middleware that comes when the headers are sent', async () => {
    const app = express();
    app.get('/early', (_req, res, next) => {
      res.write('a');
      next();
    });
    app.use(compress());
    app.use((_req, res) => void res.end());
    const url = await listen(app);
    await (await fetch(`${url}/early`)).text();
    await told('GET /early came to `compress` when its headers were sent');
  });

  it('a drain without a server', async () => {
    await lifecycle({ signals: false, preDrain: 0 }).drain();
    await told('no server is attached', 'life.attach(server)');
  });

  it('nothing of a middleware behind one that has answered', async () => {
    const app = express();
    const life = lifecycle({ signals: false, preDrain: 0 });
    app.use(life, compress());
    const url = await listen(app);
    await life.drain();
    lines.splice(0);
    expect((await fetch(`${url}/refused`)).status).toBe(503);
    expect(lines.filter((line) => line.includes('/refused'))).toEqual([]);
  });

  it('nothing where the order is right', async () => {
    const app = express();
    app.use(compress());
    app.get(
      '/right',
      sse(async (stream) => stream.send('hello')),
    );
    const url = await listen(app);
    await (await fetch(`${url}/right`)).text();
    await told('GET /right opened');
    expect(lines.filter((line) => line.includes('/right') && line.includes('`compress`'))).toEqual([]);
  });

  const empty = 'the async handler returned before it sent anything';
  it.each<[string, SseHandler, string]>([
    ['an async handler that subscribes and returns', async () => undefined, empty],
    ['a handler that returns a list', (() => ['a']) as never, 'returned a value, which is not sent'],
    ['a handler that returns an event', (() => ({ data: 'a' })) as never, 'returned a value, which is not sent'],
  ])('%s', async (name, handler, text) => {
    const path = `/${name.replaceAll(' ', '-')}`;
    const app = express();
    app.use('/api/v1', express.Router().get(path, sse(handler)));
    const url = await listen(app);
    const controller = new AbortController();
    const answer = await fetch(`${url}/api/v1${path}`, { signal: controller.signal });
    // With the mount path.
    await told(`GET /api/v1${path}`, text);
    controller.abort();
    await answer.text().catch(() => undefined);
  });

  it('nothing of an async handler that has sent something, and of a set that is returned', async () => {
    const clients = new Set<EventStream>();
    const app = express();
    app.get(
      '/sent',
      sse(async (stream) => stream.send('a')),
    );
    app.get(
      '/kept',
      sse((stream) => void clients.add(stream)),
    );
    const url = await listen(app);
    await (await fetch(`${url}/sent`)).text();
    const answer = await fetch(`${url}/kept`);
    await told('GET /kept opened');
    for (const client of clients) await client.end();
    await answer.text();
    expect(lines.filter((line) => line.includes('the handler') || line.includes('the async'))).toEqual([]);
  });

  it('durations that look like seconds', () => {
    heartbeat({ every: 30, ackProbe: false });
    expect(lines.join('\n')).toContain('`heartbeat.every` is 30 ms. Write "30s" for seconds.');
  });
});

describe('a stream tells of', () => {
  it.each<[string, (stream: EventStream) => unknown, string, string]>([
    ["send({ type: 'tick' })", (stream) => stream.send({ type: 'tick' } as never), 'EVENT', 'Did you mean `event`?'],
    ["send({ type: 'tick', data })", (stream) => stream.send({ type: 'tick', data: 1 } as never), 'EVENT', '`event`'],
    ['send({ payload })', (stream) => stream.send({ payload: 1 } as never), 'EVENT', 'Did you mean `data`?'],
    ['send({ Data })', (stream) => stream.send({ Data: 1 } as never), 'EVENT', 'Did you mean `data`?'],
    ["send('tick', {…})", (stream) => (stream.send as Loose)('tick', { a: 1 }), 'EVENT', 'send({ event: "tick", data'],
    ['send({…}, name), of better-sse', (stream) => (stream.send as Loose)({ a: 1 }, 'tick'), 'EVENT', 'send({ event'],
    ['send([1, 2])', (stream) => stream.send([1, 2] as never), 'EVENT', '{ data: value }'],
    ['send(undefined)', (stream) => stream.send(undefined as never), 'EVENT', 'an object with event fields'],
    ['send({ data: undefined })', (stream) => stream.send({ data: undefined }), 'EVENT', 'data'],
    ['send({ retry: "5s" })', (stream) => stream.send({ retry: '5s' } as never), 'EVENT', 'an integer of milliseconds'],
    ['send({ event: "a\\nb" })', (stream) => stream.send({ event: 'a\nb' }), 'EVENT', 'CR, LF or NUL'],
    ['end(data)', (stream) => (stream.end as Loose)('bye'), 'EVENT', 'Send it before'],
    ['comment({})', (stream) => stream.comment({} as never), 'EVENT', 'must be a string'],
    ['reconnect({ delay })', (stream) => stream.reconnect({ delay: 5 } as never), 'OPTION', 'Did you mean `retry`?'],
    ['reconnect(5000)', (stream) => stream.reconnect(5000 as never), 'OPTION', 'reconnect({ retry: … })'],
    ['reconnect({ retry: "5s" })', (stream) => stream.reconnect({ retry: '5s' } as never), 'OPTION', 'an integer'],
    ['pipe(source, { end })', (stream) => stream.pipe([], { end: false } as never), 'OPTION', 'The stream stays open'],
    ['pipe(source, { signal: {} })', (stream) => stream.pipe([], { signal: {} } as never), 'OPTION', 'AbortSignal'],
    ['pipe("text")', (stream) => stream.pipe('text' as never), 'SOURCE', 'an iterable'],
    [
      'onClose("close", listener)',
      (stream) => (stream.onClose as unknown as Loose)('close', () => undefined),
      'OPTION',
      'a function',
    ],
  ])('%s', async (_written, mistake, area, text) => {
    const errors: (Error & { code?: string })[] = [];
    const handler = async (stream: EventStream): Promise<void> => {
      try {
        await mistake(bound(stream));
      } catch (error) {
        errors.push(error as Error);
      }
    };
    const url = await listen(sse(handler));
    await (await fetch(url)).text();
    expect(errors.map(({ code }) => code)).toEqual([`ERR_SLUICE_${area}_INVALID`]);
    expect(errors[0]!.message).toContain(text);
  });

  it('a record with a second argument', async () => {
    const errors: unknown[] = [];
    const url = await listen(
      ndjson(async (stream) => {
        await (stream.send.bind(stream) as Loose)({ a: 1 }, () => undefined).catch((error: unknown) =>
          errors.push(error),
        );
      }),
    );
    await (await fetch(url)).text();
    expect(errors).toMatchObject([{ code: 'ERR_SLUICE_RECORD_INVALID' }]);
  });

  it('send after end, and a second stream on one response', async () => {
    const errors: unknown[] = [];
    const app = express();
    app.get('/', (req, res, next) => {
      sse(async (stream) => {
        await stream.end();
        await stream.send('late').catch((error: unknown) => errors.push(error));
      })(req, res);
      sse(() => undefined)(req, res, (error) => void errors.push(error));
      void next;
    });
    const url = await listen(app);
    await (await fetch(url)).text();
    await until(() => errors.length === 2);
    expect(errors).toMatchObject([{ code: 'ERR_SLUICE_RESPONSE_STARTED' }, { code: 'ERR_SLUICE_STREAM_CLOSED' }]);
  });

  it("fields beside its own, which are the application's, by nothing", async () => {
    const url = await listen(
      sse(async (stream) => stream.send({ event: 'a', data: 1, type: 'b', symbol: 'C' } as never)),
    );
    expect(await (await fetch(url)).text()).toContain('event: a\ndata: 1\n\n');
  });
});

type Loose = (...args: unknown[]) => Promise<unknown>;

/** Methods that can be called away from their object. */
function bound(stream: EventStream): EventStream {
  return new Proxy(stream, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('a process warning', () => {
  const warnings: (Error & { code?: string; detail?: string })[] = [];
  const collect = (warning: Error): void => void warnings.push(warning);
  beforeEach(() => {
    warnings.splice(0);
    process.on('warning', collect);
  });
  afterEach(() => void process.off('warning', collect));

  it.each<[string, SseHandler]>([
    [
      'a handler that throws after its first event',
      async (stream) => {
        await stream.send('first');
        throw new AsyncError('boom 1');
      },
    ],
    [
      'a generator that yields undefined',
      async function* () {
        yield 'first';
        await new AsyncLocalStorage().run(1, () => new Promise((resolve) => setImmediate(resolve)));
        yield undefined as never;
      },
    ],
  ])('says what the client sees of %s', async (_name, handler) => {
    const url = await listen(sse(handler));
    await fetch(url)
      .then((answer) => answer.text())
      .catch(() => undefined);
    await until(() => warnings.some(({ code }) => code === 'SLUICE_UNHANDLED'));
    const { detail } = warnings.find(({ code }) => code === 'SLUICE_UNHANDLED')!;
    expect(detail).toContain('an EventSource connects again');
    expect(detail).toContain('`onError`');
  });

  it('tells of options of a drain, which goes on', async () => {
    const life = lifecycle({ signals: false });
    const report = await (life.drain as (options: unknown) => Promise<{ reason: string }>)({ timeout: '5s' });
    expect(report.reason).toBe('complete');
    await until(() => warnings.some(({ message }) => message.includes('`drain.timeout` does not exist')));
  });
});

class AsyncError extends Error {}

it('a first request tells of a factory that was mounted without a call', async () => {
  for (const factory of [compress, deadline, heartbeat, lifecycle, sse]) {
    const app = express();
    app.use(factory as never);
    app.use(
      ((error: Error, _req, res, _next) => void res.status(500).send(error.message)) as express.ErrorRequestHandler,
    );
    const answer = await fetch(await listen(app));
    expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining('Call it: `app.')]);
  }
});

it('a range with a weak If-Range gets the whole body, which may be encoded', async () => {
  const app = express();
  app.use(compress());
  const [file] = [fileURLToPath(import.meta.url)];
  app.get('/', (_req, res) => res.sendFile(file));
  const url = await listen(app);
  const { headers } = await fetch(url, { method: 'HEAD' });
  const tag = headers.get('etag')!;
  expect(tag).toMatch(/^W\//);
  const ranged = (ifRange?: string): Promise<Response> =>
    fetch(url, { headers: { 'accept-encoding': 'gzip', range: 'bytes=5-9', ...(ifRange && { 'if-range': ifRange }) } });
  const [weak, plain] = [await ranged(tag), await ranged()];
  expect([weak.status, plain.status]).toEqual([200, 206]);
  await Promise.all([weak.text(), plain.text()]);
});

it('application/octet-stream is compressed, as by compression', async () => {
  const app = express();
  app.use(compress());
  app.get('/', (_req, res) => void res.type('application/octet-stream').send(Buffer.alloc(5000)));
  const answer = await fetch(await listen(app), { headers: { 'accept-encoding': 'gzip' } });
  expect(answer.headers.get('content-encoding')).toBe('gzip');
  await answer.arrayBuffer();
});
