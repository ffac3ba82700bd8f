import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type BlockEncoder, type Codec, compress, type CompressErrorMessage, type StreamEncoder } from '../../src/compress/index.ts';
import { CodecFailedError } from '../../src/errors.ts';
import { type BodyClient, http1Client, http2Client, type UndecodedReading } from '../support/body-clients.ts';
import { bare, type Carrier, carriers, h2c } from '../support/carriers.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';

const ownCoding = 'x-own';
const pieces = ['one\n', 'two\n', 'three\n'];

class Fault extends Error {}

const boom = (): never => {
  throw new Fault('mine');
};

/** What a handler sends, by what the body is to the library. */
const bodies: Readonly<Record<'complete' | 'long' | 'joined' | 'event-stream', (res: ServerResponse) => Promise<void> | void>> = {
  complete: (res) => void res.end(pieces.join('')),
  // All within one tick.
  joined(res) {
    for (const piece of pieces) res.write(piece);
    res.end();
  },
  long: inPieces,
  'event-stream': inPieces,
};

async function inPieces(res: ServerResponse): Promise<void> {
  for (const piece of pieces) {
    if (res.destroyed) return;
    res.write(piece);
    (res as { flush?: () => void }).flush?.();
    await turns(4);
  }
  res.end();
}

type Kind = keyof typeof bodies;

const published: unknown[] = [];
const note = (message: unknown): void => void published.push((message as CompressErrorMessage).error);
beforeEach(() => {
  published.length = 0;
  subscribe('sluice:compress:error', note);
});
afterEach(() => void unsubscribe('sluice:compress:error', note));

async function stage(carrier: Carrier, codec: Partial<Codec>, kind: Kind) {
  const compression = compress({ codecs: [{ coding: ownCoding, available: true, ...codec } as Codec], threshold: 0 });
  const thrown: unknown[] = [];
  const running = await serve(carrier, compression, async (_req, response) => {
    const res = response as ServerResponse;
    res.setHeader('Content-Type', kind === 'event-stream' ? 'text/event-stream' : 'text/plain');
    try {
      await bodies[kind](res);
    } catch (error) {
      thrown.push(error);
      res.destroy();
    }
  });
  const client: BodyClient = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  const nothingLeft = (): boolean => compression.activeEncoders === 0 && compression.encoderBytes === 0;
  return { running, client, compression, thrown, nothingLeft };
}

/** `cut` where the response did not end, with or without a head; else how its body is coded, if that is the whole body. */
async function outcomeOf(client: BodyClient): Promise<string> {
  let reading: UndecodedReading;
  try {
    reading = await client.get('/', ownCoding);
  } catch {
    return 'cut';
  }
  if ((await reading.over) !== 'end') return 'cut';
  return reading.bytes.toString() === pieces.join('') ? reading.coding : `a clean end after ${reading.bytes.length} bytes`;
}

type Act = (this: Transform, chunk: Buffer, callback: TransformCallback) => void;

/** A transform that passes all on, but for one way in which it acts. */
function transformWith(act: Act, options: { readonly destroy?: (error: Error | null, done: (error: Error | null) => void) => void; readonly strings?: boolean } = {}): Transform {
  return new Transform({
    ...(options.strings && { readableObjectMode: true }),
    ...(options.destroy && { destroy: options.destroy }),
    transform(chunk: Buffer, _encoding, callback) {
      act.call(this, chunk, callback);
    },
  });
}

const passOn: Act = (chunk, callback) => callback(null, chunk);

function streamOf(make: () => Transform, part: Partial<StreamEncoder> = {}): Partial<Codec> {
  return { createStream: () => ({ transform: make(), memory: 10, flush: (callback) => callback(), ...part }) };
}

function blocksOf(part: { [member in keyof BlockEncoder]?: unknown }): Partial<Codec> {
  return { createBlocks: () => ({ memory: 10, encode: (text: Uint8Array) => text, close: () => undefined, ...part }) as BlockEncoder };
}

const given = (value: unknown) => (): never => value as never;

interface Row {
  readonly codec: Partial<Codec>;
  readonly kinds: readonly Kind[];
  readonly outcome: string;
  /** Whether it is the library that finds the fault. */
  readonly found?: boolean;
  /** Nothing is published. */
  readonly silent?: boolean;
}

const pieced: readonly Kind[] = ['long', 'joined'];
const streamed = (codec: Partial<Codec>, outcome = 'cut', rest: Partial<Row> = {}): Row => ({ codec, kinds: pieced, outcome, ...rest });
const blocked = (codec: Partial<Codec>, outcome = 'cut', rest: Partial<Row> = {}): Row => ({ codec, kinds: ['event-stream'], outcome, ...rest });

