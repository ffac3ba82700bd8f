import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  InvalidOptionError,
  InvalidRecordError,
  jsonSeq,
  ndjson,
  openJsonSeq,
  openNdjson,
  type RecordOptions,
  type RecordStream,
} from '../../src/index.ts';
import { bare, h2c } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { type HeldConnection, holdConnection } from '../support/held-connection.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { parseJsonSeq, parseNdjson } from '../support/record-parser.ts';
import { serve } from '../support/serve.ts';
import { bulk, readSlowly, sendUntil, visitSlowly, wires } from '../support/slow-clients.ts';
import { settles, until } from '../support/until.ts';

const kinds = [
  { kind: 'ndjson', make: ndjson, open: openNdjson, parse: parseNdjson },
  { kind: 'jsonSeq', make: jsonSeq, open: openJsonSeq, parse: parseJsonSeq },
] as const;

type Row = { readonly n: number; readonly key: string | undefined; readonly text: string } | Gap;
interface Gap {
  readonly 'sluice.gap': { readonly dropped: number };
}

const kb = 1024;
const keyOf = (row: Row): string | undefined => ('key' in row ? row.key : undefined);
const row = (n: number, key?: string): Row => ({ n, key, text: bulk(n) });

describe.each(kinds.flatMap((kind) => wires.map((wire) => ({ ...kind, wire, over: wire.name }))))(
  '$kind over $over',
  ({ make, wire, parse }) => {
    const visit = (options: RecordOptions<Row>) =>
      visitSlowly<RecordStream<Row>>(wire, (keep) => make<Row>((stream) => keep(stream), options));

    it('drop: says in a record how many are missing where they are', async () => {
      const { stream, finish, reasons } = await visit({ overflow: 'drop', maxBuffered: '256kb' });
      let most = 0;
      const { sends } = await sendUntil(
        () => stream.dropped >= 50,
        (n) => {
          const sent = stream.send(row(n));
          most = Math.max(most, stream.bufferedBytes);
          return sent;
        },
      );
      expect(most).toBeLessThan(256 * kb + bulk(0).length + 200);
      const finished = finish();
      await settles(Promise.all(sends));
      await settles(stream.send(row(sends.length)));
      await settles(stream.end());
      let next = 0;
      let missing = 0;
      for (const each of parse(await finished) as Row[]) {
        if ('sluice.gap' in each) {
          missing += each['sluice.gap'].dropped;
          next += each['sluice.gap'].dropped;
        } else {
          expect(each).toEqual({ n: next, text: bulk(next) });
          next++;
        }
      }
      expect([next, missing, reasons]).toEqual([sends.length + 1, stream.dropped, ['ended']]);
    });

    it('latest: sends of each key the newest', async () => {
      const { stream, finish, reasons } = await visit({ overflow: 'latest', key: keyOf, maxBuffered: '256kb' });
      const { sends } = await sendUntil(
        () => stream.dropped >= 200,
        (n) => stream.send(row(n, String(n % 5))),
      );
      const ended = stream.end();
      const rows = parse(await finish()) as Exclude<Row, Gap>[];
      await settles(Promise.all([ended, ...sends]));
      const numbers = rows.map(({ n }) => n);
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(numbers.slice(-5)).toEqual([5, 4, 3, 2, 1].map((back) => sends.length - back));
      expect([rows.length + stream.dropped, reasons]).toEqual([sends.length, ['ended']]);
      expect(rows.every(({ n, key, text }) => key === String(n % 5) && text === bulk(n))).toBe(true);
    });

    it('drops nothing of a source, however slow the client and however small the budget', async () => {
      const { stream, reading, finish } = await visitSlowly<RecordStream<Row>>(wire, (keep) =>
        make<Row>(
          async function* (each) {
            keep(each);
            for (let n = 0; n < 200; n++) yield row(n);
          },
          { overflow: 'drop', maxBuffered: 0 },
        ),
      );
      const readOn = readSlowly(reading);
      await until(() => reading.bytes.length > 100 * kb);
      readOn();
      const rows = parse(await finish()) as Exclude<Row, Gap>[];
      expect([rows.map(({ n }) => n), stream.dropped]).toEqual([Array.from({ length: 200 }, (_each, n) => n), 0]);
    });
  },
);

/** A stream in memory whose client reads nothing yet, and which is full. */
async function full(
  open: typeof openNdjson,
  options: RecordOptions,
): Promise<{ stream: RecordStream; client: HeldConnection }> {
  const opened = deferred<RecordStream>();
  const client = holdConnection((req, res) => opened.resolve(open(req, res, { maxBuffered: 0, ...options })), 1000);
  onTestFinished(() => client.destroy());
  const stream = await settles(opened.promise);
  void stream.send('f'.repeat(2000));
  return { stream, client };
}

