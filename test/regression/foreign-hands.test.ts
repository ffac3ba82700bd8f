import type { ServerResponse } from 'node:http';
import http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import {
  type EventStream,
  InvalidOptionError,
  ndjson,
  openEventStream,
  pipeBody,
  ResponseStartedError,
  sse,
} from '../../src/index.ts';
import { type HeadOutcome, keep, Layer, type LayerKind, type Rank, rank } from '../../src/internal/seam/layer.ts';
import { openSeam } from '../../src/internal/seam/response.ts';
import { bare, carriers, h2c, type Middleware } from '../support/carriers.ts';
import { open } from '../support/clients.ts';
import { connectRaw, getRequest } from '../support/raw.ts';
import { settles, turns, until } from '../support/until.ts';

const http1 = carriers.filter(({ protocol }) => protocol === 'http1').map((each) => [each.name, each] as const);
const all = carriers.map((each) => [each.name, each] as const);

describe('a response in the hands of others', () => {
  it.each(all)(
    'closes the stream, and nothing else, when other code ends it under the stream on %s',
    async (_name, carrier) => {
      const streams: EventStream[] = [];
      const reasons: string[] = [];
      const responses: ServerResponse[] = [];
      const running = await carrier.start(
        ((_req, res: ServerResponse, next) => {
          responses.push(res);
          next();
        }) as Middleware,
        sse((stream) => {
          streams.push(stream);
          stream.onClose((reason) => reasons.push(reason));
        }) as Middleware,
      );
      const reading = await open(running, carrier.protocol);
      responses[0]!.end();
      await streams[0]!.send('too late');
      void streams[0]!.send('again');
      await until(() => reasons.length === 1);
      expect(reasons).toEqual(['ended']);
      await expect(streams[0]!.send('closed')).rejects.toMatchObject({ reason: 'ended' });
      expect(await settles(reading.over)).toBe('end');
      await running.close();
    },
  );

  it.each(http1)('tells next, and throws nothing, when it was answered before: %s', async (_name, carrier) => {
    const told: unknown[] = [];
    const uncaught: unknown[] = [];
    const running = await carrier.start(((req, res) => {
      res.setHeader('Content-Type', 'text/plain');
      res.end('mine');
      for (const headers of [{}, { accept: 'text/html' }, { 'last-event-id': 'sluice.stop' }]) {
        Object.assign(req.headers, headers);
        for (const middleware of [
          sse(() => undefined),
          sse(() => undefined, { negotiate: 'next' }),
          ndjson(() => undefined),
        ]) {
          try {
            (middleware as Middleware)(req, res, (error) => told.push(error));
            (middleware as (...args: unknown[]) => void)(req, res);
          } catch (error) {
            uncaught.push(error);
          }
        }
      }
    }) as Middleware);
    const reading = await open(running, 'http1');
    await settles(reading.over);
    expect([reading.status, reading.text, uncaught]).toEqual([200, 'mine', []]);
    expect(told).toHaveLength(9);
    for (const error of told) expect(error).toBeInstanceOf(ResponseStartedError);
    await running.close();
  });

  it('carries one stream at a time', async () => {
    const errors: unknown[] = [];
    const running = await bare.start(((req, res, next) => {
      sse(async function* () {
        await turns();
        yield 'first';
      })(req, res, next);
      sse(() => errors.push('a handler that must not run') as never)(req, res, (error) => errors.push(error));
      try {
        openEventStream(req, res);
      } catch (error) {
        errors.push(error);
      }
      return pipeBody(['body'], req, res).catch((error: unknown) => errors.push(error));
    }) as Middleware);
    const reading = await open(running, 'http1');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(':ok\ndata: first\n\n');
    expect(errors).toEqual([
      expect.any(ResponseStartedError),
      expect.any(ResponseStartedError),
      expect.any(ResponseStartedError),
    ]);
    await running.close();
  });

  it('may be wrapped in a Proxy', async () => {
    const reasons: string[] = [];
    const running = await bare.start(((req, res: ServerResponse, next) => {
      const wrapped = new Proxy(res, {
        get: (target, name) => {
          const value = Reflect.get(target, name, target) as unknown;
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
        set: (target, name, value) => Reflect.set(target, name, value, target),
      });
      sse((stream) => {
        stream.onClose((reason) => reasons.push(reason));
        void stream.send('through the wrapper');
      })(req, wrapped, next);
    }) as Middleware);
    const reading = await open(running, 'http1');
    await until(() => reading.text.includes('data: through the wrapper\n\n'));
    reading.destroy();
    await until(() => reasons.length > 0);
    expect(reasons).toEqual(['client-closed']);
    await running.close();
  });

  it('may be written to by a child object', async () => {
    const running = await bare.start(((_req, res: ServerResponse) => {
      class Quiet extends Layer {
        override readonly rank: Rank = rank.compress;
        override readonly kind: LayerKind = 'encoder';
        override head(): HeadOutcome {
          return keep;
        }
      }
      openSeam(res).add(new Quiet());
      const child = Object.create(res) as ServerResponse;
      child.write('a');
      expect(child.end('b')).toBe(child);
    }) as Middleware);
    const reading = await open(running, 'http1');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe('ab');
    await running.close();
  });

  it('may have a property of its own called stream', async () => {
    const running = await bare.start(
      ((_req, res, next) => {
        Object.assign(res, { stream: { mine: true } });
        next();
      }) as Middleware,
      sse(async function* () {
        yield 'fine';
      }) as Middleware,
    );
    const reading = await open(running, 'http1');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(':ok\ndata: fine\n\n');
    await running.close();
  });

  it('adds one listener to a connection however many requests wait on it', async () => {
    const streams: EventStream[] = [];
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const closed: string[] = [];
    const running = await bare.start(
      sse((stream) => {
        streams.push(stream);
        stream.onClose((reason) => closed.push(reason));
      }) as Middleware,
    );
    const client = await connectRaw(running.port);
    client.send(getRequest().repeat(30));
    await until(() => streams.length > 1);
    client.destroy();
    // Requests that were read later had streams too.
    await until(
      () => closed.length === streams.length,
      () => `${closed.length} of ${streams.length} are closed`,
    );
    await turns();
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(new Set(closed)).toEqual(new Set(['client-closed']));
    await running.close();
  });
});

describe('what a handler gives back', () => {
  it('is a source even where it is a promise as well', async () => {
    // As the queries of some database clients.
    const query = {
      then: (resolve: (rows: string[]) => void) => resolve(['all', 'at', 'once']),
      async *[Symbol.asyncIterator]() {
        yield 'row 1';
        yield 'row 2';
      },
    };
    const running = await bare.start(sse((() => query) as never) as Middleware);
    const reading = await open(running, 'http1');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(':ok\ndata: row 1\n\ndata: row 2\n\n');
    await running.close();
  });
});

describe('an unterminated close over HTTP/2', () => {
  it.each(['an error', 'reconnect', 'destroy'])('is an error to Node’s own client: %s', async (way) => {
    const running = await h2c.start(
      sse(async (stream) => {
        await stream.send('part');
        stream.flush();
        await turns(5);
        if (way === 'an error') throw new Error('broken');
        if (way === 'reconnect') await stream.reconnect({ retry: 1 });
        stream.destroy();
      }) as Middleware,
    );
    const session = http2.connect(running.origin);
    const req = session.request({ ':path': '/' });
    req.end();
    await expect(settles(text(req))).rejects.toThrow();
    session.destroy();
    await running.close();
  });
});

describe('a reset without an error over HTTP/2', () => {
  it('closes a stream that has ended and is still being handed over', async () => {
    const streams: EventStream[] = [];
    const running = await h2c.start(sse((stream) => void streams.push(stream)) as Middleware);
    const session = http2.connect(running.origin, { settings: { initialWindowSize: 100 } });
    const req = session.request({ ':path': '/' });
    req.on('error', () => undefined);
    req.end();
    await until(() => streams.length === 1);
    const [stream] = streams;
    void stream!.send('x'.repeat(1000));
    const stopped = stream!.stop();
    await turns(20);
    req.close(http2.constants.NGHTTP2_NO_ERROR);
    await settles(stopped);
    expect([stream!.state, stream!.signal.aborted]).toEqual(['closed', true]);
    session.destroy();
    await running.close();
  });
});

describe('a source that is never read', () => {
  it('is cancelled by pipe with a signal that is aborted, and by pipeBody on a response that has ended', async () => {
    const cancelled: string[] = [];
    const source = (name: string): ReadableStream => new ReadableStream({ cancel: () => void cancelled.push(name) });
    const errors: unknown[] = [];
    const running = await bare.start((async (req, res) => {
      const stream = openEventStream(req, res);
      await stream
        .pipe(source('pipe') as never, { signal: AbortSignal.abort(new Error('stopped before')) })
        .catch((error: unknown) => errors.push(error));
      await stream.end();
      await pipeBody(source('body'), req, res).catch((error: unknown) => errors.push(error));
    }) as Middleware);
    const reading = await open(running, 'http1');
    expect(await settles(reading.over)).toBe('end');
    // The response is closed when its `end` has resolved: for pipeBody its client is gone, which is no error.
    await until(() => cancelled.length === 2);
    expect(cancelled).toEqual(['pipe', 'body']);
    expect(errors).toEqual([new Error('stopped before')]);
    await running.close();
  });
});

describe('response fields in options', () => {
  it.each([undefined, null, {}, [undefined], true])('refuses %o by the factory and not by a request', (value) => {
    expect(() => sse(() => undefined, { headers: { 'X-A': value } as never })).toThrow(InvalidOptionError);
  });
});
