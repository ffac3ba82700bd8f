import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HeadOutcome, keep, type Rank, rank } from '../../src/internal/seam/layer.ts';
import { openSeam } from '../../src/internal/seam/response.ts';
import { waitWritable } from '../../src/index.ts';
import { bare, carriers, h2c, type Carrier, type Middleware } from '../support/carriers.ts';
import { open, type Reading } from '../support/clients.ts';
import { Eager, Slow, Watcher } from '../support/layers.ts';
import { connectRaw, getRequest } from '../support/raw.ts';
import { settles, turns, until } from '../support/until.ts';

async function serve<T>(
  carrier: Carrier,
  handler: (res: ServerResponse) => unknown,
  test: (reading: Reading) => Promise<T>,
): Promise<T> {
  const running = await carrier.start(((_req, res: ServerResponse) => handler(res)) as Middleware);
  try {
    return await test(await settles(open(running, carrier.protocol)));
  } finally {
    await running.close();
  }
}

describe('layers', () => {
  it('stand in the order of their ranks whatever the order in which they are added', async () => {
    const ranks: Rank[] = [rank.writer, rank.heartbeat, rank.compress, rank.counting];
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(ranks, { minLength: 4 }), async (order) => {
        const log: string[] = [];
        await serve(
          bare,
          (res) => {
            const seam = openSeam(res);
            for (const each of order) seam.add(new Watcher(each, String(each), log));
            res.write('x');
            res.end();
          },
          (reading) => reading.over,
        );
        expect(log.filter((line) => line.includes('head'))).toEqual([
          '0 head 200',
          '1 head 200',
          '2 head 200',
          '3 head 200',
        ]);
        expect(log.filter((line) => line.includes('write'))).toEqual([
          '0 write 1',
          '1 write 1',
          '2 write 1',
          '3 write 1',
        ]);
        expect(log.filter((line) => line.includes('end'))).toEqual(['0 end', '1 end', '2 end', '3 end']);
        await until(() => log.includes('0 close'));
        expect(log.slice(-4)).toEqual(['3 close', '2 close', '1 close', '0 close']);
      }),
      { numRuns: 24 },
    );
  });

  it('put the one added last nearest to the handler within a rank, and can be taken out', async () => {
    const log: string[] = [];
    await serve(
      bare,
      (res) => {
        const seam = openSeam(res);
        seam.add(new Watcher(rank.counting, 'first', log));
        const undo = seam.add(new Watcher(rank.counting, 'second', log));
        res.write('x');
        undo();
        undo();
        res.write('yy');
        res.end();
      },
      (reading) => reading.over,
    );
    expect(log.filter((line) => line.includes('write'))).toEqual(['second write 1', 'first write 1', 'first write 2']);
  });

  it.each(carriers.map((each) => [each.name, each] as const))(
    'see the head once, with what writeHead was given, over %s',
    async (_name, carrier) => {
      const log: string[] = [];
      const reading = await serve(
        carrier,
        (res) => {
          const seam = openSeam(res);
          const layer = new Watcher(rank.compress, 'layer', log);
          layer.head = ({ res: seen }): HeadOutcome => {
            log.push(`${seen.statusCode} ${String(seen.getHeader('x-given'))} ${String(seen.getHeader('x-set'))}`);
            seen.removeHeader('x-given');
            seen.setHeader('X-Layer', 'yes');
            return keep;
          };
          seam.add(layer);
          res.setHeader('X-Set', 'set');
          res.writeHead(201, { 'X-Given': 'given' });
          res.write('a');
          res.end('b');
        },
        async (each) => {
          await each.over;
          return each;
        },
      );
      expect(reading).toMatchObject({ status: 201, text: 'ab', headers: { 'x-layer': 'yes', 'x-set': 'set' } });
      expect(reading.headers).not.toHaveProperty('x-given');
      expect(log.filter((line) => line.startsWith('201'))).toEqual(['201 given set']);
    },
  );

  it('let flush through to whoever holds bytes below, and send the head by it', async () => {
    const log: string[] = [];
    await serve(
      bare,
      (res) => {
        (res as unknown as { flush: () => void }).flush = () => log.push('flush below');
        const seam = openSeam(res);
        seam.add(new Watcher(rank.heartbeat, 'layer', log));
        (res as unknown as { flush: (callback: () => void) => void }).flush(() => {
          log.push('flushed');
          res.end();
        });
        log.push(`sent ${res.headersSent}`);
      },
      (reading) => reading.over,
    );
    expect(log).toEqual(
      expect.arrayContaining(['layer head 200', 'layer flush', 'flush below', 'sent true', 'flushed']),
    );
    expect(log.indexOf('layer flush')).toBeLessThan(log.indexOf('flush below'));
  });
});