const broken: Readonly<Record<string, Row>> = {
  'encode gives undefined': { codec: { encode: given(undefined) }, kinds: ['complete'], outcome: 'identity', found: true },
  'encode gives a string': { codec: { encode: given('text') }, kinds: ['complete'], outcome: 'identity', found: true },
  'encode gives a promise of undefined': { codec: { encode: given(Promise.resolve()) }, kinds: ['complete'], outcome: 'identity', found: true },
  'encode rejects': { codec: { encode: () => Promise.reject(new Fault('mine')) }, kinds: ['complete'], outcome: 'identity' },
  'createStream throws': streamed({ createStream: boom }, 'identity'),
  'createStream gives undefined': streamed({ createStream: given(undefined) }, 'identity', { found: true }),
  'createStream gives no flush': streamed(streamOf(() => new PassThrough(), { flush: undefined as never }), 'identity', { found: true }),
  'createStream gives a transform that is none': streamed(streamOf(given({ write: () => true })), 'identity', { found: true }),
  'the transform throws': streamed(streamOf(() => transformWith(boom))),
  'the transform fails': streamed(streamOf(() => transformWith((_chunk, callback) => void setImmediate(callback, new Fault('mine'))))),
  'the transform gives strings': streamed(streamOf(() => transformWith((chunk, callback) => callback(null, String(chunk)), { strings: true })), 'cut', { found: true }),
  'the transform ends early': { ...streamed(streamOf(() => transformWith(function (_chunk, callback) {
    this.push(null);
    callback();
  })), 'cut', { found: true }), kinds: ['long'] },
  'the transform closes early': streamed(streamOf(() => transformWith(function () {
    this.destroy();
  }))),
  'the transform fails after it has closed': streamed(streamOf(() => transformWith(passOn, { destroy: (_error, done) => void setImmediate(done, new Fault('late')) })), ownCoding, { silent: true }),
  'flush throws': { ...streamed(streamOf(() => transformWith(passOn), { flush: boom })), kinds: ['long'] },
  'flush never calls back': streamed(streamOf(() => transformWith(passOn), { flush: () => undefined }), ownCoding, { silent: true }),
  'flush calls back twice': streamed(streamOf(() => transformWith(passOn), { flush: (callback) => {
    callback();
    callback();
  } }), ownCoding, { silent: true }),
  'start gives undefined': streamed(streamOf(() => transformWith(passOn), { start: given(undefined) }), 'cut', { found: true }),
  'destroy throws': streamed(streamOf(() => Object.assign(new PassThrough({ autoDestroy: false }), { destroy: boom })), ownCoding),
  'createBlocks throws': blocked({ createBlocks: boom }, 'identity'),
  'createBlocks gives undefined': blocked({ createBlocks: given(undefined) }, 'identity', { found: true }),
  'createBlocks gives undefined, beside a createStream': blocked({ ...streamOf(() => new PassThrough()), createBlocks: given(undefined) }, 'identity', { found: true }),
  'createBlocks gives no close': blocked(blocksOf({ close: undefined }), 'identity', { found: true }),
  'a block is undefined': blocked(blocksOf({ encode: given(undefined) }), 'cut', { found: true }),
  'a block is a promise of undefined': blocked(blocksOf({ encode: () => Promise.resolve() }), 'cut', { found: true }),
  'a block is a string': blocked(blocksOf({ encode: String }), 'cut', { found: true }),
  'close throws': blocked(blocksOf({ close: boom }), ownCoding),
  'retune is not there': blocked(blocksOf({}), ownCoding, { silent: true }),
  'memory is no number': blocked(blocksOf({ memory: 'much' }), ownCoding, { silent: true }),
  'blockMemory throws': blocked({ ...blocksOf({}), blockMemory: boom }, ownCoding),
  'blockMemory is NaN': blocked({ ...blocksOf({}), blockMemory: given(Number.NaN) }, ownCoding, { silent: true }),
  'streamMemory is NaN': streamed({ ...streamOf(() => new PassThrough()), streamMemory: Number.NaN }, ownCoding, { silent: true }),
  'weight throws': blocked({ ...blocksOf({}), weight: boom }, 'identity'),
  'weight is no weight': blocked({ ...blocksOf({}), weight: given('1') }, 'identity', { found: true }),
};

