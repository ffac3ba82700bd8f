import { describe, expect, it, vi } from 'vitest';
import {
  type CloseReason,
  DrainingError,
  type EventStream,
  sse,
  type SseOptions,
  StreamEndedError,
  StreamFailedError,
} from '../../src/index.ts';
import { bare, type Carrier, carriers, h2c } from '../support/carriers.ts';
import type { Reading } from '../support/clients.ts';
import { deferred } from '../support/deferred.ts';
import { EventParser } from '../support/event-parser.ts';
import { useRandom } from '../support/random.ts';
import { getRequest, parseChunked } from '../support/raw.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

interface Opened {
  readonly stream: EventStream;
  readonly reading: Reading;
  readonly reasons: CloseReason[];
}

async function openOn(carrier: Carrier, options?: SseOptions): Promise<Opened> {
  const kept = deferred<EventStream>();
  const reasons: CloseReason[] = [];
  const running = await serve(
    carrier,
    sse((stream) => {
      stream.onClose((reason) => reasons.push(reason));
      kept.resolve(stream);
    }, options),
  );
  const reading = await running.visit();
  return { stream: await settles(kept.promise), reading, reasons };
}

interface Way {
  readonly name: string;
  readonly close: (stream: EventStream) => Promise<void> | void;
  readonly last: string;
  readonly over: 'end' | 'aborted';
  readonly reason: CloseReason;
  readonly error: new () => Error;
  /** The state right after the call. */
  readonly next: EventStream['state'];
}

const ways: readonly Way[] = [
  {
    name: 'end',
    close: (stream) => stream.end(),
    last: '',
    over: 'end',
    reason: 'ended',
    error: StreamEndedError,
    next: 'draining',
  },
  {
    name: 'stop',
    close: (stream) => stream.stop(),
    last: 'id: sluice.stop\n\n',
    over: 'end',
    reason: 'ended',
    error: StreamEndedError,
    next: 'draining',
  },
  {
    name: 'reconnect',
    close: (stream) => stream.reconnect({ retry: 250 }),
    last: 'retry: 250\n',
    over: 'aborted',
    reason: 'draining',
    error: DrainingError,
    next: 'draining',
  },
];

describe.each(carriers)('closing on $name', (carrier) => {
  it.each(ways)(
    '$name delivers what was accepted, then its own bytes',
    async ({ close, last, over, reason, error, next }) => {
      const { stream, reading, reasons } = await openOn(carrier);
      expect(stream.state).toBe('open');
      const states: string[] = [];
      stream.onClose(() => states.push(stream.state));
      void stream.send('x'.repeat(100_000));
      void stream.send('accepted');
      const closed = close(stream);
      expect(stream.state).toBe(next);
      expect(stream.signal.aborted).toBe(false);
      await expect(stream.send('refused')).rejects.toMatchObject({ code: 'ERR_SLUICE_STREAM_CLOSED', reason });
      await settles(Promise.resolve(closed));
      expect(await settles(reading.over)).toBe(over);
      expect(reading.text).toBe(`:ok\ndata: ${'x'.repeat(100_000)}\n\ndata: accepted\n\n${last}`);
      expect([stream.state, states, reasons, stream.bufferedBytes]).toEqual(['closed', ['closed'], [reason], 0]);
      expect(stream.signal.reason).toBeInstanceOf(error);
      expect(stream.signal.reason).toMatchObject({ reason });
    },
  );

  it.each([undefined, new Error('broken')])('destroy(%s) cuts the connection at once', async (error) => {
    const { stream, reading, reasons } = await openOn(carrier);
    await until(() => reading.text !== '');
    void stream.send('dropped');
    stream.destroy(error);
    expect([stream.state, reasons]).toEqual(['closed', [error ? 'error' : 'ended']]);
    expect(stream.signal.reason).toBeInstanceOf(error ? StreamFailedError : StreamEndedError);
    expect((stream.signal.reason as Error).cause).toBe(error);
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text).toBe(':ok\n');
  });

  it('works before the head is sent', async () => {
    for (const { close, over, last } of ways) {
      const running = await serve(
        carrier,
        sse((stream) => void close(stream)),
      );
      const reading = await running.visit();
      expect(await settles(reading.over)).toBe(over);
      expect(reading.text).toBe(`:ok\n${last}`);
    }
  });
});

