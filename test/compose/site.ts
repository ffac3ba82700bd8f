import type { ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import { ndjson, pipeBody, sse } from '../../src/index.ts';
import type { Carrier, Middleware, Running } from '../support/carriers.ts';
import { type CodedReading, openCoded } from '../support/coded-clients.ts';
import { type Deferred, deferred } from '../support/deferred.ts';
import { prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';

// One site that answers by everything that writes, and one visit of it. What a client sees of it, once decoded, must
// not depend on the middlewares before it.

/** What came of one request. */
export interface Outcome {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
  readonly over: 'end' | 'aborted';
  /** What the handler saw of the end of a stream that its client left. */
  readonly end?: readonly string[];
}

const list = JSON.stringify(Array.from({ length: 50 }, (_, id) => ({ id, name: `item ${id}`, price: id * 1.25 })));
const text = prose(100_000);

/** Waits, by path, for the client to have read the first half. */
type Gates = Map<string, Deferred<void>>;

/** The handlers by path. */
function handlers(gates: Gates, ends: string[][]): Record<string, Middleware> {
  return {
    '/events': sse(async function* (stream) {
      yield { id: '1', event: 'tick', data: { n: 1 } };
      stream.flush();
      await gates.get('/events')?.promise;
      for (let n = 2; n <= 20; n++) yield { id: String(n), data: `event ${n}\nof 20` };
    }),
    '/written': async (_req, res) => {
      const response = res as ServerResponse & { flush?(): void };
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('data: one\n\n');
      response.flush?.();
      await gates.get('/written')?.promise;
      response.write('data: t');
      response.end('wo\n\n');
    },
    '/records': ndjson(async function* () {
      yield { n: 1 };
      await gates.get('/records')?.promise;
      for (let n = 2; n <= 50; n++) yield { n };
    }),
    '/json': (_req, res) => {
      res.setHeader('Content-Type', 'application/json; charset=utf-8');
      res.setHeader('ETag', '"v1"');
      res.end(list);
    },
    '/body': (req, res) =>
      pipeBody([text.slice(0, 40_000), text.slice(40_000)], req, res, {
        headers: { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) },
      }),
    '/unmodified': (_req, res) => {
      res.statusCode = 304;
      res.setHeader('ETag', '"v1"');
      res.end();
    },
    '/error': (_req, _res, next) => next(new Error('boom')),
    '/late-error': async (_req, res, next) => {
      const response = res as ServerResponse & { flush?(): void };
      response.setHeader('Content-Type', 'text/plain');
      response.write(text);
      response.flush?.();
      await gates.get('/late-error')?.promise;
      next(new Error('too late'));
    },
    '/left': (req, res, next) => {
      const end: string[] = [];
      res.on('close', () => end.push('close'));
      sse(async (stream) => {
        ends.push(end);
        const { signal } = stream.context;
        signal.addEventListener('abort', () => end.push((signal.reason as Error).name));
        stream.onClose((reason) => end.push(reason));
        await stream.send('there');
        await new Promise((resolve) => stream.onClose(resolve));
      })(req, res, next);
    },
  };
}

export interface ComposedSite {
  readonly running: Running;
  /** Sends each request, and notes what came of it. */
  visit(accept: string | undefined): Promise<Record<string, Outcome>>;
}

/** Starts the site behind some middlewares, for one test. */
export async function serveSite(carrier: Carrier, before: readonly Middleware[]): Promise<ComposedSite> {
  const gates: Gates = new Map();
  const ends: string[][] = [];
  const byPath = handlers(gates, ends);
  const running = await carrier.start(...before, async (req, res, next) => {
    try {
      await byPath[req.url!]!(req, res, next);
    } catch (error) {
      next(error);
    }
  });
  onTestFinished(() => running.close());

  async function open(path: string, accept: string | undefined, method = 'GET'): Promise<CodedReading> {
    const protocol = carrier.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1';
    const reading = await openCoded(running, protocol, { path, accept, method });
    onTestFinished(() => reading.destroy());
    return reading;
  }

  /** @param isCut - the server cuts the body: over HTTP/2 its framing may look complete all the same */
  async function toEnd(reading: CodedReading, isCut = false): Promise<Outcome> {
    const over = await settles(reading.over);
    const body = isCut || reading.content.length === 0 ? reading.text : reading.decode();
    return { status: reading.status, headers: reading.headers, body, over };
  }

  /** What comes first has to be there before the rest is made. */
  async function inTwoParts(path: string, first: string, accept: string | undefined, isCut = false): Promise<Outcome> {
    const gate = deferred();
    gates.set(path, gate);
    const reading = await open(path, accept);
    await until(
      () => reading.text.includes(first),
      () => `${path}: ${JSON.stringify(reading.text)} has no ${first}`,
    );
    gate.resolve();
    return toEnd(reading, isCut);
  }

  async function leave(path: string, accept: string | undefined): Promise<Outcome> {
    const reading = await open(path, accept);
    await until(() => reading.text.includes('there'));
    const end = ends.at(-1)!;
    reading.destroy();
    await until(
      () => end.length >= 3,
      () => `of the end was seen: ${String(end)}`,
    );
    return { status: reading.status, headers: reading.headers, body: '', over: 'aborted', end: end.toSorted() };
  }

  return {
    running,
    async visit(accept) {
      const outcomes: Record<string, Promise<Outcome>> = {
        events: inTwoParts('/events', '"n":1', accept),
        written: inTwoParts('/written', 'one', accept),
        records: inTwoParts('/records', '{"n":1}', accept),
        json: open('/json', accept).then((reading) => toEnd(reading)),
        body: open('/body', accept).then((reading) => toEnd(reading)),
        head: open('/json', accept, 'HEAD').then((reading) => toEnd(reading)),
        'head of events': open('/events', accept, 'HEAD').then((reading) => toEnd(reading)),
        unmodified: open('/unmodified', accept).then((reading) => toEnd(reading)),
        error: open('/error', accept).then((reading) => toEnd(reading)),
        'late error': inTwoParts('/late-error', text.slice(-100), accept, true),
        left: leave('/left', accept),
      };
      const settled = await Promise.all(
        Object.entries(outcomes).map(async ([name, outcome]) => [name, await outcome] as const),
      );
      return Object.fromEntries(settled);
    },
  };
}
