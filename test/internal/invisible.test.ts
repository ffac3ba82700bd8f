import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rank } from '../../src/internal/seam/layer.ts';
import { openSeam } from '../../src/internal/seam/response.ts';
import { bare, h2c, type Middleware } from '../support/carriers.ts';
import { open } from '../support/clients.ts';
import { Glass, Watcher } from '../support/layers.ts';
import { connectRaw, getRequest, parseChunked } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';

// What a handler may do to a response, as data, so that the same script runs with and without the seam.
type Step =
  | { do: 'setHeader'; name: string; value: string }
  | { do: 'status'; code: number }
  | { do: 'writeHead'; form: 'plain' | 'object' | 'list' | 'tuples' | 'text' | 'odd' }
  | { do: 'flushHeaders' }
  | { do: 'write'; chunk: string; as: 'string' | 'buffer' | 'bytes' | 'hex'; callback: 'none' | 'second' | 'third' }
  | { do: 'bad write'; value: null | number }
  | { do: 'cork' | 'uncork' | 'earlyHints' | 'tick' }
  | { do: 'end'; chunk: string | undefined; callback: boolean };

/** Runs a script and tells everything that a handler can see. */
async function run(
  res: ServerResponse,
  steps: readonly Step[],
  http2: boolean,
  watchesCork: boolean,
): Promise<string[]> {
  const trace: string[] = [];
  // In order of emission; but when the socket's queue empties is the kernel's business.
  for (const event of ['finish', 'error'] as const)
    res.on(event, (error?: Error) =>
      trace.push(`event ${event} ${(error as NodeJS.ErrnoException | undefined)?.code ?? ''}`),
    );
  for (const step of steps) {
    try {
      if (step.do === 'tick') await new Promise((resolve) => setImmediate(resolve));
      else trace.push(`${step.do}: ${String(perform(res, step, http2, trace))}`);
    } catch (error) {
      trace.push(`${step.do} threw ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
    }
    trace.push(
      `sent=${res.headersSent} ended=${res.writableEnded} full=${res.writableNeedDrain ?? false}${watchesCork ? ` corked=${res.writableCorked > 0}` : ''}`,
    );
  }
  return trace;
}

function perform(res: ServerResponse, step: Step, http2: boolean, trace: string[]): unknown {
  switch (step.do) {
    case 'setHeader':
      return res.setHeader(step.name, step.value) === res;
    case 'status':
      return (res.statusCode = step.code);
    case 'writeHead':
      return writeHead(res, step.form, http2) === res;
    case 'flushHeaders':
      return void res.flushHeaders();
    case 'write':
      return write(res, step, trace);
    case 'bad write':
      return res.write(step.value as never);
    case 'cork':
      corks.set(res, (corks.get(res) ?? 0) + 1);
      return void res.cork();
    case 'uncork':
      return uncork(res);
    case 'earlyHints':
      return res.headersSent ? 'late' : res.writeEarlyHints({ link: '</style.css>; rel=preload' });
    case 'end':
      return end(res, step, trace);
    case 'tick':
      return undefined;
  }
}

// Node corks too, for a tick; only what the script has corked is its to uncork.
const corks = new WeakMap<ServerResponse, number>();

function uncork(res: ServerResponse): unknown {
  const count = corks.get(res) ?? 0;
  corks.set(res, Math.max(0, count - 1));
  return count > 0 ? void res.uncork() : 'not corked';
}

function writeHead(res: ServerResponse, form: Extract<Step, { do: 'writeHead' }>['form'], http2: boolean): unknown {
  if (form === 'plain') return res.writeHead(201);
  if (form === 'object') return res.writeHead(202, { 'X-Given': 'object', 'X-List': ['a', 'b'] });
  // Node 20 lets the last of a list win once a field is set, and the seam does as later Nodes do.
  if (form === 'list' && process.version.startsWith('v20'))
    return res.writeHead(203, ['X-Given', 'one', 'X-Also', 'two']);
  if (form === 'list') return res.writeHead(203, ['X-Given', 'one', 'X-Given', 'two']);
  if (form === 'odd') return res.writeHead(200, ['X-Given', 'one', 'X-Odd']);
  // HTTP/2 has no status text, HTTP/1 no tuples once a field is set.
  if (form === 'text') return http2 ? res.writeHead(200) : res.writeHead(200, 'Fine', { 'X-Given': 'text' });
  return http2 ? res.writeHead(200, [['X-Given', 'tuple']] as never) : res.writeHead(200);
}

function write(res: ServerResponse, { chunk, as, callback }: Extract<Step, { do: 'write' }>, trace: string[]): unknown {
  const value =
    as === 'buffer'
      ? Buffer.from(chunk)
      : as === 'bytes'
        ? new Uint8Array(Buffer.from(chunk))
        : as === 'hex'
          ? Buffer.from(chunk).toString('hex')
          : chunk;
  const encoding = as === 'hex' ? 'hex' : 'utf8';
  const done = (error?: Error | null): void =>
    void trace.push(`written ${(error as NodeJS.ErrnoException | null | undefined)?.code ?? ''}`);
  if (callback === 'second' && as !== 'hex') return res.write(value, done);
  if (callback === 'third') return res.write(value, encoding, done);
  return res.write(value, encoding);
}

function end(res: ServerResponse, { chunk, callback }: Extract<Step, { do: 'end' }>, trace: string[]): unknown {
  const done = (): void => void trace.push('end called back');
  if (chunk === undefined) return (callback ? res.end(done) : res.end()) === res;
  return (callback ? res.end(chunk, done) : res.end(chunk, 'utf8')) === res;
}

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('setHeader' as const),
      name: fc.constantFrom('X-One', 'X-Two', 'Content-Type'),
      value: fc.constantFrom('a', 'b'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('status' as const), code: fc.constantFrom(200, 204, 304, 404) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('writeHead' as const),
      form: fc.constantFrom('plain', 'object', 'list', 'tuples', 'text', 'odd'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('flushHeaders' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      chunk: text,
      as: fc.constantFrom('string', 'buffer', 'bytes', 'hex'),
      callback: fc.constantFrom('none', 'second', 'third'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('bad write' as const), value: fc.constantFrom(null, 5) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('cork' as const, 'uncork' as const, 'earlyHints' as const) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('tick' as const) }) },
);
const endArbitrary: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('end' as const),
  chunk: fc.option(text, { nil: undefined }),
  callback: fc.boolean(),
});
const script = fc
  .tuple(fc.array(stepArbitrary, { maxLength: 8 }), endArbitrary, fc.array(endArbitrary, { maxLength: 1 }))
  .map(([steps, end, again]) => [...steps, end, ...again]);

type Dressing = 'bare' | 'seam' | 'watcher' | 'glass' | 'direct';

function dress(res: ServerResponse, dressing: Dressing): void {
  if (dressing === 'bare') return;
  const seam = openSeam(res);
  if (dressing === 'watcher' || dressing === 'direct') seam.add(new Watcher(rank.counting, 'counter', []));
  if (dressing === 'glass') seam.add(new Glass());
  if (dressing === 'direct') seam.bottom.writeDirectly();
}

/** The head without what differs by nature, as a set: the order of fields means nothing (RFC 9110 5.3). */
function normalHead(head: string): string[] {
  return head
    .split('\r\n')
    .filter((line) => !/^date:/i.test(line))
    .sort();
}

async function observeHttp1(
  steps: readonly Step[],
  dressing: Dressing,
  version: string,
  watchesTick = true,
): Promise<unknown> {
  let trace: string[] = [];
  let closed = false;
  const running = await bare.start(((_req, res: ServerResponse) => {
    dress(res, dressing);
    res.on('close', () => (closed = true));
    void run(res, steps, false, watchesTick).then((result) => (trace = result));
  }) as Middleware);
  try {
    const client = await connectRaw(running.port);
    client.send(getRequest('/', { Connection: 'close' }, version));
    await client.closed;
    await until(() => closed && trace.length > 0);
    const { received } = client;
    const start = received.lastIndexOf('HTTP/1.1');
    const [head = '', ...body] = received.slice(start).split('\r\n\r\n');
    const chunked = /transfer-encoding: chunked/i.test(head);
    const payload = chunked ? parseChunked(received.slice(start)).chunks.join('') : body.join('\r\n\r\n');
    const written = trace.filter((line) => line.startsWith('written'));
    if (!watchesTick) trace = trace.filter((line) => !line.startsWith('written'));
    return {
      trace,
      written: written.length,
      head: normalHead(head),
      payload,
      complete: !chunked || parseChunked(received.slice(start)).complete,
    };
  } finally {
    await running.close();
  }
}

async function observeHttp2(steps: readonly Step[], dressing: Dressing): Promise<unknown> {
  let trace: string[] = [];
  let closed = false;
  const running = await h2c.start(((_req, res: ServerResponse) => {
    dress(res, dressing);
    res.on('close', () => (closed = true));
    void run(res, steps, true, true).then((result) => (trace = result));
  }) as Middleware);
  try {
    const reading = await settles(open(running, 'http2'));
    const over = await settles(reading.over);
    await until(() => closed && trace.length > 0);
    return { trace, over, text: reading.text, headers: { ...reading.headers, date: undefined } };
  } finally {
    await running.close();
  }
}

describe('a response with the seam', () => {
  for (const dressing of ['seam', 'watcher', 'glass', 'direct'] as const) {
    it(`cannot be told from a bare one over HTTP/1.1 (${dressing})`, async () => {
      await fc.assert(
        fc.asyncProperty(script, async (steps) => {
          // Node holds a write back until its tick ends; writing directly is not to. So its callback may come earlier.
          const watchesTick = dressing !== 'direct';
          expect(await observeHttp1(steps, dressing, '1.1', watchesTick)).toEqual(
            await observeHttp1(steps, 'bare', '1.1', watchesTick),
          );
        }),
        { numRuns: 60 },
      );
    });
  }

  it.each(['glass', 'direct'] as const)('cannot be told from a bare one over HTTP/1.0 (%s)', async (dressing) => {
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        expect(await observeHttp1(steps, dressing, '1.0')).toEqual(await observeHttp1(steps, 'bare', '1.0'));
      }),
      { numRuns: 30 },
    );
  });

  it.each(['watcher', 'glass'] as const)('cannot be told from a bare one over HTTP/2 (%s)', async (dressing) => {
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        // 204 and 304 with a body make the client fail before there is anything to compare. And Node's HTTP/2 streams
        // send bytes from elsewhere in memory when an empty string is among writes that they join (20 to 26).
        const valid = steps
          .filter((step) => !(step.do === 'status' && (step.code === 204 || step.code === 304)))
          .map((step) => ('chunk' in step && step.chunk === '' ? { ...step, chunk: 'x' } : step));
        expect(await observeHttp2(valid, dressing)).toEqual(await observeHttp2(valid, 'bare'));
      }),
      { numRuns: 40 },
    );
  });
});