const matrix = carriers.flatMap((carrier) => Object.entries(broken).flatMap(([fault, row]) => row.kinds.map((kind) => ({ on: carrier.name, carrier, fault, kind, row }))));

it.each(matrix)('a codec whose fault is that $fault never makes part of a body look whole: $kind, on $on', async ({ carrier, kind, row }) => {
  const { client, thrown, nothingLeft, running } = await stage(carrier, row.codec, kind);
  expect(await settles(outcomeOf(client))).toBe(row.outcome);
  await until(nothingLeft, () => 'an encoder is still counted');
  // The handler has no part in it.
  expect([thrown, running.errors]).toEqual([[], []]);
  if (row.silent) expect(published).toEqual([]);
  else expect(published).toContainEqual(expect.any(row.found ? CodecFailedError : Error));
});

it.each(carriers)('`available` that throws offers nothing, on $name', async (carrier) => {
  const codec = Object.defineProperty(blocksOf({}), 'available', { get: boom, enumerable: false });
  const compression = compress({ codecs: [Object.defineProperty({ coding: ownCoding, createBlocks: codec.createBlocks }, 'available', { get: boom }) as unknown as Codec] });
  const running = await serve(carrier, compression, (_req, res) => {
    (res as ServerResponse).setHeader('Content-Type', 'text/event-stream');
    return bodies['event-stream'](res as ServerResponse);
  });
  const client = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  expect(await settles(outcomeOf(client))).toBe('identity');
  expect(published).toContainEqual(expect.any(Fault));
});

const never = (): Promise<never> => new Promise(() => undefined);

/** Codecs that take what they are given, and never give it back. */
const silent: readonly (readonly [fault: string, Kind, Partial<Codec>, outcome: string])[] = [
  ['encode never settles', 'complete', { encode: never }, 'identity'],
  ['the transform never gives anything', 'long', streamOf(() => transformWith(() => undefined)), 'cut'],
  ['the transform never ends', 'joined', streamOf(() => new Transform({ transform: (chunk, _encoding, done) => done(null, chunk), flush: () => undefined })), 'cut'],
  ['a block never settles', 'event-stream', blocksOf({ encode: never }), 'cut'],
];

describe.each([bare, h2c])('over $name', (carrier) => {
  it.each(silent)('a codec whose fault is that %s (%s) is counted out when the client leaves', async (_fault, kind, codec) => {
    const { client, compression, nothingLeft, running } = await stage(carrier, codec, kind);
    client.get('/', ownCoding).catch(() => undefined);
    await until(() => compression.activeEncoders === 1);
    client.close();
    if ('closeAllConnections' in running.server) running.server.closeAllConnections();
    await until(nothingLeft, () => 'an encoder is still counted');
  });
});

describe('in 30 s', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  async function spin(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 20_000 && !condition(); turn++) await turns(1);
    expect(condition()).toBe(true);
  }

  it.each(silent)('a codec whose fault is that %s (%s) has failed', async (_fault, kind, codec, outcome) => {
    const { client, compression, nothingLeft } = await stage(bare, codec, kind);
    let found: string | undefined;
    void outcomeOf(client).then((how) => (found = how));
    await spin(() => compression.activeEncoders === 1 || found !== undefined);
    await turns(50);
    await vi.advanceTimersByTimeAsync(29_000);
    await turns(50);
    expect(found).toBeUndefined();
    await vi.advanceTimersByTimeAsync(11_000);
    await spin(() => found !== undefined);
    expect(found).toBe(outcome);
    await spin(nothingLeft);
    expect(published).toEqual([expect.any(CodecFailedError)]);
  });

  it('a client that reads slowly is no fault of the codec', async () => {
    const text = 'x'.repeat(1_000_000);
    const codec = streamOf(() => new PassThrough());
    const compression = compress({ codecs: [{ coding: ownCoding, available: true, ...codec }], threshold: 0 });
    const running = await serve(bare, compression, (_req, response) => {
      const res = response as ServerResponse;
      res.setHeader('Content-Type', 'text/plain');
      for (let index = 0; index < 12; index++) res.write(text);
      res.end();
    });
    const reading = await http1Client(running).get('/', ownCoding);
    reading.pause();
    await turns(200);
    await vi.advanceTimersByTimeAsync(120_000);
    await turns(50);
    expect([published, compression.activeEncoders]).toEqual([[], 1]);
    reading.resume();
    expect(await reading.over).toBe('end');
    expect(reading.bytes.length).toBe(12 * text.length);
  });
});
