import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import zlib from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  brotli,
  compress,
  type Compression,
  type CompressionDecisionMessage,
  type CompressOptions,
  deflate,
  gzip,
  zstd,
} from '../../src/compress/index.ts';
import { type BodyClient, http1Client, http2Client, type UndecodedReading } from '../support/body-clients.ts';
import { bare, type Carrier, h2c } from '../support/carriers.ts';
import { decodeStrictly } from '../support/decoders.ts';
import { serve } from '../support/serve.ts';
import { settles, until } from '../support/until.ts';

interface Scene {
  readonly compression: Compression;
  readonly client: BodyClient;
  /** Responses that are open, by their paths. */
  readonly open: Map<string, ServerResponse>;
  readonly messages: CompressionDecisionMessage[];
}

const text = 'the same text '.repeat(200);

async function stage(carrier: Carrier, options: CompressOptions): Promise<Scene> {
  const compression = compress(options);
  const open = new Map<string, ServerResponse>();
  const running = await serve(carrier, compression, (request, response) => {
    const [req, res] = [request as IncomingMessage, response as ServerResponse];
    const path = req.url!;
    res.setHeader('Content-Type', path.includes('/event') ? 'text/event-stream' : 'text/plain');
    if (path.startsWith('/whole')) {
      res.end(text);
      return;
    }
    open.set(path, res);
    if (path.startsWith('/head-first')) res.flushHeaders();
    else res.write(text);
  });
  const client = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  const messages: CompressionDecisionMessage[] = [];
  const note = (message: unknown): void => void messages.push(message as CompressionDecisionMessage);
  subscribe('sluice:compress:decision', note);
  onTestFinished(() => void unsubscribe('sluice:compress:decision', note));
  return { compression, client, open, messages };
}

/** Reads to the end a response that waits for it. */
async function finish({ open }: Scene, path: string, reading: UndecodedReading): Promise<void> {
  open.get(path)!.end('the end');
  expect(await settles(reading.over)).toBe('end');
  expect(decodeStrictly(reading.coding, reading.bytes).toString()).toBe(`${text}the end`);
}

describe.each([
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
] as const)('over %s, with room for three encoders', (_name, carrier) => {
  it.each(['/event', '/long'])(
    'the fourth response is sent as it is, until one of the others ends: %s',
    async (kind) => {
      const scene = await stage(carrier, { budget: { encoders: 3 }, serverTiming: true });
      const { compression, client, messages } = scene;
      const readings: UndecodedReading[] = [];
      for (let index = 0; index < 5; index++) {
        readings.push(await client.get(`${kind}/${index}`, 'gzip'));
        // The encoder of a long body is made with its first text, at the end of the tick.
        await until(() => compression.activeEncoders === Math.min(index + 1, 3));
      }
      expect(readings.map(({ coding }) => coding)).toEqual(['gzip', 'gzip', 'gzip', 'identity', 'identity']);
      expect(messages.map(({ reason }) => reason)).toEqual([
        'negotiated',
        'negotiated',
        'negotiated',
        'budget',
        'budget',
      ]);
      expect(readings[3]!.headers).toMatchObject({
        vary: 'Accept-Encoding',
        'server-timing': 'compress;desc="budget"',
      });
      expect(compression.encoderBytes).toBeGreaterThan(0);

      await finish(scene, `${kind}/1`, readings[1]!);
      await until(() => compression.activeEncoders === 2);
      const next = await client.get(`${kind}/next`, 'gzip');
      expect(next.coding).toBe('gzip');
      // One that leaves makes room as well.
      readings[0]!.destroy();
      next.destroy();
      await until(() => compression.activeEncoders === 1);
      expect((await client.get(`${kind}/more`, 'gzip')).coding).toBe('gzip');

      for (const index of [2, 3, 4]) await finish(scene, `${kind}/${index}`, readings[index]!);
      await until(() => compression.activeEncoders === 1);
      expect((await client.get(`${kind}/last`, 'gzip')).coding).toBe('gzip');
    },
  );

  it.each(['/event', '/long', '/head-first/event', '/head-first/long'])(
    'many at the same time take no more than there is: %s',
    async (kind) => {
      const { compression, client, open } = await stage(carrier, { budget: { encoders: 3 } });
      const readings = await Promise.all(
        Array.from({ length: 40 }, (_each, index) => client.get(`${kind}/${index}`, 'gzip')),
      );
      expect(readings.filter(({ coding }) => coding === 'gzip')).toHaveLength(3);
      for (const res of open.values()) res.write(text);
      await until(() => readings.every(({ bytes }) => bytes.length > 0));
      expect(compression.activeEncoders).toBe(3);
      for (const reading of readings) reading.destroy();
      await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
    },
  );
});

