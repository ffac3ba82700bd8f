import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ndjson, type RecordStream, sse } from '../../src/index.ts';
import { formatRecord, jsonSeqFormat, ndjsonFormat } from '../../src/internal/format/records.ts';
import { type EventInput } from '../../src/sse/index.ts';
import { bare, h2c } from '../support/carriers.ts';
import { getRequest } from '../support/raw.ts';
import { parseEvents } from '../support/event-parser.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';
import { runs } from '../support/runs.ts';
import { serve } from '../support/serve.ts';
import { settles, turns } from '../support/until.ts';

/** What JSON makes of a value: `-0` is gone. */
function viaJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

it('records are read back by strict parsers, whatever the values', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.jsonValue(),
          fc.string({ unit: 'binary' }),
          fc.string({ unit: fc.constantFrom('\u001e', '\n', '\r', '\u2028', '\ud800', '"', '\\') }),
        ),
      ),
      (values) => {
        const read = values.map(viaJson);
        expect(parseNdjson(values.map((value) => formatRecord(ndjsonFormat, value)).join(''))).toEqual(read);
        expect(parseJsonSeq(values.map((value) => formatRecord(jsonSeqFormat, value)).join(''))).toEqual(read);
      },
    ),
    { numRuns: runs(1000) },
  );
});

/** What a handler does next. */
type Step<T> =
  { readonly send: T } | { readonly pause: 'microtask' | 'tick' | 'turn' | 'await' } | { readonly flush: true };

function script<T>(item: fc.Arbitrary<T>): fc.Arbitrary<Step<T>[]> {
  return fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ send: item }) },
      { weight: 2, arbitrary: fc.record({ pause: fc.constantFrom('microtask', 'tick', 'turn', 'await') }) },
      { weight: 1, arbitrary: fc.constant({ flush: true } as const) },
    ),
    { maxLength: 20 },
  );
}

async function play<T>(stream: Pick<RecordStream<T>, 'send' | 'flush'>, steps: readonly Step<T>[]): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  for (const step of steps) {
    if ('send' in step) last = stream.send(step.send);
    else if ('flush' in step) stream.flush();
    else if (step.pause === 'microtask') await Promise.resolve();
    else if (step.pause === 'tick') await new Promise<void>((resolve) => void process.nextTick(resolve));
    else if (step.pause === 'turn') await turns(1);
    else await last;
  }
}

function sentBy<T>(steps: readonly Step<T>[]): T[] {
  return steps.flatMap((step) => ('send' in step ? [step.send] : []));
}

const event: fc.Arbitrary<EventInput> = fc.record({
  event: fc.stringMatching(/^[a-z]{1,5}$/),
  id: fc.nat().map(String),
  // Small ones, ones near the high-water mark, and ones far above it; of bytes that need UTF-8 or do not.
  data: fc
    .tuple(
      fc.constantFrom('x', 'é', '🌊', '\n'),
      fc.oneof({ weight: 5, arbitrary: fc.nat(50) }, fc.constantFrom(16_360, 16_384, 65_500, 200_000)),
    )
    .map(([char, count]) => char.repeat(count)),
});

describe.each([
  ['HTTP/1.1, chunks written directly', bare, true],
  ['HTTP/1.1, chunks written by Node', bare, false],
  ['HTTP/2', h2c, true],
] as const)('on %s', (_name, carrier, directChunks) => {
  it('events arrive whole and in order, however their sends are spread over ticks', async () => {
    let steps: readonly Step<EventInput>[] = [];
    const running = await serve(
      carrier,
      sse((stream) => play(stream, steps), { directChunks, maxBuffered: Infinity }),
    );
    await fc.assert(
      fc.asyncProperty(script(event), async (next) => {
        steps = next;
        const reading = await running.visit();
        expect(await settles(reading.over)).toBe('end');
        const expected = sentBy(next).map(({ event: type, id, data }) => ({ type, data, lastEventId: id }));
        expect(parseEvents(reading.text)).toEqual(expected);
      }),
      { numRuns: runs(60) },
    );
  });

  it('records arrive whole and in order, however their sends are spread over ticks', async () => {
    let steps: readonly Step<unknown>[] = [];
    const running = await serve(
      carrier,
      ndjson((stream) => play(stream, steps), { directChunks, maxBuffered: Infinity }),
    );
    await fc.assert(
      fc.asyncProperty(script(fc.jsonValue()), async (next) => {
        steps = next;
        const reading = await running.visit();
        expect(await settles(reading.over)).toBe('end');
        expect(parseNdjson(reading.text)).toEqual(sentBy(next).map(viaJson));
      }),
      { numRuns: runs(40) },
    );
  });
});

it('a request arrives at the same stream however its bytes are cut', async () => {
  const running = await serve(
    bare,
    sse(function* (stream) {
      yield stream.lastEventId;
    }),
  );
  const request = getRequest('/', { Accept: 'text/event-stream', 'Last-Event-ID': 'seven', Connection: 'close' });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: request.length - 1 }), { maxLength: 4 }), async (cuts) => {
      const client = await running.dial();
      client.socket.setNoDelay(true);
      const edges = [0, ...cuts.toSorted((a, b) => a - b), request.length];
      for (let edge = 1; edge < edges.length; edge++) {
        client.send(request.slice(edges[edge - 1], edges[edge]));
        await turns(2);
      }
      await settles(client.closed);
      expect(client.received).toContain('data: seven\n\n');
    }),
    { numRuns: runs(25) },
  );
});
