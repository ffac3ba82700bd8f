import { describe, expect, it } from 'vitest';
import {
  type CloseReason,
  type EventStream,
  SlowConsumerError,
  sse,
  type SseHandler,
  type SseOptions,
} from '../../src/index.ts';
import { bare, type Carrier, h2c } from '../support/carriers.ts';
import { deferred } from '../support/deferred.ts';
import { serve, type Served } from '../support/serve.ts';
import { parked, settles, turns, until } from '../support/until.ts';

const event = 'x'.repeat(50_000);
const megabyte = 2 ** 20;

interface Case {
  readonly running: Served;
  readonly stream: EventStream;
  readonly reasons: CloseReason[];
  readonly reading: Awaited<ReturnType<Served['visit']>>;
}

/** A stream whose client has stopped reading. */
async function stalled(carrier: Carrier, options?: SseOptions): Promise<Case> {
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
  reading.pause();
  return { running, stream: await settles(kept.promise), reasons, reading };
}

/** Sends, one after the other, until a send parks; returns how many were taken and the one that is parked. */
async function sendUntilParked(stream: EventStream): Promise<{ taken: number; parked: Promise<void> }> {
  for (let taken = 0; taken < 100_000; taken++) {
    const sent = stream.send(event);
    let settled = false;
    void sent.then(
      () => (settled = true),
      () => (settled = true),
    );
    const end = Date.now() + 400;
    // A process that stood still all that time has still its turns to take.
    for (let turn = 0; !settled && (Date.now() < end || turn < 200); turn++) await turns(1);
    if (!settled) return { taken, parked: sent };
  }
  throw new Error('no send ever parked');
}

