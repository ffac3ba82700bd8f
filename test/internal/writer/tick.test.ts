import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, it, onTestFinished } from 'vitest';
import { brotli, compress, type EventStream, sse } from '../../../src/index.ts';
import { atTickEnd, atTurnEnd } from '../../../src/internal/writer/tick.ts';
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

it('flushes run in one tick when the code that runs now is done, in their order; later ones in the next tick', async () => {
  const flushed: unknown[] = [];
  const note = (name: string) => ({ flushTick: () => void flushed.push(name) });
  atTickEnd(note('a'));
  atTickEnd({
    flushTick() {
      flushed.push('b');
      atTickEnd(note('d'));
    },
  });
  process.nextTick(() => flushed.push('the next tick'));
  atTickEnd(note('c'));
  expect(flushed).toEqual([]);
  await turns(1);
  expect(flushed).toEqual(['a', 'b', 'c', 'the next tick', 'd']);
});

it('flushes of a turn run after all of its ticks, in their order', async () => {
  const flushed: string[] = [];
  const note = (name: string) => ({ flushTick: () => void flushed.push(name) });
  atTurnEnd(note('a'));
  atTickEnd({
    flushTick() {
      flushed.push('the tick');
      atTurnEnd(note('b'));
    },
  });
  process.nextTick(() => process.nextTick(() => flushed.push('a later tick')));
  expect(flushed).toEqual([]);
  await until(() => flushed.includes('b'));
  expect(flushed).toEqual(['the tick', 'a later tick', 'a', 'b']);
});

for (const [coding, layers] of [
  ['identity', []],
  ['gzip', [compress()]],
  ['br', [compress({ codecs: [brotli()] })]],
] as const) {
  it(`what streams write in one tick, in ${coding}, is written in the async context of each`, async () => {
    const storage = new AsyncLocalStorage<number>();
    const streams: EventStream[] = [];
    const seen: [visitor: number, store: number | undefined][] = [];
    let visitors = 0;
    const running = await serve(
      bare,
      (_req, res, next) => {
        const visitor = visitors++;
        const { write } = res as { write: (...args: unknown[]) => boolean };
        // Below the library: it sees what the layers write, when they write it.
        res.write = (...args: unknown[]) => {
          seen.push([visitor, storage.getStore()]);
          return write.apply(res, args);
        };
        storage.run(visitor, next);
      },
      ...layers,
      sse((stream) => void streams.push(stream)),
    );
    for (let client = 0; client < 3; client++) {
      await running.visit({ headers: { 'Accept-Encoding': coding } });
      await until(() => streams.length === client + 1 && seen.length > client);
    }
    seen.length = 0;
    storage.run(-1, () => {
      for (const stream of streams) void stream.send('news');
    });
    await until(() => seen.length >= 3);
    await turns(1);
    expect(seen.filter(([visitor, store]) => visitor !== store)).toEqual([]);
    expect(new Set(seen.map(([visitor]) => visitor))).toEqual(new Set([0, 1, 2]));
  });
}

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

it('does not wait for a fake that a test puts in place of nextTick', async () => {
  const { nextTick } = process;
  onTestFinished(() => void (process.nextTick = nextTick));
  const flushed: number[] = [];
  process.nextTick = () => undefined;
  atTickEnd({ flushTick: () => void flushed.push(1) });
  process.nextTick = nextTick;
  await turns();
  atTickEnd({ flushTick: () => void flushed.push(2) });
  await turns();
  expect(flushed).toEqual([1, 2]);
});
