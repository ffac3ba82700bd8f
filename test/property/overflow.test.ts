import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EventInput, type EventStream, openEventStream, sse, type SseOptions } from '../../src/index.ts';
import { LatestItems } from '../../src/internal/writer/policy/overflow.ts';
import { h2c } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { type ParsedEvent, parseEvents } from '../support/event-parser.ts';
import { type HeldConnection, holdConnection } from '../support/held-connection.ts';
import { runs } from '../support/runs.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

/** What happens next: at the sender, or at the client. */
type Step =
  | { readonly send: number; readonly key: string | undefined }
  | { readonly read: number }
  | { readonly wait: 'tick' | 'turn' }
  | { readonly flush: true };

interface Sizes {
  readonly item: number;
  readonly highWaterMark: number;
}

function scripts({ item, highWaterMark }: Sizes): fc.Arbitrary<Step[]> {
  const send = fc.record({
    send: fc.oneof(
      { weight: 6, arbitrary: fc.nat(item) },
      { weight: 1, arbitrary: fc.constantFrom(highWaterMark - 30, highWaterMark, 5 * highWaterMark) },
    ),
    key: fc.constantFrom('a', 'b', 'c', 'd', undefined),
  });
  return fc.array(
    fc.oneof(
      { weight: 8, arbitrary: send },
      { weight: 2, arbitrary: fc.record({ read: fc.integer({ min: 1, max: 4 }) }) },
      { weight: 3, arbitrary: fc.record({ wait: fc.constantFrom('tick', 'turn') }) },
      { weight: 1, arbitrary: fc.constant({ flush: true } as const) },
      // Long ones too: a client falls behind by much that is sent.
    ),
    { maxLength: 80, size: 'max' },
  );
}

interface Sent {
  readonly number: number;
  readonly key: string | undefined;
}

interface Outcome {
  readonly sent: readonly Sent[];
  readonly received: readonly ParsedEvent[];
  readonly dropped: number;
  /** The most that waited after any step. */
  readonly most: number;
}

/** The client's side of a stream. */
interface Client {
  read(count: number): void;
  /** Reads to the end and gives the whole body. */
  finish(): Promise<string>;
}

async function play(stream: EventStream, client: Client, steps: readonly Step[]): Promise<Outcome> {
  const sent: Sent[] = [];
  const sends: Promise<void>[] = [];
  let most = 0;
  for (const step of steps) {
    if ('send' in step) {
      sends.push(stream.send({ id: String(sent.length), event: step.key ?? 'none', data: 'x'.repeat(step.send) }));
      sent.push({ number: sent.length, key: step.key });
    } else if ('read' in step) client.read(step.read);
    else if ('flush' in step) stream.flush();
    else if (step.wait === 'turn') await turns(1);
    else await new Promise<void>((resolve) => void process.nextTick(resolve));
    most = Math.max(most, stream.bufferedBytes);
  }
  const ended = stream.end();
  const received = parseEvents(await client.finish());
  await settles(ended);
  // Whatever became of the item, its sender goes on.
  await settles(Promise.all(sends));
  return { sent, received, dropped: stream.dropped, most };
}

/** The number of each event; a gap stands for those that it counts. */
function numbersOf(received: readonly ParsedEvent[]): { numbers: number[]; missing: number } {
  const numbers: number[] = [];
  let next = 0;
  let missing = 0;
  for (const { type, data, lastEventId } of received) {
    if (type === 'sluice.gap') {
      const { dropped } = JSON.parse(data) as { dropped: number };
      next += dropped;
      missing += dropped;
      continue;
    }
    expect(Number(lastEventId)).toBe(next);
    numbers.push(next++);
  }
  return { numbers, missing };
}

function expectGapsToTell({ sent, received, dropped }: Outcome): void {
  const { numbers, missing } = numbersOf(received);
  expect(numbers.length + missing).toBe(sent.length);
  expect(missing).toBe(dropped);
}

function expectLatest({ sent, received, dropped }: Outcome): void {
  const numbers = received.map(({ lastEventId }) => Number(lastEventId));
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(numbers.length + dropped).toBe(sent.length);
  const arrived = new Set(numbers);
  for (const [index, { number, key }] of sent.entries()) {
    const isLast = key === undefined || sent.findLastIndex((other) => other.key === key) === index;
    if (isLast) expect(arrived).toContain(number);
  }
}

const key = (event: EventInput | string): string | undefined =>
  typeof event === 'object' && event.event !== 'none' ? event.event : undefined;

