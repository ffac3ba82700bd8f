import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { heartbeat, type HeartbeatOptions } from '../../src/heartbeat/index.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { bare, h2c, type Middleware, type Running } from '../support/carriers.ts';
import { openCoded, type Protocol } from '../support/coded-clients.ts';
import { allCodings, type Coding } from '../support/decoders.ts';
import { EventParser } from '../support/event-parser.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';
import { runs } from '../support/runs.ts';
import { settles, until } from '../support/until.ts';

const every = 1000;

/** How a handler writes a stream: in pieces of these sizes, in turn, as bytes or as strings. */
interface Writing {
  readonly sizes: readonly number[];
  readonly asText: boolean;
}

// Byte by byte goes past every moment that there is.
const sizes = fc.oneof(
  { weight: 1, arbitrary: fc.constant([1]) },
  { weight: 2, arbitrary: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 6 }) },
);
const writing: fc.Arbitrary<Writing> = fc.record({ sizes, asText: fc.boolean() });

/** Pieces that end at any byte, or between any two characters. */
function cut(text: string, { sizes, asText }: Writing): (string | Buffer)[] {
  const whole: readonly string[] | Buffer = asText ? Array.from(text) : Buffer.from(text);
  const pieces: (string | Buffer)[] = [];
  for (let at = 0, turn = 0; at < whole.length; turn++) {
    const piece = whole.slice(at, at + sizes[turn % sizes.length]!);
    pieces.push(Buffer.isBuffer(piece) ? piece : (piece as string[]).join(''));
    at += piece.length;
  }
  return pieces;
}

interface Outcome {
  readonly text: string;
  readonly coding: Coding;
  /** Heartbeats that were sent, by the account of the registry. */
  readonly heartbeats: number;
}

interface Job {
  readonly type: string;
  readonly pieces: readonly (string | Buffer)[];
}

/**
 * A server with heartbeats whose clock is moved at every moment that a handler leaves: before each piece, between, and
 * after the last.
 */
function useServer(
  carrier: typeof bare,
  options: HeartbeatOptions,
): (protocol: Protocol, accept: Coding, job: Job) => Promise<Outcome> {
  const clock = new FakeClock();
  const registry = new Registry({}, clock);
  const pulse = heartbeat({
    every,
    jitter: 0,
    readDeadline: Infinity,
    writeDeadline: Infinity,
    ackProbe: false,
    registry,
    ...options,
  }) as Middleware;
  const compression = compress({ threshold: 0 });
  const jobs: Job[] = [];
  let running: Running | undefined;

  /** All that was written has left the process: only then is there room for a heartbeat. */
  async function settle(res: ServerResponse): Promise<void> {
    const queued = (): number =>
      Math.max(
        res.writableLength,
        (res as unknown as { stream?: { writableLength: number } }).stream?.writableLength ?? 0,
      );
    do await new Promise((resolve) => setImmediate(resolve));
    while (queued() > 0 && !res.destroyed);
  }

  const handler: Middleware = async (_req, response) => {
    const res = response as ServerResponse;
    const { type, pieces } = jobs.shift()!;
    res.writeHead(200, { 'Content-Type': type });
    for (const piece of pieces) {
      await settle(res);
      clock.advance(every + 20);
      res.write(piece);
      // Also in the turn of a write, when it is still on its way.
      clock.advance(every + 20);
    }
    await settle(res);
    clock.advance(every + 20);
    res.end();
  };
  beforeAll(async () => {
    running = await carrier.start(pulse, compression as Middleware, handler);
  });
  afterAll(async () => {
    await running?.close();
    await until(() => registry.stats().connections === 0);
    expect(registry.stats()).toMatchObject({ unresponsive_ratio: 0, avg_heartbeat_rt: null });
  });

  return async (protocol, accept, job) => {
    const before = registry.stats().heartbeats;
    jobs.push(job);
    const reading = await openCoded(running!, protocol, { accept });
    expect(await settles(reading.over)).toBe('end');
    const text = reading.decode();
    reading.destroy();
    return { text, coding: reading.coding, heartbeats: registry.stats().heartbeats - before };
  };
}

const lineEnd = fc.constantFrom('\n', '\r', '\r\n');
const value = fc
  .oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('x', '', ' ', '🌊', '\u0a0d', ':', '\uFEFF'))
  .map((text) =>
    Buffer.from(text)
      .toString()
      .replace(/[\r\n]/g, ''),
  );
const line = fc
  .tuple(fc.constantFrom('data: ', 'data:', 'event: ', 'id: ', ':', 'retry: 1', 'data', ''), value, lineEnd)
  .map((parts) => parts.join(''));
const event = fc
  .tuple(fc.array(line, { minLength: 1, maxLength: 4 }), lineEnd)
  .map(([lines, end]) => lines.join('') + end);
const eventStream = fc
  .tuple(fc.boolean(), fc.array(event, { minLength: 1, maxLength: 5 }))
  .map(([bom, events]) => (bom ? '\uFEFF' : '') + events.join(''));

const json = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', '\n', '\u001e', ',', '🌊', '\u0a22'), { maxLength: 8 })
    .map((parts) => parts.join('')),
);
const lines = fc
  .array(
    json.map((each) => `${JSON.stringify(each)}\n`),
    { minLength: 1, maxLength: 5 },
  )
  .map((records) => records.join(''));
