import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { constants, createGunzip } from 'node:zlib';
import compression from 'compression';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type EventStream, ndjson, pipeBody, sse } from '../../src/index.ts';
import { http1Carriers, type Middleware } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { parseEvents } from '../support/event-parser.ts';
import { serve, type Served } from '../support/serve.ts';
import { parked, settles, turns, until } from '../support/until.ts';

const compress = compression() as unknown as Middleware;
const optIn = { headers: { 'Cache-Control': 'no-cache' } };

interface Gunzipped {
  readonly res: http.IncomingMessage;
  /** Decoded as soon as it came. */
  text(): string;
  readonly over: Promise<'end' | 'aborted'>;
}

/** Reads with a decoder that gives out whatever was flushed. */
function gunzip(running: Served): Promise<Gunzipped> {
  return new Promise((resolve, reject) => {
    const req = http.get(
      { port: running.port, host: '127.0.0.1', agent: false, headers: { 'accept-encoding': 'gzip' } },
      (res) => {
        const pieces: Buffer[] = [];
        const over = new Promise<'end' | 'aborted'>((settle) => {
          res.on('error', () => settle('aborted'));
          const decoder = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
          decoder.on('data', (piece: Buffer) => pieces.push(piece));
          decoder.on('end', () => settle(res.complete ? 'end' : 'aborted'));
          decoder.on('error', () => settle('aborted'));
          res.pipe(decoder);
        });
        resolve({ res, text: () => Buffer.concat(pieces).toString(), over });
      },
    );
    req.on('error', reject);
    onTestFinished(() => void req.destroy());
  });
}

describe.each(http1Carriers)('compression before a stream that opts in, on $name', (carrier) => {
  it('passes on each event as it is sent', async () => {
    const gates = [deferred(), deferred(), deferred()] as const;
    const running = await serve(
      carrier,
      compress,
      sse(async function* () {
        for (const [index, gate] of gates.entries()) {
          yield { id: String(index), data: { index, text: 'same text each time' } };
          await gate.promise;
        }
      }, optIn),
    );
    const reading = await gunzip(running);
    expect(reading.res.headers).toMatchObject({
      'content-encoding': 'gzip',
      vary: 'Accept-Encoding',
      'content-type': 'text/event-stream; charset=utf-8',
    });
    for (const [index, gate] of gates.entries()) {
      await until(() => parseEvents(reading.text()).length === index + 1);
      gate.resolve();
    }
    expect(await settles(reading.over)).toBe('end');
    expect(parseEvents(reading.text()).map((event) => event.lastEventId)).toEqual(['0', '1', '2']);
  });

  it('passes on the head and the first comment at once, and what flush asks for', async () => {
    const kept = deferred<EventStream>();
    const running = await serve(
      carrier,
      compress,
      sse((stream) => kept.resolve(stream), optIn),
    );
    const reading = await gunzip(running);
    const stream = await settles(kept.promise);
    await until(() => reading.text() === ':ok\n');
    void stream.send('flushed');
    stream.flush();
    await until(() => reading.text() === ':ok\ndata: flushed\n\n');
    await stream.end();
    expect(await settles(reading.over)).toBe('end');
  });

  it('passes on each record as it is sent', async () => {
    const gate = deferred();
    const running = await serve(
      carrier,
      compress,
      ndjson(
        async function* () {
          yield { first: true };
          await gate.promise;
          yield { second: true };
        },
        { headers: { 'Cache-Control': 'no-cache', 'Content-Type': 'application/json' } },
      ),
    );
    const reading = await gunzip(running);
    expect(reading.res.headers['content-encoding']).toBe('gzip');
    await until(() => reading.text() === '{"first":true}\n');
    gate.resolve();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text()).toBe('{"first":true}\n{"second":true}\n');
  });

  it('never makes a body that failed look complete, and delivers what was accepted', async () => {
    const running = await serve(
      carrier,
      compress,
      sse(async function* () {
        yield 'first';
        await turns();
        throw new Error('late');
      }, optIn),
    );
    const reading = await gunzip(running);
    await settles(reading.over);
    expect(reading.res.complete).toBe(false);
    expect(reading.text()).toBe(':ok\ndata: first\n\n');
  });

  it('lets the retry hint of reconnect through before the close', async () => {
    const running = await serve(
      carrier,
      compress,
      sse(async (stream) => {
        await stream.send('first');
        await stream.reconnect({ retry: 77 });
      }, optIn),
    );
    const reading = await gunzip(running);
    await settles(reading.over);
    expect(reading.text()).toBe(':ok\ndata: first\n\nretry: 77\n');
    expect(reading.res.complete).toBe(false);
  });
});

/** What does not get smaller, so that the bytes pile up behind the encoder too. */
const noise = (): string => randomBytes(3000).toString('base64');

interface Slow {
  readonly middleware: Middleware;
  /** Pieces produced so far. */
  produced(): number;
}

const producers: [string, (count: number) => Slow][] = [
  [
    'sse, awaited',
    (count) => {
      let produced = 0;
      return {
        produced: () => produced,
        middleware: sse(async (stream) => {
          while (produced < count) {
            produced++;
            await stream.send(noise());
          }
        }, optIn),
      };
    },
  ],
  [
    'sse from a generator',
    (count) => {
      let produced = 0;
      return {
        produced: () => produced,
        middleware: sse(function* () {
          while (produced < count) {
            produced++;
            yield noise();
          }
        }, optIn),
      };
    },
  ],
  [
    'pipeBody of small chunks',
    (count) => {
      let produced = 0;
      return {
        produced: () => produced,
        middleware: (req, res) =>
          pipeBody(
            (function* () {
              while (produced < count) {
                produced++;
                yield noise();
              }
            })(),
            req,
            res,
            { headers: { 'Content-Type': 'text/plain' } },
          ),
      };
    },
  ],
  [
    'pipeBody of big chunks',
    (count) => {
      let produced = 0;
      return {
        produced: () => produced,
        middleware: (req, res) =>
          pipeBody(
            (async function* () {
              while (produced < count) {
                produced += 20;
                yield Array.from({ length: 20 }, noise).join('');
              }
            })(),
            req,
            res,
            { headers: { 'Content-Type': 'text/plain' } },
          ),
      };
    },
  ],
];

describe.each(producers)('compression with a client that does not read: %s', (_name, make) => {
  it('holds the source back', async () => {
    const slow = make(Infinity);
    const running = await serve(http1Carriers[0]!, compress, slow.middleware);
    const reading = await running.visit({ headers: { 'accept-encoding': 'gzip' } });
    expect(reading.headers['content-encoding']).toBe('gzip');
    reading.pause();
    // What the kernel and the encoder hold, with room to spare.
    expect((await parked(slow.produced)) * 4000).toBeLessThan(16_000_000);
    reading.destroy();
  });

  it('goes on when the client does', async () => {
    const slow = make(5000);
    const running = await serve(http1Carriers[0]!, compress, slow.middleware);
    const reading = await running.visit({ headers: { 'accept-encoding': 'gzip' } });
    reading.pause();
    const held = await parked(slow.produced);
    reading.resume();
    expect(await settles(reading.over)).toBe('end');
    expect(slow.produced()).toBe(5000);
    expect(held).toBeLessThan(5000);
  });
});