describe('in memory, whatever the interleaving of sends and reads', () => {
  const sizes: Sizes = { item: 600, highWaterMark: 1024 };

  async function run(options: SseOptions, steps: readonly Step[]): Promise<Outcome> {
    const opened = deferred<EventStream>();
    const held: HeldConnection = holdConnection(
      (req, res) => opened.resolve(openEventStream(req, res, options)),
      sizes.highWaterMark,
    );
    try {
      return await play(
        await settles(opened.promise),
        {
          read: (count) => {
            for (let taken = 0; taken < count; taken++) held.read();
          },
          finish: async () => {
            held.readAll();
            await until(
              () => held.isComplete,
              () => 'the body never ended',
            );
            return held.body;
          },
        },
        steps,
      );
    } finally {
      held.destroy();
    }
  }

  it('drop: what arrives and what the gaps count are what was sent, in its order, and no more waits than may', async () => {
    let dropped = 0;
    await fc.assert(
      fc.asyncProperty(scripts(sizes), fc.constantFrom(0, 100, 2000, 8000), async (steps, maxBuffered) => {
        const outcome = await run({ overflow: 'drop', maxBuffered }, steps);
        expectGapsToTell(outcome);
        // What a tick sends before a sender is told to wait, one item of the largest, and the frames around both.
        expect(outcome.most).toBeLessThan(
          Math.max(maxBuffered, 2 * sizes.highWaterMark) + 2 * 5 * sizes.highWaterMark + 500,
        );
        dropped += outcome.dropped;
      }),
      { numRuns: runs(400) },
    );
    expect(dropped).toBeGreaterThan(400);
  });

  it('latest: the last item of every key arrives, and every item without one, in the order in which they were sent', async () => {
    let superseded = 0;
    await fc.assert(
      fc.asyncProperty(scripts(sizes), async (steps) => {
        const outcome = await run({ overflow: 'latest', key, maxBuffered: Infinity }, steps);
        expectLatest(outcome);
        superseded += outcome.dropped;
      }),
      { numRuns: runs(400) },
    );
    expect(superseded).toBeGreaterThan(400);
  });

  it.each(['close', 'drop', 'latest'] as const)(
    '%s: a sender that awaits loses nothing and is not closed, however small the budget',
    async (overflow) => {
      const pace = fc.array(fc.record({ size: fc.constantFrom(0, 10, 700, 1023, 1024, 9000), pause: fc.boolean() }), {
        maxLength: 30,
        size: 'max',
      });
      await fc.assert(
        fc.asyncProperty(
          pace,
          fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
          fc.constantFrom(0, 1, 1000),
          async (items, reads, maxBuffered) => {
            const opened = deferred<EventStream>();
            const held = holdConnection(
              (req, res) => opened.resolve(openEventStream(req, res, { overflow, maxBuffered })),
              sizes.highWaterMark,
            );
            const stream = await settles(opened.promise);
            const sending = (async () => {
              for (const [number, { size, pause }] of items.entries()) {
                await stream.send({ id: String(number), data: 'x'.repeat(size) });
                if (pause) await turns(1);
              }
              await stream.end();
            })();
            for (let turn = 0; !held.isComplete; turn++) {
              if (turn > 5000) throw new Error('the body never ended');
              if (reads[turn % reads.length] === true || turn > 300) held.read();
              await turns(1);
            }
            await settles(sending);
            expect([numbersOf(parseEvents(held.body)).numbers.length, stream.dropped]).toEqual([items.length, 0]);
          },
        ),
        { numRuns: runs(100) },
      );
    },
  );
});

describe('over HTTP/2, whatever the interleaving of sends and reads', () => {
  const sizes: Sizes = { item: 12_000, highWaterMark: 16_384 };

  async function run(options: SseOptions, steps: readonly Step[]): Promise<Outcome> {
    const opened = deferred<EventStream>();
    const running = await serve(
      h2c,
      sse((stream) => opened.resolve(stream), options),
    );
    const reading = await running.visit();
    reading.pause();
    const outcome = await play(
      await settles(opened.promise),
      {
        read: (count) => {
          reading.resume();
          if (count < 3) setImmediate(() => reading.pause());
        },
        finish: async () => {
          // After a pause that is still due.
          await turns(2);
          reading.resume();
          expect(await settles(reading.over)).toBe('end');
          return reading.text;
        },
      },
      steps,
    );
    await running.close();
    return outcome;
  }

  it('drop: gaps tell what is missing', async () => {
    let dropped = 0;
    await fc.assert(
      fc.asyncProperty(scripts(sizes), async (steps) => {
        const outcome = await run({ overflow: 'drop', maxBuffered: '32kb' }, steps);
        expectGapsToTell(outcome);
        dropped += outcome.dropped;
      }),
      { numRuns: runs(40) },
    );
    expect(dropped).toBeGreaterThan(30);
  });

  it('latest: the last item of every key arrives', async () => {
    let superseded = 0;
    await fc.assert(
      fc.asyncProperty(scripts(sizes), async (steps) => {
        const outcome = await run({ overflow: 'latest', key, maxBuffered: Infinity }, steps);
        expectLatest(outcome);
        superseded += outcome.dropped;
      }),
      { numRuns: runs(40) },
    );
    expect(superseded).toBeGreaterThan(30);
  });
});

it('the latest items are, in order, the last of each key and all without one, and know their length', () => {
  const puts = fc.array(
    fc.tuple(fc.constantFrom('a', 'b', '0', '1', undefined), fc.string({ unit: 'grapheme', maxLength: 5 })),
  );
  fc.assert(
    fc.property(puts, (items) => {
      const latest = new LatestItems();
      const superseded = items.filter(([itemKey, text]) => latest.put(itemKey, text)).length;
      const left = items.filter(
        ([itemKey], index) => itemKey === undefined || !items.slice(index + 1).some(([other]) => other === itemKey),
      );
      const text = left.map(([, each]) => each).join('');
      expect([[...latest.values()].join(''), latest.length, latest.bytes, superseded]).toEqual([
        text,
        text.length,
        Buffer.byteLength(text),
        items.length - left.length,
      ]);
      for (const [itemKey, each] of left) if (itemKey !== undefined) expect(latest.lengthOf(itemKey)).toBe(each.length);
    }),
    { numRuns: runs(500) },
  );
});
