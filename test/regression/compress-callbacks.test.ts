import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { bare } from '../support/carriers.ts';
import type { FlushingResponse } from '../support/compress-responses.ts';
import { useSite } from '../support/compress-site.ts';
import { codings } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { noise } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

type Log = Map<string, number>;

const site = useSite(bare, { threshold: 0, idleFlush: Infinity });

/** No 'drain' for that long, in many turns of the loop: a process that stood still has still to hear of it. */
async function stuck(): Promise<false> {
  for (let turn = 0; turn < 15; turn++) await delay(50);
  return false;
}

/**
 * Fills a response whose client does not read, until nothing drains any more. Notes how often each write was called
 * back.
 */
async function fill(res: FlushingResponse, calls: Log): Promise<void> {
  let open = true;
  while (open) {
    const name = `write ${calls.size}`;
    calls.set(name, 0);
    const ok = res.write(noise(30_000, calls.size), () => void calls.set(name, calls.get(name)! + 1));
    if (!ok) open = await Promise.race([once(res, 'drain').then(() => true), stuck()]);
  }
}

describe.each(codings)('a long body in %s whose client does not read', (coding) => {
  it('calls every write back once when the client leaves', async () => {
    const calls: Log = new Map();
    const [filled, closed] = [deferred(), deferred()];
    const reading = await site.visit(
      async (_req, response) => {
        const res = response as FlushingResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.on('close', () => closed.resolve());
        res.flush();
        await fill(res, calls);
        filled.resolve();
      },
      'HTTP/1.1',
      { accept: coding },
    );
    reading.pause();
    await settles(filled.promise);
    expect([...calls.values()].filter((times) => times === 0).length).toBeGreaterThan(0);
    reading.destroy();
    await settles(closed.promise);
    await until(
      () => [...calls.values()].every((times) => times > 0),
      () => JSON.stringify([...calls]),
    );
    await turns();
    expect(new Set(calls.values())).toEqual(new Set([1]));
  });

  it('does not call a flush back before what it flushes is passed down', async () => {
    const calls: Log = new Map();
    const order: string[] = [];
    const [filled, released] = [deferred(), deferred()];
    const reading = await site.visit(
      async (_req, response) => {
        const res = response as FlushingResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.flush();
        await fill(res, calls);
        res.write('tail', () => order.push('write'));
        res.flush(() => order.push('flush'));
        await delay(100);
        expect(order).toEqual([]);
        filled.resolve();
        await released.promise;
        res.end('.');
      },
      'HTTP/1.1',
      { accept: coding },
    );
    reading.pause();
    await settles(filled.promise);
    reading.resume();
    await until(() => order.length === 2);
    // Megabytes are put together for each look.
    let nextLook = 0;
    await until(() => {
      if (Date.now() < nextLook) return false;
      const isThere = reading.text.endsWith('tail');
      nextLook = Date.now() + 50;
      return isThere;
    });
    released.resolve();
    expect(await settles(reading.over)).toBe('end');
  });
});

describe('res.flush', () => {
  it('may be handed on as it is, and be called with whatever a caller has', async () => {
    const calls: string[] = [];
    const reading = await site.visit(
      async (_req, response) => {
        const res = response as FlushingResponse;
        res.setHeader('Content-Type', 'text/plain');
        res.write('one, ');
        const { flush } = res;
        flush(() => calls.push('unbound'));
        (res.flush as (...args: unknown[]) => void)('a tick', 1);
        setTimeout(res.flush, 1);
        await delay(20);
        res.end('two');
      },
      'HTTP/1.1',
      { accept: 'gzip' },
    );
    expect(await settles(reading.over)).toBe('end');
    expect([reading.decode(), calls]).toEqual(['one, two', ['unbound']]);
  });

  it.each(['text/plain', 'text/event-stream'])('says so to who flushes %s after the client has left', async (type) => {
    const errors: unknown[] = [];
    const closed = deferred();
    const reading = await site.visit(
      (_req, response) => {
        const res = response as FlushingResponse;
        res.setHeader('Content-Type', type);
        res.write('one');
        res.flush();
        res.on('close', () => {
          (res.flush as (callback: (error?: unknown) => void) => void)((error) => {
            errors.push(error);
            closed.resolve();
          });
        });
      },
      'HTTP/1.1',
      { accept: 'gzip' },
    );
    await until(() => reading.text === 'one');
    reading.destroy();
    await settles(closed.promise);
    expect(errors).toMatchObject([{ code: 'ERR_SLUICE_CLIENT_CLOSED' }]);
  });
});