describe.each([
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const)('a layer that holds bytes back, over %s', (_name, carrier) => {
  it('keeps every promise of a response', async () => {
    const log: string[] = [];
    const text = await serve(
      carrier,
      async (res) => {
        const seam = openSeam(res);
        seam.add(new Slow(seam, 8));
        res.on('drain', () => log.push('drain'));
        res.on('finish', () => log.push('finish'));
        res.setHeader('Content-Length', 999);
        log.push(`small ${res.write('abc', () => log.push('a written'))}`);
        log.push(`length ${res.writableLength} full ${res.writableNeedDrain}`);
        log.push(`large ${res.write('defghijk', 'utf8', () => log.push('b written'))}`);
        log.push(`length ${res.writableLength} full ${res.writableNeedDrain}`);
        await waitWritable(res);
        log.push(`drained: full ${res.writableNeedDrain}`);
        res.end('lm', () => log.push('end called back'));
        log.push(`ended ${res.writableEnded} finished ${res.writableFinished}`);
      },
      async (reading) => {
        expect(await settles(reading.over)).toBe('end');
        return reading.text;
      },
    );
    await until(() => log.includes('finish') && log.includes('end called back'));
    expect(text).toBe('ABCDEFGHIJKLM');
    expect(log.slice(0, 4)).toEqual(['small true', 'length 3 full false', 'large false', 'length 11 full true']);
    expect(log.filter((line) => line === 'drain')).toHaveLength(1);
    expect(log.indexOf('drain')).toBeLessThan(log.indexOf('drained: full false'));
    expect(log).toContain('ended true finished false');
    for (const once of ['a written', 'b written', 'end called back', 'finish'])
      expect(
        log.filter((line) => line === once),
        once,
      ).toHaveLength(1);
  });

  it('lets on, once and off for drain work as on any stream', async () => {
    const log: string[] = [];
    await serve(
      carrier,
      async (res) => {
        const seam = openSeam(res);
        seam.add(new Slow(seam, 2));
        const removed = (): unknown => log.push('removed');
        res.on('drain', removed);
        res.off('drain', removed);
        res.once('drain', () => log.push('once'));
        res.on('drain', () => log.push('on'));
        for (let round = 0; round < 2; round++) {
          res.write('xxxx');
          await waitWritable(res);
        }
        res.end();
      },
      (reading) => reading.over,
    );
    expect(log).toEqual(['once', 'on', 'on']);
  });

  it('can be the target of a pipeline', async () => {
    const source = 'abcdefghij'.repeat(20_000);
    const text = await serve(
      carrier,
      async (res) => {
        const seam = openSeam(res);
        seam.add(new Slow(seam, 64 * 1024));
        await pipeline(Readable.from(source.match(/[^]{1,9000}/g) ?? []), res);
      },
      async (reading) => {
        expect(await settles(reading.over)).toBe('end');
        return reading.text;
      },
    );
    expect(text).toBe(source.toUpperCase());
  });

  it('answers a write after end as Node does', async () => {
    const log: string[] = [];
    await serve(
      carrier,
      (res) => {
        const seam = openSeam(res);
        seam.add(new Slow(seam, 100));
        res.on('error', (error: NodeJS.ErrnoException) => log.push(`error ${String(error.code)}`));
        res.write('abc');
        res.end();
        res.write('late', (error) =>
          log.push(`called back ${String((error as NodeJS.ErrnoException | undefined)?.code)}`),
        );
        res.end(() => log.push('ended twice'));
      },
      (reading) => reading.over,
    );
    await until(() => log.some((line) => line.startsWith('called back')));
    expect(log).toContain('called back ERR_STREAM_WRITE_AFTER_END');
  });

  it("hears of no 'drain' while Node's own queue is full", async () => {
    const drains: boolean[] = [];
    let early: number | undefined;
    await serve(
      carrier,
      (res) => {
        const seam = openSeam(res);
        const layer = new Eager();
        seam.add(layer);
        res.on('drain', () => drains.push(seam.core.nativeNeedsDrain));
        while (!seam.core.nativeNeedsDrain) res.write('x'.repeat(100_000));
        // The layer has room again, and Node has not.
        layer.isFull = false;
        seam.state.layerDrained();
        early = drains.length;
        res.once('drain', () => res.end());
      },
      async (reading) => {
        expect(await settles(reading.over)).toBe('end');
      },
    );
    expect([early, drains]).toEqual([0, [false]]);
  });

  it('is closed, callbacks and all, when the client leaves', async () => {
    const log: string[] = [];
    let layer: Slow | undefined;
    const running = await carrier.start(((_req, res: ServerResponse) => {
      const seam = openSeam(res);
      layer = new Slow(seam, 1);
      seam.add(layer);
      res.flushHeaders();
      const write = (): void => void res.write('x'.repeat(100_000), (error) => log.push(error ? 'failed' : 'written'));
      for (let count = 0; count < 50; count++) write();
    }) as Middleware);
    const reading = await open(running, carrier.protocol);
    reading.pause();
    reading.destroy();
    await until(() => layer?.closed === true);
    await until(() => log.length === 50);
    expect(log).toContain('failed');
    await running.close();
  });
});

describe('a complete body through a layer that may transform', () => {
  it('has the length that Node would have given it', async () => {
    const running = await bare.start(((_req, res: ServerResponse) => {
      const seam = openSeam(res);
      const layer = new Slow(seam, 10);
      layer.head = () => keep;
      seam.add(layer);
      res.end('grüße');
    }) as Middleware);
    const client = await connectRaw(running.port);
    client.send(getRequest());
    const head = await client.waitFor('\r\n\r\n');
    expect(head).toMatch(/content-length: 7\r\n/i);
    expect(head).not.toMatch(/transfer-encoding/i);
    client.destroy();
    await running.close();
  });
});

describe('patches of others', () => {
  it('see the implicit head once, whether they came before or after', async () => {
    const log: string[] = [];
    const patch = (res: ServerResponse, name: string): void => {
      const { writeHead } = res;
      res.writeHead = function (this: ServerResponse, ...args: never[]) {
        log.push(name);
        this.appendHeader('X-Patches', name);
        return (writeHead as (...all: never[]) => ServerResponse).apply(this, args);
      } as never;
    };
    const headers = await serve(
      bare,
      async (res) => {
        patch(res, 'below');
        const seam = openSeam(res);
        seam.add(new Slow(seam, 10));
        patch(res, 'above');
        res.write('a');
        await turns();
        res.end();
      },
      async (reading) => {
        await reading.over;
        return reading.headers;
      },
    );
    expect(log).toEqual(['above', 'below']);
    expect(headers['x-patches']).toBe('above, below');
  });

  it('that put off the end still end the response', async () => {
    const text = await serve(
      bare,
      (res) => {
        const { end } = res;
        // As express-session: the store is asked first.
        res.end = function (this: ServerResponse, ...args: never[]) {
          setTimeout(() => (end as (...all: never[]) => unknown).apply(this, args), 5);
          return this;
        } as never;
        const seam = openSeam(res);
        seam.add(new Slow(seam, 10));
        res.end('late');
      },
      async (reading) => {
        expect(await settles(reading.over)).toBe('end');
        return reading.text;
      },
    );
    expect(text).toBe('LATE');
  });
});
