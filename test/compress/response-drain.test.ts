import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { needsDrain } from '../../src/internal/http/message.ts';
import { listen, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded, type Protocol } from '../support/coded-clients.ts';
import { both, type FlushingResponse, streamed } from '../support/compress-responses.ts';
import { type CompressSite, useSite } from '../support/compress-site.ts';
import { codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { attend } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

/** A client that does not read until it is told to. */
async function stalled(
  site: CompressSite,
  protocol: Protocol,
  coding: string,
  handler: Middleware,
): Promise<CodedReading> {
  const reading = await site.visit(
    (req, res, next) => {
      // The head, so that there is a client to pause.
      (res as FlushingResponse).flush();
      return handler(req, res, next);
    },
    protocol,
    { accept: coding },
  );
  reading.pause();
  return reading;
}

const listenings = ['on', 'once', 'prependListener', 'prependOnceListener', 'addListener'] as const;

/**
 * Resolves with `false` when it does not drain for a while, and what it holds stays the same: the client reads nothing.
 * Looks now and then, so that a process that stands still for a moment is not taken for that.
 */
async function drains(res: FlushingResponse, looks: number): Promise<boolean> {
  const drained = once(res, 'drain').then(() => true);
  let before = -1;
  for (let same = 0; same < looks;) {
    // And the turns in which what came meanwhile is dealt with.
    const look = new Promise((resolve) => setTimeout(resolve, 10)).then(() => turns(2)).then(() => false);
    if (await Promise.race([drained, look])) return true;
    same = res.writableLength === before ? same + 1 : 0;
    before = res.writableLength;
  }
  return false;
}

/** Writes until nothing is taken any more, then once it is again, to the end. Resolves with all text. */
async function fillAndDrain(res: FlushingResponse, onFull: () => void): Promise<string> {
  const pieces: string[] = [];
  const write = (): boolean => {
    // Small ones first, to be full by many; then to be done with the buffers of the kernel.
    pieces.push(noise(pieces.length < 60 ? 8000 : 60_000, pieces.length));
    return res.write(pieces.at(-1)!);
  };
  const log: string[] = [];
  const listen = (each: (typeof listenings)[number]): unknown => res[each]('drain', () => log.push(each));
  const expectFull = (): void =>
    expect({ needDrain: needsDrain(res), holds: res.writableLength > 0, drains: log }).toEqual({
      needDrain: true,
      holds: true,
      drains: [],
    });
  const expectDrained = (): void =>
    expect({ needDrain: needsDrain(res), drains: log.toSorted() }).toEqual({
      needDrain: false,
      drains: listenings.toSorted(),
    });

  res.flush();
  expect(needsDrain(res)).toBe(false);
  expect(res.writableHighWaterMark).toBeGreaterThanOrEqual(16_384);
  for (const each of listenings) listen(each);
  const removed = (): void => void log.push('removed');
  res.on('drain', removed);
  res.off('drain', removed);
  // For the client to stop reading.
  await new Promise((resolve) => setTimeout(resolve, 30));
  for (;;) {
    while (write()) await turns(1);
    expectFull();
    if (!(await drains(res, 5))) break;
    expectDrained();
    log.length = 0;
    for (const each of ['once', 'prependOnceListener'] as const) listen(each);
  }
  expectFull();
  onFull();
  await once(res, 'drain');
  expectDrained();
  pieces.push('the end');
  res.end('the end');
  return pieces.join('');
}

describe.each(both)('with a client that does not read, over %s', (protocol, carrier) => {
  const site = useSite(carrier, { threshold: 0, level: 1, idleFlush: 5 });

  describe.each(streamed)('$name', ({ type }) => {
    it.each(codings)(
      'of %s tells the truth about its buffers, and drains once for each time that it was full',
      async (coding) => {
        const full = deferred();
        const done = deferred();
        let written = '';
        const reading = await site.visit(
          (_req, response) => {
            const res = response as FlushingResponse;
            res.setHeader('Content-Type', type);
            fillAndDrain(res, full.resolve).then((text) => {
              written = text;
              done.resolve();
            }, done.reject);
          },
          protocol,
          { accept: coding },
        );
        reading.pause();
        await settles(Promise.race([full.promise, done.promise]));
        await turns();
        reading.resume();
        await settles(done.promise);
        expect(await settles(reading.over)).toBe('end');
        expect(reading.decode() === written).toBe(true);
      },
    );

    it.each(codings)(
      'of %s never lets a handler wait that asks writableNeedDrain, and nothing else',
      async (coding) => {
        const done = deferred<string>();
        async function answer(res: FlushingResponse): Promise<string> {
          res.setHeader('Content-Type', type);
          let written = '';
          for (let index = 0; index < 150; index++) {
            // Meanwhile the encoder goes on by itself.
            await turns(index % 4);
            if (needsDrain(res)) await once(res, 'drain');
            const text = noise(4000 + 300 * (index % 50), index);
            written += text;
            res.write(text);
          }
          res.end();
          return written;
        }
        const reading = await site.visit(
          (_req, res) => void answer(res as FlushingResponse).then(done.resolve, done.reject),
          protocol,
          { accept: coding },
        );
        let over = false;
        void reading.over.then(() => (over = true));
        for (let times = 0; !over && times < 1000; times++) {
          reading.pause();
          await new Promise((resolve) => setTimeout(resolve, 2));
          reading.resume();
          await turns(1);
        }
        const written = await settles(done.promise);
        expect(await settles(reading.over)).toBe('end');
        expect(reading.decode() === written).toBe(true);
      },
    );

    it.each(codings)('of %s calls a write back when its bytes are taken, not before', async (coding) => {
      const called: number[] = [];
      const full = deferred();
      let index = 0;
      const reading = await stalled(site, protocol, coding, async (_req, response) => {
        const res = response as FlushingResponse;
        for (;;) {
          const own = index++;
          if (res.write(noise(60_000, own), () => called.push(own))) {
            await turns(1);
            continue;
          }
          if (!(await drains(res, 60))) break;
        }
        full.resolve();
        res.write('last', () => called.push(index));
        res.end(() => called.push(index + 1));
      });
      await settles(full.promise);
      await new Promise((resolve) => setTimeout(resolve, 30));
      const before = called.length;
      reading.resume();
      expect(await settles(reading.over)).toBe('end');
      // Every write, and the end.
      await until(() => called.length === index + 2);
      expect(called).toEqual(Array.from(called, (_, index) => index));
      // The last, its end, and at least the one that found it full.
      expect(called.length - before).toBeGreaterThanOrEqual(3);
    });

    it.each(codings)(
      'of %s calls every write and flush back once, with an error, when the client leaves',
      async (coding) => {
        const calls = new Map<string, (string | undefined)[]>();
        const full = deferred();
        const closed = deferred();
        let made = 0;
        const reading = await stalled(site, protocol, coding, async (_req, response) => {
          const res = response as FlushingResponse;
          res.on('close', () => closed.resolve());
          const call =
            (name: string) =>
            (error?: Error | null): void =>
              void calls.set(name, [...(calls.get(name) ?? []), error?.name]);
          for (;;) {
            if (res.write(noise(60_000, made), call(`write ${made++}`))) {
              await turns(1);
              continue;
            }
            if (!(await drains(res, 60))) break;
          }
          for (let i = 0; i < 3; i++) res.write('more', call(`write ${made++}`));
          res.flush(call('flush'));
          full.resolve();
        });
        await settles(full.promise);
        reading.destroy();
        await settles(closed.promise);
        await until(
          () => calls.size === made + 1,
          () => `${calls.size} of ${made + 1} called`,
        );
        await turns();
        for (const [name, errors] of calls) expect([name, errors.length]).toEqual([name, 1]);
        // Of the last nothing can have been sent.
        expect(calls.get(`write ${made - 1}`)).toEqual([expect.any(String)]);
      },
    );
  });
});

describe('with a small high-water mark', () => {
  it.each(codings.flatMap((coding) => streamed.map((engine) => [coding, engine.name, engine] as const)))(
    '%s of %s drains whenever it was full',
    async (coding, _name, { type }) => {
      const compression = compress({ threshold: 0, level: 1, idleFlush: 5 });
      const drained = deferred();
      async function answer(res: FlushingResponse): Promise<void> {
        res.setHeader('Content-Type', type);
        let index = 0;
        for (let times = 0; times < 30; times++) {
          while (res.write(noise(700 + 400 * (index % 30), index++)));
          if (times % 3 === 0) res.flush();
          await once(res, 'drain');
        }
        drained.resolve();
        res.end();
      }
      const server = http.createServer({ highWaterMark: 1024 }, (req, res) =>
        compression(req, res, () => void answer(res as FlushingResponse)),
      );
      const running = attend(await listen(server));
      const reading = await openCoded(running, 'HTTP/1.1', { accept: coding });
      onTestFinished(() => reading.destroy());
      // As a client does that has other things to do.
      for (let times = 0; times < 20; times++) {
        reading.pause();
        await turns(2);
        reading.resume();
        await turns(2);
      }
      await settles(drained.promise);
      expect(await settles(reading.over)).toBe('end');
      expect(() => reading.decode()).not.toThrow();
      await until(() => compression.activeEncoders === 0);
    },
  );
});