describe.each(kinds)('a gap in $kind', ({ open, parse }) => {
  async function arriving(options: RecordOptions, records: readonly unknown[]): Promise<unknown[]> {
    const { stream, client } = await full(open, { overflow: 'drop', ...options });
    for (const record of records) void stream.send(record);
    void stream.end();
    client.readAll();
    await until(
      () => client.isComplete,
      () => 'the body never ended',
    );
    return parse(client.body).slice(1);
  }

  it('goes out before the end', async () => {
    expect(await arriving({}, [1, 2])).toEqual([{ 'sluice.gap': { dropped: 2 } }]);
  });

  it('goes out before a close without an end', async () => {
    const { stream, client } = await full(open, { overflow: 'drop' });
    void stream.send('dropped');
    client.readAll();
    await until(() => parse(client.body).length === 2);
    expect(parse(client.body)[1]).toEqual({ 'sluice.gap': { dropped: 1 } });
  });

  it('can be any record, and none', async () => {
    expect(await arriving({ gap: (dropped) => ['missing', dropped] }, [1, 2, 3])).toEqual([['missing', 3]]);
    expect(await arriving({ gap: () => null }, [1])).toEqual([null]);
    expect(await arriving({ gap: () => undefined }, [1, 2, 3])).toEqual([]);
  });

  it.each<[string, () => unknown, unknown]>([
    [
      'cannot be made',
      () => {
        throw new RangeError('mine');
      },
      expect.any(RangeError),
    ],
    ['cannot be written as JSON', () => 1n, expect.any(InvalidRecordError)],
  ])('that %s is reported, and the default stands there', async (_what, gap, error) => {
    const onError = vi.fn();
    expect(await arriving({ gap, onError }, [1])).toEqual([{ 'sluice.gap': { dropped: 1 } }]);
    expect(onError).toHaveBeenCalledExactlyOnceWith(error, expect.anything());
  });
});

describe.each(kinds)('latest in $kind', ({ kind, make, open, parse }) => {
  it.each([undefined, 'key', 5])('needs a key that is a function, not %j', (key) => {
    const options = { overflow: 'latest', ...(key !== undefined && { key }) } as unknown as RecordOptions;
    for (const call of [
      () => make(() => undefined, options),
      () => open(undefined as never, undefined as never, options),
    ]) {
      expect(call).toThrow(InvalidOptionError);
      expect(call).toThrow(new RegExp(`^Expected \`${kind}\\.key\` to be a function`));
    }
  });

  it('gives the key whatever is sent', async () => {
    const key = vi.fn((record: unknown) => (typeof record === 'string' ? record[0] : undefined));
    const { stream, client } = await full(open, { overflow: 'latest', key, maxBuffered: Infinity });
    for (const record of ['a1', 1, 'b1', null, 'a2', [2]]) void stream.send(record);
    void stream.end();
    client.readAll();
    await until(() => client.isComplete);
    expect(parse(client.body).slice(1)).toEqual([1, 'b1', null, 'a2', [2]]);
    expect(key.mock.calls.flat()).toEqual(['a1', 1, 'b1', null, 'a2', [2]]);
    expect(stream.dropped).toBe(1);
  });
});

describe('a raw client that stops reading and then reads on', () => {
  it.each(kinds)('gets whole records of $kind around the gap', async ({ make, parse }) => {
    const kept = deferred<RecordStream>();
    const running = await serve(
      bare,
      make((stream) => kept.resolve(stream), { overflow: 'drop', maxBuffered: '256kb' }),
    );
    const client = await running.dial();
    client.socket.pause();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await sendUntil(
      () => stream.dropped > 0,
      (n) => stream.send(row(n)),
    );
    const { dropped } = stream;
    client.socket.resume();
    await client.waitFor(`{"sluice.gap":{"dropped":${dropped}}}\n`);
    void stream.send('after');
    await settles(stream.end());
    await until(() => parseChunked(client.received).complete);
    const records = parse(parseChunked(client.received).chunks.join(''));
    expect(records.slice(-2)).toEqual([{ 'sluice.gap': { dropped } }, 'after']);
  });
});

describe.each([bare, h2c])('awaited records over $name', (carrier) => {
  it.each(['close', 'drop'] as const)(
    'all arrive at a client that reads slowly, by %s, with a budget of nothing',
    async (overflow) => {
      const running = await serve(
        carrier,
        ndjson<Row>(
          async (stream) => {
            await stream.pipe(Array.from({ length: 60 }, (_each, n) => row(n)));
            for (let n = 60; n < 120; n++) await stream.send(row(n));
          },
          { overflow, maxBuffered: 0 },
        ),
      );
      const reading = await running.visit();
      const readOn = readSlowly(reading);
      await until(() => reading.text.length > 100 * kb);
      readOn();
      expect(await settles(reading.over)).toBe('end');
      expect((parseNdjson(reading.text) as Exclude<Row, Gap>[]).map(({ n }) => n)).toEqual(
        Array.from({ length: 120 }, (_each, n) => n),
      );
    },
  );
});