describe('closing', () => {
  const verbs: Record<string, (stream: EventStream) => Promise<void> | void> = {
    end: (stream) => stream.end(),
    stop: (stream) => stream.stop(),
    reconnect: (stream) => stream.reconnect({ retry: 250 }),
    destroy: (stream) => stream.destroy(),
  };
  const pairs = Object.keys(verbs).flatMap((first) => Object.keys(verbs).map((second) => [first, second] as const));

  it.each(pairs)('%s and then %s is one close, with the reason of the first that finishes', async (first, second) => {
    const { stream, reading, reasons } = await openOn(bare);
    await until(() => reading.text !== '');
    const calls = [verbs[first]!, verbs[second]!, verbs[first]!].map(async (verb) => verb(stream));
    await settles(Promise.all(calls));
    const over = await settles(reading.over);
    const destroyed = first === 'destroy' || second === 'destroy';
    expect(reasons).toEqual([destroyed || first !== 'reconnect' ? 'ended' : 'draining']);
    const last = { end: '', stop: 'id: sluice.stop\n\n', reconnect: 'retry: 250\n', destroy: '' }[first];
    if (!destroyed) {
      expect([over, reading.text]).toEqual([first === 'reconnect' ? 'aborted' : 'end', `:ok\n${last}`]);
    } else if (first === 'destroy' || first === 'reconnect') {
      // After `end` and `stop` the last chunk may be with the kernel already.
      expect(over).toBe('aborted');
    }
    // And once more when it is closed.
    await settles(Promise.all([verbs[first]!, verbs[second]!].map(async (verb) => verb(stream))));
    expect(reasons).toHaveLength(1);
  });

  it('ends with a terminating chunk and reconnects without one', async () => {
    const running = await serve(
      bare,
      sse((stream, req) => void (req.url === '/end' ? stream.end() : stream.reconnect({ retry: 1 }))),
    );
    for (const path of ['/end', '/reconnect']) {
      const client = await running.dial();
      client.send(getRequest(path, { Connection: 'close' }));
      expect(await settles(client.closed)).toBe('end');
      expect(parseChunked(client.received).complete).toBe(path === '/end');
    }
  });

  it('hands everything over to a slow client before it reconnects', async () => {
    const { stream, reading } = await openOn(bare, { maxBuffered: '64mb' });
    reading.pause();
    const text = 'y'.repeat(10_000_000);
    void stream.send(text);
    const closed = stream.reconnect({ retry: 9 });
    await turns(5);
    expect(stream.state).toBe('draining');
    reading.resume();
    await settles(closed);
    expect(await settles(reading.over)).toBe('aborted');
    expect(reading.text.length).toBe(`:ok\ndata: ${text}\n\nretry: 9\n`.length);
    expect(reading.text.endsWith('retry: 9\n')).toBe(true);
  });

  it.each([bare, h2c])('cuts a client that does not take the rest within closeTimeout: $name', async (carrier) => {
    const { stream, reading, reasons } = await openOn(carrier, { maxBuffered: '64mb', closeTimeout: 20 });
    reading.pause();
    void stream.send('z'.repeat(30_000_000));
    await settles(stream.reconnect({ retry: 9 }));
    expect([stream.state, reasons]).toEqual(['closed', ['draining']]);
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('spreads the retry hint of reconnect around reconnectDelay', async () => {
    const draws: [random: number, delay: string | undefined, retry: number][] = [
      [0, undefined, 1000],
      [0.5, undefined, 2000],
      [0.999999, undefined, 3000],
      [0, '10s', 5000],
      [0.25, '10s', 7500],
      [0, 1 as unknown as string, 1],
    ];
    for (const [random, reconnectDelay, retry] of draws) {
      useRandom(() => random);
      const { stream, reading } = await openOn(bare, reconnectDelay === undefined ? {} : { reconnectDelay });
      await settles(stream.reconnect());
      await settles(reading.over);
      expect(new EventParser().push(Buffer.from(reading.text)).retries).toEqual([retry]);
    }
  });

  it('draws a new hint for each stream', async () => {
    const values = [0, 1];
    useRandom(() => values.shift()!);
    const running = await serve(
      bare,
      sse((stream) => stream.reconnect()),
    );
    const texts: string[] = [];
    for (let visit = 0; visit < 2; visit++) {
      const reading = await running.visit();
      await settles(reading.over);
      texts.push(reading.text);
    }
    expect(texts).toEqual([':ok\nretry: 1000\n', ':ok\nretry: 3000\n']);
  });

  it.each([0, -1, 1.5, NaN, Infinity, '5', null])(
    'refuses reconnect({ retry: %s }) and leaves the stream as it was',
    async (retry) => {
      const { stream, reading } = await openOn(bare);
      await until(() => reading.text !== '');
      await expect(stream.reconnect({ retry: retry as number })).rejects.toMatchObject({
        code: 'ERR_SLUICE_OPTION_INVALID',
        option: 'reconnect.retry',
      });
      expect([stream.state, stream.signal.aborted]).toEqual(['open', false]);
      await stream.send('still here');
      await until(() => reading.text === ':ok\ndata: still here\n\n');
    },
  );

  it('moves the id that a stopped client comes back with', async () => {
    const running = await serve(
      bare,
      sse(async (stream) => {
        await stream.send({ id: '41', data: 'x' });
        await stream.stop();
      }),
    );
    const first = await running.visit();
    await settles(first.over);
    const parser = new EventParser().push(Buffer.from(first.text));
    expect(parser.events).toHaveLength(1);
    const again = await running.visit({ headers: { 'last-event-id': parser.lastEventId } });
    expect(again.status).toBe(204);
  });
});

describe('onClose', () => {
  it('calls each registration once, and none whose undo was called', async () => {
    const { stream } = await openOn(bare);
    const listener = vi.fn();
    const undone = vi.fn();
    stream.onClose(listener);
    const undoSecond = stream.onClose(listener);
    const undo = stream.onClose(undone);
    undo();
    undo();
    undoSecond();
    await stream.end();
    expect(listener).toHaveBeenCalledExactlyOnceWith('ended');
    expect(undone).not.toHaveBeenCalled();
  });

  it('calls a listener of a closed stream soon, but not at once', async () => {
    const { stream } = await openOn(bare);
    stream.destroy();
    const listener = vi.fn();
    const undo = stream.onClose(listener);
    expect(listener).not.toHaveBeenCalled();
    await turns();
    expect(listener).toHaveBeenCalledExactlyOnceWith('ended');
    undo();
  });

  it('can be undone by another listener while the stream closes', async () => {
    const { stream } = await openOn(bare);
    const listener = vi.fn();
    stream.onClose(() => undo());
    const undo = stream.onClose(listener);
    stream.destroy();
    await turns();
    expect(listener).not.toHaveBeenCalled();
  });
});

describe('the signal', () => {
  it('is one object, also when it is first asked for after the close', async () => {
    const { stream } = await openOn(bare);
    await stream.end();
    expect(stream.signal).toBe(stream.signal);
    expect(stream.signal.reason).toBeInstanceOf(StreamEndedError);
  });

  it('aborts when the stream is over, and not while it drains', async () => {
    const { stream, reading } = await openOn(bare, { maxBuffered: '64mb' });
    reading.pause();
    void stream.send('y'.repeat(20_000_000));
    const closed = stream.end();
    await turns(5);
    expect([stream.state, stream.signal.aborted]).toEqual(['draining', false]);
    reading.resume();
    await settles(closed);
    expect(stream.signal.aborted).toBe(true);
  });

  it('tells that a client left in the middle of the end', async () => {
    const { stream, reading, reasons } = await openOn(bare, { maxBuffered: '64mb' });
    reading.pause();
    void stream.send('y'.repeat(20_000_000));
    const closed = stream.reconnect({ retry: 5 });
    reading.destroy();
    await settles(closed);
    expect([stream.state, reasons]).toEqual(['closed', ['draining']]);
  });
});

it('an id is of one stream alone', async () => {
  const { stream: one } = await openOn(bare);
  const { stream: two } = await openOn(bare);
  expect(one.id).toMatch(/^[0-9a-f-]{36}$/);
  expect(one.id).toBe(one.id);
  expect(two.id).not.toBe(one.id);
});
