import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type AnyEvents,
  type CloseReason,
  type EventInput,
  type EventStream,
  type HttpRequest,
  InvalidEventError,
  InvalidOptionError,
  openEventStream,
  sse,
  type SseHandler,
  type SseOptions,
} from '../../src/index.ts';
import { bare, h2c } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { type ParsedEvent, parseEvents } from '../support/event-parser.ts';
import { type HeldConnection, holdConnection } from '../support/held-connection.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { bulk, readSlowly, sendUntil, type SlowVisit, visitSlowly, type Wire, wires } from '../support/slow-clients.ts';
import { settles, turns, until } from '../support/until.ts';

const kb = 1024;
const framing = 200;

function slow(wire: Wire, options: SseOptions): Promise<SlowVisit<EventStream>> {
  return visitSlowly<EventStream>(wire, (keep) => sse((stream) => keep(stream), options));
}

interface Held {
  readonly stream: EventStream;
  readonly client: HeldConnection;
  /** Reads on and gives the events of the body, which must have ended. */
  finish(): Promise<ParsedEvent[]>;
}

const highWaterMark = 1000;
/** An event that alone makes a client in memory lag. */
const filler: EventInput = { event: 'filler', data: 'f'.repeat(2 * highWaterMark) };

/** A stream in memory whose client reads nothing yet. */
async function held(options: SseOptions): Promise<Held> {
  const opened = deferred<EventStream>();
  const client = holdConnection((req, res) => opened.resolve(openEventStream(req, res, options)), highWaterMark);
  onTestFinished(() => client.destroy());
  return {
    stream: await settles(opened.promise),
    client,
    finish: async () => {
      client.readAll();
      await until(
        () => client.isComplete,
        () => 'the body never ended',
      );
      return parseEvents(client.body);
    },
  };
}

/** A stream in memory that has `count` events dropped. */
async function gapped(options: SseOptions, count = 3): Promise<Held & { sends: Promise<void>[] }> {
  const scene = await held({ overflow: 'drop', maxBuffered: 0, ...options });
  const sends = [scene.stream.send(filler)];
  for (let number = 0; number < count; number++)
    sends.push(scene.stream.send({ id: `dropped ${number}`, data: number }));
  expect(scene.stream.dropped).toBe(count);
  return { ...scene, sends };
}

function publishedErrors(): unknown[] {
  const errors: unknown[] = [];
  const note = (message: unknown): void => void errors.push((message as { error: unknown }).error);
  subscribe('sluice:stream:error', note);
  onTestFinished(() => void unsubscribe('sluice:stream:error', note));
  return errors;
}

const namesOf = (events: readonly ParsedEvent[]): string[] =>
  events.map(({ type, data }) => (type === 'sluice.gap' ? `${type} ${data}` : type));

describe.each(wires)('overflow drop over $name', (wire) => {
  it('drops what finds more than maxBuffered waiting, and says how many are missing where they are', async () => {
    const { stream, finish, reasons } = await slow(wire, { overflow: 'drop', maxBuffered: '256kb' });
    let most = 0;
    const send = (number: number): Promise<void> => {
      const sent = stream.send({ id: String(number), data: bulk(number) });
      most = Math.max(most, stream.bufferedBytes);
      return sent;
    };
    const { sends } = await sendUntil(() => stream.dropped >= 100, send);
    expect(most).toBeLessThan(256 * kb + bulk(0).length + framing);
    expect(most).toBeGreaterThan(256 * kb);
    const finished = finish();
    await settles(Promise.all(sends));
    await settles(stream.send({ id: String(sends.length), data: 'last' }));
    await settles(stream.end());
    let next = 0;
    let missing = 0;
    for (const { type, data, lastEventId } of parseEvents(await finished)) {
      if (type === 'sluice.gap') {
        // Without an id: who comes back asks for what is missing.
        expect(Number(lastEventId)).toBe(next - 1);
        missing += (JSON.parse(data) as { dropped: number }).dropped;
        next += (JSON.parse(data) as { dropped: number }).dropped;
      } else {
        expect(Number(lastEventId)).toBe(next);
        expect(data).toBe(next === sends.length ? 'last' : bulk(next));
        next++;
      }
    }
    expect([next, missing, reasons]).toEqual([sends.length + 1, stream.dropped, ['ended']]);
  });

  it('takes events again when there is room, with a gap before the first of them and no other', async () => {
    const { stream, reading, finish } = await slow(wire, { overflow: 'drop', maxBuffered: '256kb' });
    await sendUntil(
      () => stream.dropped > 0,
      (number) => stream.send(bulk(number)),
    );
    const before = stream.dropped;
    reading.resume();
    await until(() => stream.bufferedBytes === 0);
    void stream.send('again');
    void stream.send('and again');
    await settles(stream.end());
    const events = parseEvents(await finish());
    expect(events.slice(-3).map(({ data }) => data)).toEqual([`{"dropped":${before}}`, 'again', 'and again']);
    expect(events.filter(({ type }) => type === 'sluice.gap')).toHaveLength(1);
    expect(stream.dropped).toBe(before);
  });

  it('drops nothing of a source, however slow the client and however small the budget', async () => {
    const visit = await visitSlowly<EventStream>(wire, (keep) =>
      sse(
        async function* (stream) {
          keep(stream);
          for (let number = 0; number < 200; number++) yield bulk(number);
        },
        { overflow: 'drop', maxBuffered: 0 },
      ),
    );
    const readOn = readSlowly(visit.reading);
    await until(() => visit.reading.bytes.length > 100 * kb);
    readOn();
    const events = parseEvents(await visit.finish());
    expect([events.length, visit.stream.dropped, events.every(({ data }, number) => data === bulk(number))]).toEqual([
      200,
      0,
      true,
    ]);
  });
});

