import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it, onTestFinished } from 'vitest';
import { type EventStream, sse } from '../../../src/index.ts';
import { atTickEnd } from '../../../src/internal/writer/tick.ts';
import { bare } from '../../support/carriers.ts';
import type { Reading } from '../../support/clients.ts';
import { serve } from '../../support/serve.ts';
import { settles, turns, until } from '../../support/until.ts';

/** What would end the process, in place of the listeners that make the test run fail for it. */
function catchUncaught(): unknown[] {
  const listeners = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
  const caught: unknown[] = [];
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => void caught.push(error));
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  return caught;
}

it('a flush that throws takes no other flush of its tick with it', async () => {
  const caught = catchUncaught();
  const failure = new Error('flush');
  const flushed: number[] = [];
  for (let number = 0; number < 4; number++)
    atTickEnd({
      flushTick: () => {
        flushed.push(number);
        if (number % 2 === 1) throw failure;
      },
    });
  await turns(2);
  expect([flushed, caught]).toEqual([
    [0, 1, 2, 3],
    [failure, failure],
  ]);
});

it('flushes run when the code that runs now is done, in their order, each in its own async context', async () => {
  const storage = new AsyncLocalStorage<string>();
  const flushed: unknown[] = [];
  for (const name of ['a', 'b', 'c'])
    storage.run(name, () => atTickEnd({ flushTick: () => flushed.push([name, storage.getStore()]) }));
  process.nextTick(() => flushed.push('the next tick'));
  expect(flushed).toEqual([]);
  await turns(1);
  expect(flushed).toEqual([['a', 'a'], ['b', 'b'], ['c', 'c'], 'the next tick']);
});

it('a stream whose response throws closes alone: the other streams of its tick get their event', async () => {
  const caught = catchUncaught();
  const failure = new Error('write');
  const streams: EventStream[] = [];
  const failed: unknown[] = [];
  const running = await serve(
    bare,
    (_req, res, next) => {
      if (streams.length === 1) {
        const { write } = res as { write: (...args: unknown[]) => boolean };
        res.write = (...args: unknown[]) => {
          if (String(args[0]).includes('news')) throw failure;
          return write.apply(res, args);
        };
      }
      next();
    },
    sse((stream) => void streams.push(stream), { onError: (error) => failed.push(error) }),
  );
  const readings: Reading[] = [];
  for (let client = 0; client < 3; client++) {
    const reading = await running.visit();
    await until(() => reading.text === ':ok\n');
    readings.push(reading);
  }
  for (const stream of streams) void stream.send('news');
  expect(await settles(readings[1]!.over)).toBe('aborted');
  await until(() => readings[0]!.text.includes('news') && readings[2]!.text.includes('news'));
  expect(streams.map(({ state }) => state)).toEqual(['open', 'closed', 'open']);
  expect([failed, caught]).toEqual([[failure], []]);
});
