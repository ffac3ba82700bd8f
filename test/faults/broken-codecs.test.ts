import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { PassThrough, Transform, type TransformCallback, type TransformOptions } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type BlockEncoder,
  type Codec,
  compress,
  type CompressErrorMessage,
  type StreamEncoder,
} from '../../src/compress/index.ts';
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

/** What a body is to the library. */
type Kind = 'complete' | 'long' | 'joined' | 'event-stream';

const bodies: Readonly<Record<Kind, (res: ServerResponse) => Promise<void> | void>> = {
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

/** `cut` where the response did not end, with or without a head; else how its body is coded, if that is the whole. */
async function outcomeOf(client: BodyClient): Promise<string> {
  let reading: UndecodedReading;
  try {
    reading = await client.get('/', ownCoding);
  } catch {
    return 'cut';
  }
  if ((await reading.over) !== 'end') return 'cut';
  const text = reading.bytes.toString();
  return text === pieces.join('') ? reading.coding : `a clean end after ${text}`;
}

type Act = (this: Transform, chunk: Buffer, callback: TransformCallback) => void;

/** A transform that passes all on, but for one way in which it acts. */
function transformWith(act: Act, options: TransformOptions = {}): Transform {
  return new Transform({
    ...options,
    transform(chunk: Buffer, _encoding, callback) {
      act.call(this, chunk, callback);
    },
  });
}

const passOn: Act = (chunk, callback) => callback(null, chunk);
const asText: Act = (chunk, callback) => callback(null, String(chunk));
const pass = (options?: TransformOptions): PassThrough => new PassThrough(options);
const failLater = (callback: (error: Error) => void): void => void setImmediate(callback, new Fault('mine'));

function streamOf(make: () => Transform, part: Partial<StreamEncoder> = {}): Partial<Codec> {
  return { createStream: () => ({ transform: make(), memory: 10, flush: (callback) => callback(), ...part }) };
}

function blocksOf(part: { [member in keyof BlockEncoder]?: unknown }): Partial<Codec> {
  const blocks = { memory: 10, encode: (text: Uint8Array) => text, close: () => undefined, ...part };
  return { createBlocks: () => blocks as BlockEncoder };
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

const rowOf =
  (kinds: readonly Kind[]) =>
  (codec: Partial<Codec>, outcome = 'cut', rest: Partial<Row> = {}): Row => ({ codec, kinds, outcome, ...rest });
const whole = rowOf(['complete']);
const streamed = rowOf(['long', 'joined']);
const blocked = rowOf(['event-stream']);
const found = { found: true };
const silently = { silent: true };

const broken: Readonly<Record<string, Row>> = {
  'encode gives undefined': whole({ encode: given(undefined) }, 'identity', found),
  'encode gives a string': whole({ encode: given('text') }, 'identity', found),
  'encode gives a promise of undefined': whole({ encode: given(Promise.resolve()) }, 'identity', found),
  'encode rejects': whole({ encode: () => Promise.reject(new Fault('mine')) }, 'identity'),
  'createStream throws': streamed({ createStream: boom }, 'identity'),
  'createStream gives undefined': streamed({ createStream: given(undefined) }, 'identity', found),
  'createStream gives no flush': streamed(streamOf(pass, { flush: undefined as never }), 'identity', found),
  'createStream gives no transform': streamed(streamOf(given({ write: () => true })), 'identity', found),
  'the transform throws': streamed(streamOf(() => transformWith(boom))),
  'the transform fails': streamed(streamOf(() => transformWith((_chunk, callback) => failLater(callback)))),
  'the transform gives strings': streamed(
    streamOf(() => transformWith(asText, { readableObjectMode: true })),
    'cut',
    found,
  ),
  'the transform ends early': {
    ...streamed(
      streamOf(() =>
        transformWith(function (_chunk, callback) {
          this.push(null);
          callback();
        }),
      ),
      'cut',
      found,
    ),
    kinds: ['long'],
  },
  'the transform closes early': streamed(
    streamOf(() =>
      transformWith(function () {
        this.destroy();
      }),
    ),
  ),
  'the transform fails after it has closed': streamed(
    streamOf(() => transformWith(passOn, { destroy: (_error, done) => failLater(done) })),
    ownCoding,
    silently,
  ),
  'flush throws': { ...streamed(streamOf(() => transformWith(passOn), { flush: boom })), kinds: ['long'] },
  'flush never calls back': streamed(streamOf(pass, { flush: () => undefined }), ownCoding, silently),
  'flush calls back twice': streamed(
    streamOf(() => transformWith(passOn), {
      flush: (callback) => {
        callback();
        callback();
      },
    }),
    ownCoding,
    silently,
  ),
  'start gives undefined': streamed(streamOf(pass, { start: given(undefined) }), 'cut', found),
  'destroy throws': streamed(
    streamOf(() => Object.assign(pass({ autoDestroy: false }), { destroy: boom })),
    ownCoding,
  ),
  'createBlocks throws': blocked({ createBlocks: boom }, 'identity'),
  'createBlocks gives undefined': blocked({ createBlocks: given(undefined) }, 'identity', found),
  'createBlocks gives undefined, beside a createStream': blocked(
    { ...streamOf(pass), createBlocks: given(undefined) },
    'identity',
    found,
  ),
  'createBlocks gives no close': blocked(blocksOf({ close: undefined }), 'identity', found),
  'a block is undefined': blocked(blocksOf({ encode: given(undefined) }), 'cut', found),
  'a block is a promise of undefined': blocked(blocksOf({ encode: () => Promise.resolve() }), 'cut', found),
  'a block is a string': blocked(blocksOf({ encode: String }), 'cut', found),
  'close throws': blocked(blocksOf({ close: boom }), ownCoding),
  'retune is not there': blocked(blocksOf({}), ownCoding, silently),
  'memory is no number': blocked(blocksOf({ memory: 'much' }), ownCoding, silently),
  'blockMemory throws': blocked({ ...blocksOf({}), blockMemory: boom }, ownCoding),
  'blockMemory is NaN': blocked({ ...blocksOf({}), blockMemory: given(Number.NaN) }, ownCoding, silently),
  'streamMemory is NaN': streamed({ ...streamOf(pass), streamMemory: Number.NaN }, ownCoding, silently),
  'weight throws': blocked({ ...blocksOf({}), weight: boom }, 'identity'),
  'weight is no weight': blocked({ ...blocksOf({}), weight: given('1') }, 'identity', found),
};

const rows = Object.entries(broken).flatMap(([fault, row]) => row.kinds.map((kind) => ({ fault, kind, row })));
const matrix = carriers.flatMap((carrier) => rows.map((row) => ({ on: carrier.name, carrier, ...row })));

const title = 'a codec whose fault is that $fault never makes part of a body look whole: $kind, on $on';

it.each(matrix)(title, async ({ carrier, kind, row }) => {
  const { client, thrown, nothingLeft, running } = await stage(carrier, row.codec, kind);
  expect(await settles(outcomeOf(client))).toBe(row.outcome);
  await until(nothingLeft, () => 'an encoder is still counted');
  // The handler has no part in it.
  expect([thrown, running.errors]).toEqual([[], []]);
  if (row.silent) expect(published).toEqual([]);
  else expect(published).toContainEqual(expect.any(row.found ? CodecFailedError : Error));
});

it.each(carriers)('`available` that throws offers nothing, on $name', async (carrier) => {
  const codec = Object.defineProperty({ coding: ownCoding, ...blocksOf({}) }, 'available', { get: boom });
  const compression = compress({ codecs: [codec as Codec] });
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
  ['the transform never ends', 'joined', streamOf(() => transformWith(passOn, { flush: () => undefined })), 'cut'],
  ['a block never settles', 'event-stream', blocksOf({ encode: never }), 'cut'],
];

describe.each([bare, h2c])('over $name', (carrier) => {
  it.each(silent)('a codec of which %s (%s) is counted out when the client leaves', async (_fault, kind, codec) => {
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

  it.each(silent)('a codec of which %s (%s) has failed', async (_fault, kind, codec, outcome) => {
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
