import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import compression from 'compression';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DeadlineExceededError, type HttpResponse, waitWritable } from '../../src/index.ts';
import { needsDrain } from '../../src/internal/http/message.ts';
import { bare, type Carrier, carriers, h2c, type Middleware } from '../support/carriers.ts';
import type { Reading } from '../support/clients.ts';
import { deferred } from '../support/deferred.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const events = ['drain', 'close', 'error', 'finish'] as const;

function listeners(res: HttpResponse): number[] {
  return events.map((event) => (res as ServerResponse).listenerCount(event));
}

interface Full {
  readonly res: ServerResponse;
  readonly reading: Reading;
  /** Listener counts with nobody waiting. */
  readonly before: number[];
}

/** A response whose client reads nothing and that wants no more. */
async function fill(carrier: Carrier, ...stack: Middleware[]): Promise<Full> {
  const opened = deferred<ServerResponse>();
  const running = await serve(carrier, ...stack, (_req, res) => opened.resolve(res as ServerResponse));
  const visit = running.visit({ headers: { 'accept-encoding': 'gzip' } });
  const res = await settles(opened.promise);
  res.flushHeaders();
  const reading = await settles(visit);
  reading.pause();
  res.write(Buffer.alloc(20_000_000));
  await turns(5);
  return { res, reading, before: listeners(res) };
}

async function rejection(promise: Promise<void>): Promise<unknown> {
  return settles(
    promise.then(
      () => 'resolved',
      (error: unknown) => error,
    ),
  );
}

describe.each(carriers)('waitWritable on $name', (carrier) => {
  it('resolves at once while there is room', async () => {
    const outcome = deferred<number[]>();
    const running = await serve(carrier, async (_req, res) => {
      const before = listeners(res);
      await waitWritable(res);
      await waitWritable(res, { deadline: Date.now() + 60_000, signal: new AbortController().signal });
      outcome.resolve(listeners(res).map((count, index) => count - before[index]!));
      res.end();
    });
    await running.visit();
    expect(await settles(outcome.promise)).toEqual([0, 0, 0, 0]);
  });

  it('waits for the client to read', async () => {
    const { res, reading, before } = await fill(carrier);
    let settled = false;
    const wait = waitWritable(res).then(() => (settled = true));
    await turns(20);
    expect(settled).toBe(false);
    reading.resume();
    await settles(wait);
    expect(listeners(res)).toEqual(before);
    // And again, after the drain.
    await settles(waitWritable(res));
    expect(listeners(res)).toEqual(before);
  });

  it('rejects when the client leaves, at once and ever after', async () => {
    const { res, reading, before } = await fill(carrier);
    const waits = [waitWritable(res), waitWritable(res), waitWritable(res)].map(rejection);
    reading.destroy();
    expect(await Promise.all(waits)).toEqual(Array(3).fill(expect.objectContaining({ reason: 'client-closed' })));
    expect(await rejection(waitWritable(res))).toMatchObject({ reason: 'client-closed' });
    expect(await rejection(waitWritable(res))).toMatchObject({ code: 'ERR_SLUICE_CLIENT_CLOSED' });
    expect(listeners(res)[0]).toBe(before[0]);
  });

  it('rejects for a response that has ended', async () => {
    const { res } = await fill(carrier);
    res.end();
    expect(await rejection(waitWritable(res))).toMatchObject({ code: 'ERR_SLUICE_STREAM_ENDED', reason: 'ended' });
  });

  it('rejects when the response ends and closes while it waits', async () => {
    const { res, reading } = await fill(carrier);
    const wait = rejection(waitWritable(res));
    res.end();
    reading.resume();
    // The last 'drain' may come before the close; never silence.
    expect(['resolved', expect.objectContaining({ reason: 'ended' })]).toContainEqual(await wait);
  });

  it('rejects with the error that the response emits', async () => {
    const { res, before } = await fill(carrier);
    const failure = new Error('socket');
    const wait = rejection(waitWritable(res));
    res.emit('error', failure);
    expect(await wait).toBe(failure);
    expect(listeners(res)).toEqual(before);
  });

  it('rejects with the reason of the signal', async () => {
    const { res, before } = await fill(carrier);
    const controller = new AbortController();
    const added: string[] = [];
    const removed: string[] = [];
    const { signal } = controller;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => (
      added.push(args[0]),
      addEventListener.apply(signal, args)
    );
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => (
      removed.push(args[0]),
      removeEventListener.apply(signal, args)
    );
    const why = new Error('enough');
    const wait = rejection(waitWritable(res, { signal }));
    controller.abort(why);
    expect(await wait).toBe(why);
    expect(await rejection(waitWritable(res, { signal }))).toBe(why);
    expect(listeners(res)).toEqual(before);
    expect([added, removed]).toEqual([['abort'], ['abort']]);
  });

  it('rejects at the deadline', async () => {
    const { res, before } = await fill(carrier);
    for (const deadline of [Date.now() + 20, new Date(Date.now() + 20), Date.now() - 1, new Date(0)]) {
      expect(await rejection(waitWritable(res, { deadline }))).toBeInstanceOf(DeadlineExceededError);
    }
    expect(listeners(res)).toEqual(before);
  });

  it('takes a deadline beyond what a timer can hold', async () => {
    const { res, reading } = await fill(carrier);
    const wait = rejection(waitWritable(res, { deadline: Date.now() + 2 ** 40 }));
    await turns(20);
    reading.resume();
    expect(await wait).toBe('resolved');
  });
});