const sequence = fc
  .array(
    fc
      .tuple(json, fc.constantFrom(undefined, 1, '\n\n'), fc.constantFrom('\n', '\r\n', '\n\n'))
      .map(([each, indent, end]) => `\u001e${JSON.stringify(each, null, indent)}${end}`),
    { minLength: 1, maxLength: 4 },
  )
  .map((elements) => elements.join(''));

/** What a client gets of an event stream, without the empty comments. */
function events(text: string): unknown {
  const { events: seen, retries, lastEventId, comments } = new EventParser().push(Buffer.from(text));
  return { seen, retries, lastEventId, comments: comments.filter((comment) => comment.trim() !== '') };
}

/** Readers of JSON lines skip empty ones. */
function records(text: string): unknown[] {
  return parseNdjson(
    text
      .split('\n')
      .filter((each) => each !== '')
      .map((each) => `${each}\n`)
      .join(''),
  );
}

/** RFC 7464 2.1: what follows RS and is no JSON text is skipped. */
function elements(text: string): unknown[] {
  return parseJsonSeq(
    text
      .split('\u001e')
      .filter((each) => each.trim() !== '')
      .map((each) => `\u001e${each}`)
      .join(''),
  );
}

const formats = [
  ['text/event-stream', eventStream, events],
  ['application/x-ndjson', lines, records],
  ['application/json-seq', sequence, elements],
] as const;

/** Enough to be sure that it was not quiet all the time. */
function expectBeats(runs: readonly number[]): void {
  const total = runs.reduce((sum, each) => sum + each, 0);
  expect(runs.filter((each) => each > 0).length).toBeGreaterThan(0.9 * runs.length);
  expect(total).toBeGreaterThan(2 * runs.length);
}

describe.each([
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const)('over %s', (protocol, carrier) => {
  const send = useServer(carrier, {});

  describe.each(allCodings)('coded with %s', (coding) => {
    it.each(formats)(
      'a client of %s gets what was written, with a heartbeat at every moment that has room for one',
      async (type, stream, read) => {
        const beats: number[] = [];
        await fc.assert(
          fc.asyncProperty(stream, writing, async (text, how) => {
            const outcome = await send(protocol, coding, { type, pieces: cut(text, how) });
            expect(outcome.coding).toBe(coding);
            expect(read(outcome.text)).toEqual(read(text));
            beats.push(outcome.heartbeats);
          }),
          { numRuns: runs(50) },
        );
        expectBeats(beats);
      },
    );
  });
});

describe('with padding', () => {
  const send = useServer(bare, { padding: 1500 });

  it.each(formats)('a client of %s gets what was written', async (type, stream, read) => {
    const beats: number[] = [];
    await fc.assert(
      fc.asyncProperty(stream, writing, async (text, how) => {
        const { text: received, heartbeats } = await send('HTTP/1.1', 'gzip', { type, pieces: cut(text, how) });
        expect(read(received)).toEqual(read(text));
        expect(Buffer.byteLength(received)).toBeGreaterThanOrEqual(1500 * heartbeats);
        beats.push(heartbeats);
      }),
      { numRuns: runs(50) },
    );
    expectBeats(beats);
  });
});

describe('with heartbeats that are seen', () => {
  const send = useServer(bare, { event: 'alive-and-well', record: { alive: 'in these tests alone' } });
  const isBeat = (each: unknown): boolean => JSON.stringify(each) === '{"alive":"in these tests alone"}';

  it('a client of an event stream gets each of them, whole, beside what was written', async () => {
    const beats: number[] = [];
    await fc.assert(
      fc.asyncProperty(eventStream, writing, async (text, how) => {
        const { text: received, heartbeats } = await send('HTTP/1.1', 'identity', {
          type: 'text/event-stream',
          pieces: cut(text, how),
        });
        const { seen, ...others } = events(received) as { seen: { type: string; data: string }[] };
        expect(seen.filter(({ type }) => type === 'alive-and-well').map(({ data }) => data)).toEqual(
          Array<string>(heartbeats).fill(''),
        );
        expect({ seen: seen.filter(({ type }) => type !== 'alive-and-well'), ...others }).toEqual(events(text));
        beats.push(heartbeats);
      }),
      { numRuns: runs(80) },
    );
    expectBeats(beats);
  });

  it.each([
    ['application/x-ndjson', lines, records],
    ['application/json-seq', sequence, elements],
  ] as const)('a client of %s gets each of them, whole, beside what was written', async (type, stream, read) => {
    const beats: number[] = [];
    await fc.assert(
      fc.asyncProperty(stream, writing, async (text, how) => {
        const { text: received, heartbeats } = await send('HTTP/1.1', 'identity', { type, pieces: cut(text, how) });
        const seen = read(received);
        expect(seen.filter(isBeat)).toHaveLength(heartbeats);
        expect(seen.filter((each) => !isBeat(each))).toEqual(read(text));
        beats.push(heartbeats);
      }),
      { numRuns: runs(80) },
    );
    expectBeats(beats);
  });
});
