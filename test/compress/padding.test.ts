import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { brotli, compress, type CompressOptions, deflate, gzip, zstd } from '../../src/compress/index.ts';
import { http1Client, type UndecodedReading } from '../support/body-clients.ts';
import { bare } from '../support/carriers.ts';
import { type Coding, codings, decodeStrictly } from '../support/decoders.ts';
import { useRandom } from '../support/random.ts';
import { serve } from '../support/serve.ts';
import { settles, turns } from '../support/until.ts';

const text = '{"token":"8f14e45fceea167a","symbol":"SLC","price":101.25}\n'.repeat(40);

/** What a coding can only add in whole units, or no less than. */
const units: Record<string, { readonly unit: number; readonly least: number }> = {
  gzip: { unit: 1, least: 1 },
  // An empty stored block.
  deflate: { unit: 5, least: 5 },
  // Metadata: two bytes of header for each 256 of content, and a last block that is not joined with the one before.
  br: { unit: 1, least: 3 },
  // An empty raw block.
  zstd: { unit: 3, least: 3 },
};

const paths = { complete: '/whole', long: '/long', 'event-stream': '/events' } as const;

async function read(options: CompressOptions, path: string, accept: string): Promise<UndecodedReading> {
  const running = await serve(bare, compress({ threshold: 0, ...options }), async (request, response) => {
    const [req, res] = [request as IncomingMessage, response as ServerResponse];
    res.setHeader('Content-Type', req.url === '/events' ? 'text/event-stream' : 'text/plain');
    if (req.url === '/whole') {
      res.end(text);
      return;
    }
    for (let at = 0; at < text.length; at += 500) {
      res.write(text.slice(at, at + 500));
      // So that every run makes the same blocks.
      await turns(3);
    }
    res.end();
  });
  const reading = await http1Client(running).get(path, accept);
  expect(await settles(reading.over)).toBe('end');
  return reading;
}

// Node ends a zstd stream with an empty frame more when its last write was still queued (nodejs/node#66078).
const emptyFrame = Buffer.from('28b52ffd2000010000', 'hex');

async function lengthOf(options: CompressOptions, path: string, coding: Coding): Promise<number> {
  const reading = await read(options, path, coding);
  expect(reading.coding).toBe(coding);
  expect(decodeStrictly(coding, reading.bytes).toString()).toBe(text);
  return reading.bytes.length - (reading.bytes.subarray(-emptyFrame.length).equals(emptyFrame) ? emptyFrame.length : 0);
}

/** The coding in one go, at once and in the thread pool. */
const ways = { sync: undefined, async: [gzip, deflate, brotli, zstd].map((make) => make({ syncThreshold: 0 })) };

const padded: [Coding, keyof typeof paths, CompressOptions][] = codings.flatMap((coding) => [
  [coding, 'complete', {}] as [Coding, keyof typeof paths, CompressOptions],
  [coding, 'complete', { codecs: ways.async }] as [Coding, keyof typeof paths, CompressOptions],
  ...(coding === 'br'
    ? []
    : [[coding, 'long', { idleFlush: Infinity }] as [Coding, keyof typeof paths, CompressOptions]]),
  ...(coding === 'br' ? [] : [[coding, 'event-stream', {}] as [Coding, keyof typeof paths, CompressOptions]]),
]);

describe.each(padded)('random padding of %s, %s body', (coding, kind, options) => {
  const path = paths[kind];

  it.each([1, 2, 9, 32, 300, 1000])('of %d bytes adds as many, rounded up to what the coding can', async (size) => {
    const plain = await lengthOf(options, path, coding);
    useRandom(() => (size - 1) / 1000);
    const added = (await lengthOf({ ...options, randomPadding: { max: 1000 } }, path, coding)) - plain;
    const { unit, least } = units[coding]!;
    // Brotli ends in a block of its own when it is padded.
    const slack = coding === 'br' ? 4 : 0;
    expect(added).toBeGreaterThanOrEqual(size);
    expect(added).toBeLessThanOrEqual(Math.max(least, Math.ceil(size / unit) * unit) + slack);
  });

  it('gives equal bodies different lengths, of at most the maximum', async () => {
    const plain = await lengthOf(options, path, coding);
    const lengths = await Promise.all(
      Array.from({ length: 12 }, () => lengthOf({ ...options, randomPadding: { max: 200 } }, path, coding)),
    );
    expect(new Set(lengths).size).toBeGreaterThan(3);
    for (const length of lengths) {
      expect(length).toBeGreaterThan(plain);
      expect(length).toBeLessThanOrEqual(plain + 200 + 4);
    }
  });
});

describe('with random padding', () => {
  it.each([0, 0.5, 0.999999999])('a random number of %d draws 1 to the maximum', async (number) => {
    const plain = await lengthOf({}, '/whole', 'gzip');
    useRandom(() => number);
    const padding = (await lengthOf({ randomPadding: { max: 8 } }, '/whole', 'gzip')) - plain;
    expect(padding).toBe(1 + Math.floor(number * 8));
  });

  it('what cannot be padded is not used, also where the client would rather have it', async () => {
    const randomPadding = true;
    for (const path of ['/long', '/events'])
      expect((await read({ randomPadding }, path, 'br, gzip;q=0.5')).coding).toBe('gzip');
    expect((await read({ randomPadding }, '/events', 'br, deflate;q=0.2')).coding).toBe('deflate');
    for (const path of ['/long', '/events'])
      expect((await read({ randomPadding }, path, 'br')).coding).toBe('identity');
    expect((await read({ randomPadding }, '/whole', 'br, gzip;q=0.5')).coding).toBe('br');
  });

  it.each<Coding>(['gzip', 'deflate', 'br'])(
    'a body that gets no shorter is padded all the same: %s',
    async (coding) => {
      useRandom(() => 0.5);
      const running = await serve(bare, compress({ threshold: 0, randomPadding: true }), (_req, res) => {
        (res as ServerResponse).setHeader('Content-Type', 'text/plain').end('short');
      });
      const reading = await http1Client(running).get('/', coding);
      await settles(reading.over);
      expect([reading.coding, decodeStrictly(coding, reading.bytes).toString()]).toEqual([coding, 'short']);
      expect(reading.headers['content-length']).toBe(String(reading.bytes.length));
    },
  );
});
