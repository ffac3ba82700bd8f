import type http from 'node:http';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import {
  ClientClosedError,
  compress,
  contextOf,
  currentContext,
  deadline,
  DeadlineExceededError,
  type HttpRequest,
  ndjson,
  openEventStream,
  openNdjson,
  pipeBody,
  type RequestContext,
  ResponseStartedError,
  sse,
  StreamClosedError,
  StreamEndedError,
} from '../../src/index.ts';
import { bare, carriers, h2c, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/** What streams of both kinds have in common. */
interface AnyStream {
  readonly signal: AbortSignal;
  readonly context: RequestContext;
  readonly state: string;
  send(item: string): Promise<void>;
  onClose(listener: (reason: string) => void): () => void;
}

type Handler = (stream: AnyStream, req: HttpRequest) => void | Promise<void>;

const kinds: [string, (handler: Handler) => Middleware, string][] = [
  ['sse', (handler) => sse((stream, req) => handler(stream, req)) as unknown as Middleware, 'data: one\n\n'],
  [
    'ndjson',
    (handler) => ndjson((stream, req) => handler(stream as AnyStream, req)) as unknown as Middleware,
    '"one"\n',
  ],
];

describe.each(carriers)('a stream on $name', (carrier) => {
  describe.each(kinds)('of %s', (_kind, make, first) => {
    it('closes with the reason deadline, unterminated, with all that was sent', async () => {
      const reasons: unknown[] = [];
      const closed = deferred();
      const running = await serve(
        carrier,
        deadline({ default: 700 }),
        make((stream, req) => {
          stream.onClose((reason) => {
            reasons.push(reason, stream.signal.reason, contextOf(req).signal.reason);
            closed.resolve();
          });
          // Before the deadline by more than a busy process stands still: were both due in one turn, the deadline might
          // come first.
          contextOf(req)
            .child({ timeout: 150 })
            .signal.addEventListener('abort', () => void stream.send('two'));
          void stream.send('one');
        }),
      );
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('aborted');
      expect(reading.status).toBe(200);
      expect(reading.text).toContain(first);
      expect(reading.text).toContain(first.replace('one', 'two'));
      await settles(closed.promise);
      expect(reasons).toEqual(['deadline', expect.any(DeadlineExceededError), expect.any(DeadlineExceededError)]);
      expect(reasons[1]).toBe(reasons[2]);
    });

    it('whose handler has sent nothing yet is answered 504 where the deadline passes before the head', async () => {
      const closed = deferred<unknown>();
      const late = deferred<unknown>();
      const running = await serve(
        carrier,
        deadline({ default: 20 }),
        make((stream, req) => {
          stream.onClose(closed.resolve);
          const context = contextOf(req);
          // The head of a stream goes out at the end of the turn: no timer comes before it.
          while (context.remaining() > 0);
          try {
            context.throwIfAborted();
          } catch {
            stream.send('late').catch(late.resolve);
          }
        }),
      );
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      expect([reading.status, reading.text]).toEqual([504, 'Gateway Timeout\n']);
      expect(await settles(closed.promise)).toBe('deadline');
      expect(await settles(late.promise)).toBeInstanceOf(StreamClosedError);
    });

    it('has a context that is a child of that of the request, and the current one in its handler', async () => {
      const facts: Record<string, unknown> = {};
      const running = await serve(
        carrier,
        deadline({ default: '1h' }),
        make(async (stream, req) => {
          const request = contextOf(req);
          facts['own'] = stream.context !== request;
          facts['signal'] = stream.signal === stream.context.signal;
          facts['deadline'] = Math.abs(stream.context.remaining() - request.remaining()) < 1000;
          facts['current'] = currentContext() === stream.context;
          await stream.send('one');
          facts['later'] = currentContext() === stream.context;
        }),
      );
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      expect(facts).toEqual({ own: true, signal: true, deadline: true, current: true, later: true });
    });

    it('that ends by itself does not abort the request', async () => {
      const reasons: unknown[] = [];
      const over = deferred();
      const running = await serve(
        carrier,
        deadline({ default: '1h' }),
        make(async (stream, req) => {
          (req as http.IncomingMessage).on('close', () => setImmediate(over.resolve));
          stream.signal.addEventListener('abort', () => reasons.push(stream.signal.reason));
          contextOf(req).signal.addEventListener('abort', () => reasons.push('request'));
          await stream.send('one');
        }),
      );
      const reading = await settles(running.visit());
      expect(await settles(reading.over)).toBe('end');
      await settles(over.promise);
      await until(() => reasons.length > 0);
      expect(reasons).toEqual([expect.any(StreamEndedError)]);
    });

    it('whose client leaves aborts both, with ClientClosedError', async () => {
      const reasons: unknown[] = [];
      const running = await serve(
        carrier,
        deadline({ default: '1h' }),
        make((stream, req) => {
          for (const signal of [stream.signal, contextOf(req).signal])
            signal.addEventListener('abort', () => reasons.push(signal.reason));
          void stream.send('one');
        }),
      );
      const reading = await settles(running.visit());
      await until(() => reading.text.includes(first));
      reading.destroy();
      await until(() => reasons.length === 2);
      expect(reasons).toEqual([expect.any(ClientClosedError), expect.any(ClientClosedError)]);
    });
  });

  it('sees its context in each step of a generator, which the deadline ends', async () => {
    const steps: boolean[] = [];
    const finished = deferred();
    const running = await serve(
      carrier,
      deadline({ default: 100 }),
      sse(async function* (stream) {
        try {
          for (;;) {
            steps.push(currentContext() === stream.context);
            yield { data: 'x' };
            // Some steps before any timer can be late.
            if (steps.length > 3) await new Promise((resolve) => setTimeout(resolve, 10));
          }
        } finally {
          finished.resolve();
        }
      }),
    );
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('aborted');
    await settles(finished.promise);
    expect(steps.length).toBeGreaterThan(1);
    expect(new Set(steps)).toEqual(new Set([true]));
    expect(running.errors).toEqual([]);
  });

  it('opened by hand closes too', async () => {
    const reasons: unknown[] = [];
    const running = await serve(carrier, deadline({ default: 80 }), (req, res) => {
      const stream = req.url === '/sse' ? openEventStream(req, res) : openNdjson(req, res);
      stream.onClose((reason) => reasons.push(reason));
    });
    for (const path of ['/sse', '/ndjson'])
      expect(await settles((await settles(running.visit({ path }))).over)).toBe('aborted');
    await until(() => reasons.length === 2);
    expect(reasons).toEqual(['deadline', 'deadline']);
  });

  it('on a response that was answered is refused', async () => {
    const outcomes: unknown[] = [];
    const running = await serve(carrier, deadline({ default: 40 }), (req, res) => {
      contextOf(req).signal.addEventListener('abort', () =>
        setImmediate(() => {
          try {
            openEventStream(req, res);
          } catch (error) {
            outcomes.push(error);
          }
          sse(() => void outcomes.push('started'))(req, res, (error) => outcomes.push(error));
          pipeBody(['x'], req, res).catch((error: unknown) => outcomes.push(error));
        }),
      );
    });
    const reading = await settles(running.visit());
    expect(await settles(reading.over)).toBe('end');
    expect(reading.status).toBe(504);
    // On one that was closed since there is nobody to refuse.
    await turns(10);
    expect(outcomes.filter((each) => !(each instanceof ResponseStartedError))).toEqual([]);
  });
});

it('the body of a stream is not terminated on the wire of HTTP/1.1', async () => {
  const running = await serve(
    bare,
    deadline({ default: 80 }),
    sse((stream) => void stream.send('one')),
  );
  const client = await connectRaw(running.port);
  client.send(getRequest());
  expect(await settles(client.closed)).toBe('end');
  const message = parseChunked(client.received);
  expect(message.complete).toBe(false);
  expect(message.chunks.join('')).toBe(':ok\ndata: one\n\n');
});

describe.each([bare, h2c])('over $name', (carrier) => {
  it('a stream that compress encodes is handed over in full before it closes', async () => {
    const running = await serve(
      carrier,
      compress(),
      deadline({ default: 100 }),
      sse(async (stream) => {
        for (let n = 0; n < 20; n++) await stream.send(`event ${n}`);
        await new Promise(() => undefined);
      }),
    );
    const reading = await settles(running.visit({ headers: { 'accept-encoding': 'gzip' } }));
    expect(reading.headers['content-encoding']).toBe('gzip');
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('a stream whose client does not read is cut after closeTimeout', async () => {
    const reasons: unknown[] = [];
    const running = await serve(
      carrier,
      deadline({ default: 100 }),
      sse(
        (stream) => {
          stream.onClose((reason) => reasons.push(reason));
          for (let n = 0; n < 20; n++) void stream.send('x'.repeat(1_000_000));
        },
        { closeTimeout: 150, maxBuffered: Infinity },
      ),
    );
    const reading = await settles(running.visit());
    reading.pause();
    await until(() => reasons.length > 0);
    expect(reasons).toEqual(['deadline']);
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('children of one request do not touch each other', async () => {
    const aborted: string[] = [];
    const result = deferred<unknown>();
    const running = await serve(
      carrier,
      deadline({ default: '1h' }),
      sse(async (stream, req) => {
        const request = contextOf(req);
        const [one, two] = [request.child(), request.child()];
        const below = one.child();
        const all = { stream: stream.context, request, one, two, below };
        for (const [name, { signal }] of Object.entries(all))
          signal.addEventListener('abort', () => aborted.push(name));
        one.abort(new Error('enough'));
        result.resolve([one.signal.reason, below.signal.reason]);
        await stream.send('goes on');
        await new Promise((resolve) => stream.signal.addEventListener('abort', resolve));
      }),
    );
    const reading = await settles(running.visit());
    await until(() => reading.text.includes('goes on'));
    const [own, inherited] = (await settles(result.promise)) as [Error, Error];
    expect(own.message).toBe('enough');
    expect(inherited).toBe(own);
    expect(aborted).toEqual(['below', 'one']);
    reading.destroy();
    await until(() => aborted.length === 5);
  });

  it('a source that pipeBody reads in the middle of a wait for the client is cancelled at the deadline', async () => {
    const outcome = deferred<unknown>();
    const source = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(100_000);
      })(),
    );
    const running = await serve(carrier, deadline({ default: 120 }), (req, res) => {
      pipeBody(source, req, res).then(() => outcome.resolve('resolved'), outcome.resolve);
    });
    const reading = await settles(running.visit());
    reading.pause();
    expect(await settles(outcome.promise)).toBeInstanceOf(DeadlineExceededError);
    expect(source.destroyed).toBe(true);
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });
});