describe.each(wires)('overflow latest over $name', (wire) => {
  const keys = Array.from({ length: 10 }, (_each, index) => `key ${index}`);
  const key = (event: EventInput | string): string | undefined => (event as EventInput).event;

  it('sends of each key the newest to a client that lags, in the order in which they were sent', async () => {
    const { stream, finish, reasons } = await slow(wire, { overflow: 'latest', key, maxBuffered: '256kb' });
    let most = 0;
    const send = (number: number): Promise<void> => {
      const sent = stream.send({ id: String(number), event: keys[number % keys.length]!, data: bulk(number) });
      most = Math.max(most, stream.bufferedBytes);
      return sent;
    };
    const { sends } = await sendUntil(() => stream.dropped >= 500, send);
    expect(most).toBeLessThan(256 * kb);
    const finished = finish();
    await settles(Promise.all(sends));
    await settles(stream.end());
    const events = parseEvents(await finished);
    const numbers = events.map(({ lastEventId }) => Number(lastEventId));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(numbers.slice(-keys.length)).toEqual(keys.map((_each, index) => sends.length - keys.length + index));
    expect(
      events.every(
        ({ type, data }, index) => type === keys[numbers[index]! % keys.length] && data === bulk(numbers[index]!),
      ),
    ).toBe(true);
    expect([events.length + stream.dropped, reasons]).toEqual([sends.length, ['ended']]);
  });

  it('closes a client for which the newest of all keys are more than maxBuffered', async () => {
    const { stream, reading, reasons } = await slow(wire, { overflow: 'latest', key, maxBuffered: '256kb' });
    let most = 0;
    const { sends } = await sendUntil(
      () => stream.state === 'closed',
      (number) => {
        const sent = stream.send({ event: `key ${number}`, data: bulk(number) });
        most = Math.max(most, stream.bufferedBytes);
        return sent;
      },
    );
    expect(most).toBeLessThan(256 * kb + bulk(0).length + framing);
    expect([reasons, stream.dropped]).toEqual([['slow-consumer'], 0]);
    await expect(sends.at(-1)).rejects.toMatchObject({ code: 'ERR_SLUICE_STREAM_CLOSED', reason: 'slow-consumer' });
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('closes a client for which events without a key are more than maxBuffered, and drops none of them before', async () => {
    const { stream, reasons } = await slow(wire, { overflow: 'latest', key: () => undefined, maxBuffered: '256kb' });
    await sendUntil(
      () => stream.state === 'closed',
      (number) => stream.send(bulk(number)),
    );
    expect([reasons, stream.dropped]).toEqual([['slow-consumer'], 0]);
  });
});

describe('a connection over which a client does not read', () => {
  it('gets its gap on the wire as an event like any other', async () => {
    const kept = deferred<EventStream>();
    const running = await serve(
      bare,
      sse((stream) => kept.resolve(stream), { overflow: 'drop', maxBuffered: '256kb' }),
    );
    const client = await running.dial();
    client.socket.pause();
    client.send(getRequest());
    const stream = await settles(kept.promise);
    await sendUntil(
      () => stream.dropped > 0,
      (number) => stream.send(bulk(number)),
    );
    const { dropped } = stream;
    client.socket.resume();
    const body = (): string => parseChunked(client.received).chunks.join('');
    await client.waitFor('sluice.gap');
    await until(() => body().endsWith(`\n\nevent: sluice.gap\ndata: {"dropped":${dropped}}\n\n`));
    void stream.send({ id: '7', data: 'after' });
    await settles(stream.end());
    await until(() => parseChunked(client.received).complete);
    expect(body()).toMatch(/data: \{"dropped":\d+\}\n\nid: 7\ndata: after\n\n$/);
  });
});

describe('a gap', () => {
  it('is sent as soon as the client has caught up, though nothing else is', async () => {
    const { stream, client, sends } = await gapped({});
    client.readAll();
    await until(() => client.body.includes('sluice.gap'));
    expect(namesOf(parseEvents(client.body))).toEqual(['filler', 'sluice.gap {"dropped":3}']);
    await settles(Promise.all(sends));
    await turns();
    expect([stream.bufferedBytes, stream.dropped, stream.state]).toEqual([0, 3, 'open']);
  });

  it.each<[string, (stream: EventStream) => Promise<void>, string]>([
    ['end', (stream) => stream.end(), ''],
    ['stop', (stream) => stream.stop(), 'id: sluice.stop\n\n'],
    ['reconnect', (stream) => stream.reconnect({ retry: 77 }), 'retry: 77\n'],
  ])('goes out before %s', async (_way, close, last) => {
    const { stream, client } = await gapped({});
    const closed = close(stream);
    client.readAll();
    await settles(closed);
    expect(client.body.endsWith(`\n\nevent: sluice.gap\ndata: {"dropped":3}\n\n${last}`)).toBe(true);
  });

  it('goes out before the close when a handler fails', async () => {
    const onError = vi.fn();
    const client = holdConnection(
      sse(
        async (stream) => {
          void stream.send(filler);
          void stream.send('dropped');
          throw new Error('failed');
        },
        { overflow: 'drop', maxBuffered: 0, onError },
      ),
      highWaterMark,
    );
    await until(() => onError.mock.calls.length > 0);
    client.readAll();
    await until(() => client.body.includes('sluice.gap'));
    expect(namesOf(parseEvents(client.body))).toEqual(['filler', 'sluice.gap {"dropped":1}']);
    expect(client.isComplete).toBe(false);
  });

  it('is counted anew after each', async () => {
    const { stream, client, finish } = await gapped({}, 2);
    client.readAll();
    await until(() => stream.bufferedBytes === 0);
    const again = [filler, 'x', 'y', 'z', 'q'].map((event) => stream.send(event));
    const closed = stream.end();
    expect(namesOf(await finish())).toEqual([
      'filler',
      'sluice.gap {"dropped":2}',
      'filler',
      'sluice.gap {"dropped":4}',
    ]);
    await settles(Promise.all([closed, ...again]));
    expect(stream.dropped).toBe(6);
  });

  it('can be an event of the application', async () => {
    const gap = vi.fn((dropped: number): EventInput => ({ event: 'missed', id: 'g', data: { dropped } }));
    const { stream, finish } = await gapped({ gap });
    void stream.end();
    expect((await finish()).slice(1)).toEqual([{ type: 'missed', data: '{"dropped":3}', lastEventId: 'g' }]);
    expect(gap.mock.calls).toEqual([[3]]);
  });

  it('can be left out', async () => {
    const { stream, finish } = await gapped({ gap: () => undefined });
    void stream.send('dropped as well');
    void stream.end();
    expect(namesOf(await finish())).toEqual(['filler']);
    expect(stream.dropped).toBe(4);
  });

  it.each<[string, () => EventInput, unknown]>([
    [
      'that cannot be made',
      () => {
        throw new RangeError('mine');
      },
      expect.any(RangeError),
    ],
    ['that cannot be framed', () => ({ event: 'two\nlines' }), expect.any(InvalidEventError)],
  ])('%s is reported, and the default stands there', async (_what, gap, error) => {
    const errors = publishedErrors();
    const onError = vi.fn();
    const { stream, finish } = await gapped({ gap, onError });
    void stream.end();
    expect(namesOf(await finish())).toEqual(['filler', 'sluice.gap {"dropped":3}']);
    expect(errors).toEqual([error]);
    expect(onError).toHaveBeenCalledExactlyOnceWith(error, expect.anything());
  });

  it('whose maker destroys the stream does no harm', async () => {
    const scene = await gapped({
      gap: () => {
        scene.stream.destroy();
        return 'too late';
      },
    });
    scene.client.readAll();
    await until(() => scene.stream.state === 'closed');
    await expect(settles(scene.stream.send('late'))).rejects.toMatchObject({ reason: 'ended' });
    expect(scene.stream.bufferedBytes).toBe(0);
  });

  it('whose maker ends the stream, while it ends, ends it once', async () => {
    const scene = await gapped({
      gap: () => {
        void scene.stream.end();
        return 'too late';
      },
    });
    const ended = scene.stream.stop();
    expect(namesOf(await scene.finish())).toEqual(['filler']);
    await settles(ended);
  });

  it('whose maker sends events has them before it', async () => {
    const scene = await gapped({
      gap: () => {
        void scene.stream.send('nested');
        return 'gap';
      },
    });
    scene.client.readAll();
    await until(() => scene.client.body.includes('gap'));
    await settles(scene.stream.end());
    expect(
      parseEvents(scene.client.body)
        .map(({ data }) => data)
        .slice(1),
    ).toEqual(['nested', 'gap']);
  });
});

describe('the send of an event that is dropped', () => {
  it('waits until the client has caught up', async () => {
    const { stream, client, sends } = await gapped({});
    const settled = vi.fn();
    for (const sent of sends) void sent.then(settled);
    await turns(10);
    expect(settled).not.toHaveBeenCalled();
    client.readAll();
    await settles(Promise.all(sends));
    expect(stream.state).toBe('open');
  });

  it.each<[string, (scene: Held) => unknown, CloseReason]>([
    ['the client leaves', ({ client }) => client.destroy(), 'client-closed'],
    ['the stream is destroyed', ({ stream }) => stream.destroy(), 'ended'],
  ])('rejects when %s', async (_what, happen, reason) => {
    const scene = await gapped({});
    happen(scene);
    for (const sent of scene.sends)
      await expect(settles(sent)).rejects.toMatchObject({ code: 'ERR_SLUICE_STREAM_CLOSED', reason });
  });

  it('resolves when the stream ends', async () => {
    const { stream, sends } = await gapped({});
    void stream.end();
    await settles(Promise.all(sends));
    expect(stream.state).toBe('draining');
  });

  it('rejects for an event that cannot be framed: that is not counted', async () => {
    const { stream } = await gapped({});
    await expect(settles(stream.send({ event: 'a\nb' }))).rejects.toBeInstanceOf(InvalidEventError);
    expect(stream.dropped).toBe(3);
  });
});

describe('the latest of each key', () => {
  /** Sends what fills the connection, then the events, and reads them all. */
  async function arriving(
    options: SseOptions,
    events: readonly (EventInput | string)[],
  ): Promise<{ data: string[]; dropped: number }> {
    const { stream, finish } = await held({ overflow: 'latest', ...options });
    for (const event of [filler, ...events]) void stream.send(event);
    void stream.end();
    return { data: (await finish()).slice(1).map(({ data }) => data), dropped: stream.dropped };
  }

  it('goes by the name of the event where there is no key; one without a name is a message', async () => {
    const events = [
      { event: 'a', data: 'a1' },
      'm1',
      { data: 'm2' },
      { event: 'b', data: 'b1' },
      { event: 'message', data: 'm3' },
      { event: 'a', data: 'a2' },
      { event: '', data: 'm4' },
    ];
    expect(await arriving({}, events)).toEqual({ data: ['b1', 'a2', 'm4'], dropped: 4 });
  });

  it('leaves alone what no client dispatches, and does not ask for its key', async () => {
    const key = vi.fn(() => 'one for all');
    const { stream, client, finish } = await held({ overflow: 'latest', key });
    void stream.send(filler);
    void stream.comment('first');
    void stream.send({ id: '1' });
    void stream.send({ retry: 5 });
    void stream.comment('second');
    void stream.end();
    await finish();
    expect(client.body.endsWith(':first\nid: 1\n\nretry: 5\n:second\n')).toBe(true);
    expect([stream.dropped, key.mock.calls.length]).toEqual([0, 0]);
  });

  it('keeps events whose key is undefined, at their place', async () => {
    const key = (event: EventInput | string): string | undefined =>
      typeof event === 'string' ? undefined : event.event;
    const events = ['1', { event: 'a', data: 'a1' }, '2', { event: 'a', data: 'a2' }, '3'];
    expect(await arriving({ key }, events)).toEqual({ data: ['1', '2', 'a2', '3'], dropped: 1 });
  });

  it('tells keys apart as they are, also those that look like numbers', async () => {
    const key = (event: EventInput | string): string | undefined =>
      typeof event === 'string' ? undefined : event.event;
    const events = [
      'unkeyed',
      { event: '0', data: 'zero' },
      { event: '', data: 'empty' },
      { event: '__proto__', data: 'proto' },
      { event: '0', data: 'zero again' },
    ];
    expect(await arriving({ key }, events)).toEqual({ data: ['unkeyed', 'empty', 'proto', 'zero again'], dropped: 1 });
  });

  it('is asked for only while the client lags', async () => {
    const key = vi.fn(() => 'k');
    const { stream, client } = await held({ overflow: 'latest', key });
    client.readAll();
    for (let number = 0; number < 20; number++) await settles(stream.send(String(number)));
    expect([key.mock.calls.length, stream.dropped]).toEqual([0, 0]);
  });

  it('recalls nothing that was handed to the response', async () => {
    const { stream, client, finish } = await held({ overflow: 'latest' });
    for (const data of ['1', '2', '3']) void stream.send(data);
    void stream.send({ data: '4'.repeat(highWaterMark) });
    for (const data of ['5', '6', '7']) void stream.send(data);
    expect(stream.dropped).toBe(2);
    client.readAll();
    await settles(stream.end());
    expect((await finish()).map(({ data }) => data)).toEqual(['1', '2', '3', '4'.repeat(highWaterMark), '7']);
  });

  it('is sent where it alone is larger than the budget, as often as it changes', async () => {
    const { stream, finish } = await held({ overflow: 'latest', maxBuffered: 100 });
    for (let number = 0; number < 50; number++) void stream.send({ data: String(number).repeat(5000) });
    expect([stream.state, stream.dropped]).toEqual(['open', 48]);
    void stream.end();
    expect((await finish()).map(({ data }) => data)).toEqual(['0'.repeat(5000), '49'.repeat(5000)]);
  });

  it('is closed over when others grow beyond the budget under their keys', async () => {
    const { stream } = await held({ overflow: 'latest', maxBuffered: 10_000 });
    void stream.send(filler);
    const sends = [1, 4000, 4000, 20_000, 1].map((length, index) =>
      stream.send({ event: index % 2 ? 'a' : 'b', data: 'x'.repeat(length) }),
    );
    await expect(settles(Promise.all(sends))).rejects.toMatchObject({ reason: 'slow-consumer' });
    expect([stream.state, stream.bufferedBytes]).toEqual(['closed', 0]);
  });

  it.each<[string, () => unknown, unknown]>([
    [
      'throws',
      () => {
        throw new RangeError('mine');
      },
      expect.any(RangeError),
    ],
    ['gives a number', () => 7, expect.any(InvalidOptionError)],
    ['gives an object', () => ({}), expect.any(InvalidOptionError)],
  ])('loses nothing by a key that %s: that is reported', async (_what, key, error) => {
    const errors = publishedErrors();
    const onError = vi.fn();
    const outcome = await arriving({ key: key as () => string, onError }, ['1', '2']);
    expect(outcome).toEqual({ data: ['1', '2'], dropped: 0 });
    expect(errors).toEqual([error, error]);
    expect(onError).toHaveBeenCalledTimes(2);
  });

  it('whose key destroys the stream is not sent, and no other', async () => {
    const { stream } = await held({
      overflow: 'latest',
      key: () => {
        stream.destroy();
        return 'k';
      },
    });
    void stream.send(filler);
    await expect(settles(stream.send('late'))).rejects.toMatchObject({ reason: 'ended' });
    expect(stream.bufferedBytes).toBe(0);
  });

  it('has no gap', async () => {
    expect(await arriving({}, ['1', '2', '3'])).toEqual({ data: ['3'], dropped: 2 });
  });
});

describe('overflow close', () => {
  it('is what happens without the option: nothing is dropped', async () => {
    const { stream } = await held({ maxBuffered: 5000 });
    for (let number = 0; number < 20; number++) void stream.send({ data: 'x'.repeat(900) });
    expect([stream.state, stream.dropped]).toEqual(['closed', 0]);
    expect(stream.signal.reason).toMatchObject({ code: 'ERR_SLUICE_SLOW_CONSUMER' });
  });
});

/** Where events come from that a client may have missed. */
const log = Array.from({ length: 120 }, (_each, index) => ({ id: String(index + 1), data: bulk(index + 1) }));

const replays: [string, SseHandler<AnyEvents, HttpRequest>][] = [
  [
    'a source',
    async function* (stream) {
      yield* log.slice(Number(stream.lastEventId));
      await stream.stop();
    },
  ],
  [
    'pipe',
    async (stream) => {
      await stream.pipe(log.slice(Number(stream.lastEventId)));
      await stream.stop();
    },
  ],
  [
    'awaited sends',
    async (stream) => {
      for (const event of log.slice(Number(stream.lastEventId))) await stream.send(event);
      await stream.stop();
    },
  ],
];

describe.each([bare, h2c])('a client that was closed as slow, over $name', (carrier) => {
  describe.each(replays)('and gets what it missed by %s', (_way, replay) => {
    // Below the high-water mark of any connection, below the replay, and nothing at all.
    it.each([0, '1kb', '64kb'])('gets all of it, however slowly it reads, with maxBuffered %j', async (maxBuffered) => {
      const reasons: CloseReason[] = [];
      const running = await serve(
        carrier,
        sse(
          async (stream, req) => {
            stream.onClose((reason) => reasons.push(reason));
            if (stream.lastEventId !== '') return replay(stream, req);
            await turns();
            // No sender waits: the first visit ends as a slow one.
            return sendUntil(
              () => stream.state === 'closed',
              (number) => stream.send(log[number % log.length]!),
            );
          },
          { maxBuffered },
        ),
      );
      const first = await running.visit();
      first.pause();
      await until(() => reasons.length > 0);
      expect(reasons).toEqual(['slow-consumer']);
      first.resume();
      expect(await settles(first.over)).toBe('aborted');

      const second = await running.visit({ headers: { 'last-event-id': '3' } });
      const readOn = readSlowly(second);
      await until(() => second.text.length > 100 * kb);
      readOn();
      expect(await settles(second.over)).toBe('end');
      expect(parseEvents(second.text).map(({ lastEventId, data }) => ({ id: lastEventId, data }))).toEqual(
        log.slice(3),
      );
      expect(reasons).toEqual(['slow-consumer', 'ended']);
    });
  });
});

it('a sender whose first events fill the connection without its being told to wait is not closed for the next', async () => {
  const { stream, client, finish } = await held({ maxBuffered: 0 });
  for (let number = 0; number < 3; number++) {
    // Each is below the mark and accepted at once; the end of the tick takes the connection over it.
    await settles(stream.send({ data: 'x'.repeat(highWaterMark - 100) }));
    await turns();
    if (stream.bufferedBytes > highWaterMark) break;
  }
  expect(stream.bufferedBytes).toBeGreaterThan(highWaterMark);
  const parked = stream.send('next');
  expect(stream.state).toBe('open');
  client.readAll();
  await settles(parked);
  await settles(stream.end());
  expect((await finish()).at(-1)?.data).toBe('next');
});

describe.each(wires)('a sender that awaits, over $name', (wire) => {
  it('is never closed for a slow client, and an event larger than the budget is sent', async () => {
    const huge = bulk(0).repeat(50);
    const visit = await visitSlowly<EventStream>(wire, (keep) =>
      sse(
        async (stream) => {
          keep(stream);
          for (const { id, data } of log) await stream.send({ id, data });
          await stream.send({ id: 'huge', data: huge });
          await stream.send({ id: 'after', data: 'after' });
        },
        { maxBuffered: '16kb' },
      ),
    );
    const readOn = readSlowly(visit.reading);
    await until(() => visit.reading.bytes.length > 100 * kb);
    readOn();
    const events = parseEvents(await visit.finish());
    expect(events.map(({ data }) => data)).toEqual([...log.map(({ data }) => data), huge, 'after']);
    expect(visit.reasons).toEqual(['ended']);
  });
});
