import type { ServerResponse } from 'node:http';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  brotli,
  type Codec,
  compress,
  type Compression,
  type CompressionDecisionMessage,
  type CompressOptions,
  createGovernor,
  gzip,
  webCodec,
  zstd,
} from '../../src/compress/index.ts';
import { bare, carriers, type Carrier, type Middleware } from '../support/carriers.ts';
import { type CodedReading, openCoded } from '../support/coded-clients.ts';
import { serve } from '../support/serve.ts';
import { prose } from '../support/texts.ts';
import { settles, until } from '../support/until.ts';

const text = prose(20_000);

/** A server behind `compress` that answers with the query, or with the text; its decisions. */
async function stage(carrier: Carrier, options: CompressOptions, answer: (url: string) => string = () => text) {
  const compression: Compression = compress({ cache: '1mb', ...options });
  onTestFinished(() => compression.close());
  const handler: Middleware = (req, response) => {
    const res = response as ServerResponse;
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    res.setHeader('ETag', '"abc"');
    res.end(answer(String(req.url)));
  };
  const running = await serve(carrier, compression as Middleware, handler);
  const decisions: CompressionDecisionMessage[] = [];
  const note = (message: unknown): void => {
    const decision = message as CompressionDecisionMessage;
    if (decision.req.headers['x-stage'] === stageName) decisions.push(decision);
  };
  const stageName = `${stages++}`;
  subscribe('sluice:compress:decision', note);
  onTestFinished(() => void unsubscribe('sluice:compress:decision', note));
  const protocol = carrier.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1';
  const get = async (accept: string, path = '/'): Promise<CodedReading> => {
    const reading = await openCoded(running, protocol, { accept, path, headers: { 'x-stage': stageName } });
    expect(await settles(reading.over)).toBe('end');
    return reading;
  };
  return { compression, decisions, get };
}

let stages = 0;

const ways: Record<string, () => Codec> = {
  'gzip at once': () => gzip({ syncThreshold: Infinity }),
  'gzip in the thread pool': () => gzip({ syncThreshold: 0 }),
  'brotli at once': () => brotli({ syncThreshold: Infinity }),
  'brotli in the thread pool': () => brotli({ syncThreshold: 0 }),
  webCodec: () => webCodec('gzip'),
};

describe.each(carriers.map((carrier) => [carrier.name, carrier] as const))('a cache, on %s', (_name, carrier) => {
  it.each(Object.entries(ways))('sends the same answer again, of %s', async (_way, make) => {
    const codec = make();
    await codec.load?.();
    const { compression, decisions, get } = await stage(carrier, { codecs: [codec] });
    const readings = [];
    for (let time = 0; time < 4; time++) readings.push(await get(codec.coding));
    for (const reading of readings) {
      expect([reading.coding, reading.decode() === text]).toEqual([codec.coding, true]);
      expect(reading.headers).toMatchObject({ 'content-length': String(reading.content.length), etag: 'W/"abc"' });
      expect(reading.content.equals(readings[0]!.content)).toBe(true);
    }
    expect(decisions.map(({ reason, cached }) => [reason, cached])).toEqual([
      ['negotiated', false],
      ['negotiated', false],
      ['negotiated', true],
      ['negotiated', true],
    ]);
    expect(compression.cache).toMatchObject({ hits: 2, misses: 2 });
    expect(compression.cache!.bytes).toBeGreaterThan(text.length);
    await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
  });
});