describe('waitWritable', () => {
  const stacks: [string, Carrier, Middleware[]][] = [
    ['node:http', bare, []],
    ['node:http2', h2c, []],
    ['compression that is asleep', bare, [compression({ filter: () => false }) as unknown as Middleware]],
    [
      'compression at work',
      bare,
      [
        compression() as unknown as Middleware,
        (_req, res, next) => {
          res.setHeader('Content-Type', 'text/plain');
          next();
        },
      ],
    ],
  ];
  it.each(stacks)('leaves no listener behind after a hundred waits: %s', async (_name, carrier, stack) => {
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    const opened = deferred<ServerResponse>();
    const running = await serve(carrier, ...stack, (_req, res) => opened.resolve(res as ServerResponse));
    const visit = running.visit({ headers: { 'accept-encoding': 'gzip' } });
    const res = await settles(opened.promise);
    res.flushHeaders();
    (await visit).pause();
    // What no encoder makes smaller.
    res.write(randomBytes(20_000_000));
    await until(() => needsDrain(res));
    await turns(50);
    expect(
      await Promise.race([
        waitWritable(res)
          .catch(() => undefined)
          .then(() => 'settled'),
        turns(5).then(() => 'waits'),
      ]),
    ).toBe('waits');
    const { signal } = new AbortController();
    const before = listeners(res);
    for (let wait = 0; wait < 100; wait++) {
      const stop = new AbortController();
      const settled = rejection(waitWritable(res, { signal: stop.signal }));
      stop.abort();
      await settled;
      await rejection(waitWritable(res, { signal, deadline: Date.now() - 1 }));
    }
    await turns(5);
    expect(listeners(res).map((count, index) => count - before[index]!)).toEqual(
      _name === 'compression that is asleep' ? [expect.toBeOneOf([0, 1]), 0, 0, 0] : [0, 0, 0, 0],
    );
    expect(warnings).toEqual([]);
  });

  it('keeps nothing of a wait that is over, where `on` leads elsewhere', async () => {
    const { res } = await fill(bare, compression({ filter: () => false }) as unknown as Middleware);
    expect(Object.hasOwn(res, 'on')).toBe(true);
    for (let wait = 0; wait < 100; wait++) {
      const stop = new AbortController();
      const settled = rejection(waitWritable(res, { signal: stop.signal }));
      stop.abort(new Error('enough'));
      await settled;
    }
    // Each that was kept would be undone again.
    const off = vi.spyOn(res, 'off');
    res.emit('drain');
    expect(off).not.toHaveBeenCalled();
  });

  it('serves many waits of one response with one drain', async () => {
    const { res, reading, before } = await fill(bare);
    const waits = Array.from({ length: 9 }, () => waitWritable(res));
    reading.resume();
    await settles(Promise.all(waits));
    expect(listeners(res)).toEqual(before);
  });
});