it('a body that is encoded in one go leaves no encoder, and needs no room', async () => {
  const { compression, client, messages } = await stage(bare, { budget: { encoders: 1 } });
  for (let index = 0; index < 5; index++) {
    const reading = await client.get('/whole', 'gzip');
    await settles(reading.over);
    expect(reading.coding).toBe('gzip');
    await until(() => compression.activeEncoders === 0);
  }
  const stream = await client.get('/event', 'gzip');
  expect((await client.get('/event', 'gzip')).coding).toBe('identity');
  expect((await client.get('/whole', 'gzip')).coding).toBe('gzip');
  expect(messages.slice(-2).map(({ kind, reason }) => [kind, reason])).toEqual([
    ['event-stream', 'budget'],
    ['complete', 'negotiated'],
  ]);
  stream.destroy();
});

it('a body in the thread pool is counted while it is there', async () => {
  const { compression, client } = await stage(bare, { budget: { encoders: 1 }, codecs: [gzip({ syncThreshold: 0 })] });
  const readings = await Promise.all(
    Array.from({ length: 20 }, (_each, index) => client.get(`/whole/${index}`, 'gzip')),
  );
  for (const reading of readings) {
    expect(await settles(reading.over)).toBe('end');
    expect(decodeStrictly(reading.coding, reading.bytes).toString()).toBe(text);
  }
  await until(() => compression.activeEncoders === 0 && compression.encoderBytes === 0);
});

it.each([
  // A history window of 1 kB takes some 1.4 kB.
  ['gzip', 4000, 2],
  ['deflate', 3000, 2],
  ...('zstdCompressSync' in zlib ? [['zstd', 3000, 2] as [string, number, number]] : []),
  // Its tables and its window.
  ['br', 1_500_000, 2],
])('memory is bounded too: no event stream in %s takes it past the bound', async (coding, bytes, room) => {
  const { compression, client, messages } = await stage(bare, { budget: { bytes } });
  const readings = [];
  for (let index = 0; index < 6; index++) readings.push(await client.get(`/event/${index}`, coding));
  expect(readings.filter((reading) => reading.coding === coding)).toHaveLength(room);
  expect(messages.map(({ reason }) => reason)).toEqual([
    ...Array<string>(room).fill('negotiated'),
    ...Array<string>(6 - room).fill('budget'),
  ]);
  expect(compression.encoderBytes).toBeLessThanOrEqual(bytes);
  for (const reading of readings) reading.destroy();
  await until(() => compression.encoderBytes === 0);
});

it('what a codec says that its event streams will hold is what they are counted with', async () => {
  const history = 3000;
  const { compression, client } = await stage(bare, { streams: { history } });
  for (const codec of [gzip(), deflate(), brotli(), ...('zstdCompressSync' in zlib ? [zstd()] : [])]) {
    const reading = await client.get(`/event/${codec.coding}`, codec.coding);
    expect([reading.coding, compression.encoderBytes]).toEqual([codec.coding, codec.blockMemory?.(history)]);
    reading.destroy();
    await until(() => compression.encoderBytes === 0);
  }
});

it.each([{ encoders: 0 }, { bytes: 0 }])('no room at all leaves complete bodies: %j', async (budget) => {
  const { client, messages } = await stage(bare, { budget });
  for (const path of ['/event', '/long']) expect((await client.get(path, 'gzip')).coding).toBe('identity');
  expect((await client.get('/whole', 'gzip')).coding).toBe('gzip');
  expect(messages.map(({ reason }) => reason)).toEqual(['budget', 'budget', 'negotiated']);
});