describe('a cache', () => {
  it('gives each of many bodies its own, asked for at once, in every coding', async () => {
    const { compression, get } = await stage(bare, { codecs: [zstd(), brotli(), gzip({ syncThreshold: 0 })] }, (url) =>
      `${url} ${text}`.repeat(2),
    );
    const asked = Array.from({ length: 60 }, (_each, index) => [index % 2 ? 'gzip' : 'br', `/${index % 5}`] as const);
    const readings = await Promise.all(asked.map(([accept, path]) => get(accept, path)));
    for (const [index, reading] of readings.entries()) {
      const [accept, path] = asked[index]!;
      expect([reading.coding, reading.decode() === `${path} ${text}`.repeat(2)]).toEqual([accept, true]);
    }
    expect(compression.cache!.hits + compression.cache!.misses).toBe(60);
    expect(compression.cache!.hits).toBeGreaterThanOrEqual(60 - 5 * 3);
  });

  it('sends what gets no shorter as it is, and says so', async () => {
    const codec = { coding: 'gzip', available: true, encode: (body: Uint8Array) => Buffer.concat([body, body]) };
    const { decisions, get } = await stage(bare, { codecs: [codec] });
    for (let time = 0; time < 3; time++) expect((await get('gzip')).decode()).toBe(text);
    expect(decisions.map(({ reason, cached }) => [reason, cached])).toEqual([
      ['no-gain', false],
      ['no-gain', false],
      ['no-gain', true],
    ]);
  });

  it('takes no harm from a codec that uses its buffer again, or fails', async () => {
    let calls = 0;
    const buffer = Buffer.alloc(100);
    const codec: Codec = {
      coding: 'x-count',
      available: true,
      encode() {
        calls += 1;
        if (calls === 2) throw new Error('not the second');
        return buffer.fill(calls);
      },
    };
    const { decisions, get } = await stage(bare, { codecs: [codec] }, (url) => `${url} ${text}`);
    const heard: unknown[] = [];
    const note = (message: unknown): void => void heard.push(message);
    subscribe('sluice:compress:error', note);
    onTestFinished(() => void unsubscribe('sluice:compress:error', note));
    const paths = ['/a', '/a', '/a', '/b', '/a'];
    const first = [];
    for (const path of paths) first.push((await get('x-count', path)).content[0]);
    expect(decisions.map(({ reason, cached }) => [reason, cached])).toEqual([
      ['negotiated', false],
      ['codec-failed', false],
      ['negotiated', false],
      ['negotiated', false],
      ['negotiated', true],
    ]);
    expect([first[0], first[2], first[3], first[4]]).toEqual([1, 3, 4, 3]);
    expect(heard).toHaveLength(1);
  });

  it('follows the switch and the tier', async () => {
    let load = 0;
    const governor = createGovernor({ interval: 1, dwell: 0, sample: () => load });
    onTestFinished(() => governor.close());
    const { compression, decisions, get } = await stage(bare, { governor });
    for (let time = 0; time < 3; time++) await get('gzip');
    load = 0.8;
    await until(() => governor.tier === 2);
    await get('gzip');
    await compression.switch.swap({ level: 1 });
    for (let time = 0; time < 2; time++) await get('gzip');
    compression.switch.disable();
    await get('gzip');
    expect(decisions.map(({ reason, tier, cached }) => [reason, tier, cached])).toEqual([
      ['negotiated', 0, false],
      ['negotiated', 0, false],
      ['negotiated', 0, true],
      ['negotiated', 2, true],
      ['negotiated', 2, false],
      ['negotiated', 2, true],
      ['switch-off', 2, false],
    ]);
  });

  it('is empty after close, and is not there without the option', async () => {
    const { compression, get } = await stage(bare, {});
    for (let time = 0; time < 3; time++) await get('gzip');
    expect(compression.cache!.bytes).toBeGreaterThan(0);
    compression.close();
    expect(compression.cache).toEqual({ hits: 1, misses: 2, bytes: 0 });
    expect([compress().cache, compress({ cache: 0 }).cache]).toEqual([undefined, undefined]);
  });

  it('is refused beside randomPadding', () => {
    expect(() => compress({ cache: '1mb', randomPadding: true })).toThrow(/compress.cache.*randomPadding/);
    expect(() => compress({ cache: 0, randomPadding: true })).not.toThrow();
    expect(() => compress({ cache: 'much' })).toThrow(/compress\.cache/);
  });
});