describe.each([bare, h2c])('back-pressure on $name', (carrier) => {
  it('parks an awaited send while the client does not read, and goes on when it does', async () => {
    const { stream, reading, reasons } = await stalled(carrier);
    const { taken, parked } = await sendUntilParked(stream);
    expect(stream.bufferedBytes).toBeGreaterThan(0);
    // One event above what the connection holds back: the bound that an awaiting sender never reaches.
    expect(stream.bufferedBytes).toBeLessThan(2 * megabyte);
    reading.resume();
    await settles(parked);
    await settles(stream.send('last'));
    await settles(stream.end());
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text.length).toBe(
      ':ok\n'.length + (taken + 1) * (event.length + 'data: \n\n'.length) + 'data: last\n\n'.length,
    );
    expect(reasons).toEqual(['ended']);
  });

  it('closes a client that does not read when nobody awaits, with no more than maxBuffered and an event queued', async () => {
    const { stream, reasons, reading } = await stalled(carrier, { maxBuffered: '256kb' });
    let most = 0;
    await until(() => {
      for (let burst = 0; burst < 20 && stream.state === 'open'; burst++) {
        void stream.send(event);
        most = Math.max(most, stream.bufferedBytes);
      }
      return stream.state === 'closed';
    });
    // One event may stand on top of the bound, and its framing.
    expect(most).toBeLessThanOrEqual(256 * 1024 + event.length + 100);
    expect(most).toBeGreaterThan(256 * 1024);
    expect([reasons, stream.bufferedBytes]).toEqual([['slow-consumer'], 0]);
    expect(stream.signal.reason).toBeInstanceOf(SlowConsumerError);
    await expect(stream.send('late')).rejects.toMatchObject({ reason: 'slow-consumer' });
    reading.resume();
    expect(await settles(reading.over)).toBe('aborted');
  });

  it('never closes a client that does not read with maxBuffered Infinity', async () => {
    const { stream, reasons } = await stalled(carrier, { maxBuffered: Infinity });
    for (let sent = 0; sent < 400; sent++) {
      void stream.send(event);
      if (sent % 50 === 0) await turns(1);
    }
    expect([stream.state, reasons]).toEqual(['open', []]);
    expect(stream.bufferedBytes).toBeGreaterThan(megabyte);
  });

  it('lets one event of 10 MB through to a client that reads', async () => {
    const huge = 'h'.repeat(10_000_000);
    const running = await serve(
      carrier,
      sse(async (stream) => {
        await stream.send(huge);
        await stream.send('after');
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text).toBe(`:ok\ndata: ${huge}\n\ndata: after\n\n`);
  });

  it('lets un-awaited bursts through to a client that reads', async () => {
    const running = await serve(
      carrier,
      sse(async (stream) => {
        for (let burst = 0; burst < 10; burst++) {
          for (let sent = 0; sent < 8; sent++) void stream.send(event);
          await stream.send('pause');
        }
      }),
    );
    const reading = await running.visit();
    expect(await settles(reading.over)).toBe('end');
    expect(reading.text.split('data: x').length - 1).toBe(80);
  });

  it('settles a parked send when the client leaves', async () => {
    const { stream, reading } = await stalled(carrier);
    const { parked } = await sendUntilParked(stream);
    reading.destroy();
    await expect(settles(parked)).rejects.toMatchObject({ code: 'ERR_SLUICE_STREAM_CLOSED', reason: 'client-closed' });
  });

  it('settles a parked send when the stream is destroyed', async () => {
    const { stream } = await stalled(carrier);
    const { parked } = await sendUntilParked(stream);
    stream.destroy();
    await expect(settles(parked)).rejects.toMatchObject({ reason: 'ended' });
  });

  it('settles a parked send when the stream ends and the client reads on', async () => {
    const { stream, reading } = await stalled(carrier);
    const { parked } = await sendUntilParked(stream);
    const ended = stream.end();
    reading.resume();
    await settles(parked.catch(() => undefined));
    await settles(ended);
    expect(await settles(reading.over)).toBe('end');
  });

  it.each([true, false])('keeps nobody else waiting for a source that is always ready, read %j', async (reads) => {
    const cleaned = deferred();
    const endless: SseHandler = function* () {
      try {
        for (;;) yield 'tick';
      } finally {
        cleaned.resolve();
      }
    };
    const stream = sse(endless);
    const running = await serve(carrier, (req, res, next) =>
      req.url === '/other' ? void res.end('other') : stream(req, res, next),
    );
    const reading = await running.visit();
    if (!reads) reading.pause();
    for (let visit = 0; visit < 3; visit++) {
      const other = await settles(running.visit({ path: '/other' }));
      expect(await settles(other.over)).toBe('end');
      expect(other.text).toBe('other');
    }
    reading.destroy();
    await settles(cleaned.promise);
  });
});

describe('a slow client', () => {
  it('gets every event in order, as it reads', async () => {
    const running = await serve(
      bare,
      sse(function* () {
        for (let index = 0; index < 400; index++) yield { id: String(index), data: event };
      }),
    );
    const client = await running.dial();
    client.socket.pause();
    client.send('GET / HTTP/1.0\r\nHost: x\r\n\r\n');
    let slow = true;
    const reader = setInterval(() => {
      client.socket.resume();
      // One that is still due when the client stops being slow must not pause it for good.
      setImmediate(() => {
        if (slow) client.socket.pause();
      });
    }, 1);
    try {
      await until(() => client.received.includes('id: 60\n'));
    } finally {
      slow = false;
      clearInterval(reader);
      client.socket.resume();
    }
    await settles(client.closed);
    expect([...client.received.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]))).toEqual(
      Array.from({ length: 400 }, (_, index) => index),
    );
    expect(client.received.length).toBeGreaterThan(400 * event.length);
  });

  it('holds no more of a generator than what is on its way', async () => {
    let produced = 0;
    const running = await serve(
      bare,
      sse(function* () {
        for (;;) {
          produced++;
          yield event;
        }
      }),
    );
    const reading = await running.visit();
    reading.pause();
    const before = await parked(() => produced, 10);
    await turns(20);
    expect(produced - before).toBeLessThanOrEqual(2);
  });
});
