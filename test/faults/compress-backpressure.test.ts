import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  type BlockEncoder,
  brotli,
  type Codec,
  compress,
  type Compression,
  type CompressErrorMessage,
  deflate,
  type Governor,
  gzip,
  zstd,
} from '../../src/compress/index.ts';
import { TransformBlocks } from '../../src/compress/codecs/transform-blocks.ts';
import { type CloseReason, sse } from '../../src/index.ts';
import { type BodyClient, http1Client, http2Client } from '../support/body-clients.ts';
import { bare, type Carrier, h2c, type Middleware } from '../support/carriers.ts';
import { codings, decodeStrictly } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { getRequest } from '../support/raw.ts';
import { serve, type Served } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { settles, turns, until } from '../support/until.ts';

const protocols: [string, Carrier][] = [
  ['HTTP/1.1', bare],
  ['HTTP/2', h2c],
];
const kinds: [string, string][] = [
  ['an event stream', 'text/event-stream'],
  ['a long body', 'text/plain'],
];

/** Text that hardly gets shorter, so that the bytes pile up behind the encoder too; the same for each number. */
const piece = (index: number): string => noise(16_000, index);

interface Scene {
  readonly compression: Compression;
  readonly running: Served;
  readonly client: BodyClient;
}

type Handler = (res: ServerResponse) => unknown;

/** A server that compresses what a handler writes, and a client. */
function stage(carrier: Carrier, compression: Compression, type: string, handler: Handler): Promise<Scene> {
  return mount(carrier, compression, (_req, res) => {
    (res as ServerResponse).setHeader('Content-Type', type);
    return handler(res as ServerResponse);
  });
}

async function mount(carrier: Carrier, compression: Compression, middleware: Middleware): Promise<Scene> {
  const running = await serve(carrier, compression, middleware);
  const client = carrier.protocol === 'http1' ? http1Client(running) : http2Client(running);
  onTestFinished(() => client.close());
  return { compression, running, client };
}

/** Settles at 'drain', or when there will be none. */
function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
  });
}

/** A coding that is none of Node's. */
const ownCoding = 'x-coding';

// What is published, and what nobody caught.
let published: unknown[] = [];
let unhandled: unknown[] = [];

beforeEach(() => {
  published = [];
  unhandled = [];
  const note = (message: unknown): void => void published.push((message as CompressErrorMessage).error);
  const noteUnhandled = (reason: unknown): void => void unhandled.push(reason);
  subscribe('sluice:compress:error', note);
  process.on('unhandledRejection', noteUnhandled);
  return () => {
    unsubscribe('sluice:compress:error', note);
    process.off('unhandledRejection', noteUnhandled);
  };
});

async function expectNothingLeft({ compression }: Scene): Promise<void> {
  await until(
    () => compression.activeEncoders === 0 && compression.encoderBytes === 0,
    () => `${compression.activeEncoders} encoders, ${compression.encoderBytes} bytes`,
  );
  await turns();
  expect(unhandled).toEqual([]);
}

/** A writer that waits, and whose end is up to the test. */
class Patient {
  limit = Infinity;
  produced = 0;
  /** The most that the response held after a write. */
  most = 0;
  res: ServerResponse | undefined;

  readonly write = async (res: ServerResponse): Promise<void> => {
    this.res = res;
    while (this.produced < this.limit && !res.destroyed) {
      const ok = res.write(piece(this.produced++));
      this.most = Math.max(this.most, res.writableLength);
      expect(res.writableNeedDrain).toBe(!ok);
      if (!ok) await drained(res);
    }
    res.end();
  };

  /** Waits until it is held back. */
  async parked(): Promise<void> {
    let before = '';
    // Also what it holds, which an encoder in another thread makes less of as late as it likes.
    for (let stable = 0; stable < 20;) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const now = `${this.produced}, ${this.res?.writableLength}`;
      stable = now === before && this.produced > 0 ? stable + 1 : 0;
      before = now;
    }
  }
}

describe.each(protocols)('over %s, a client that does not read', (_protocol, carrier) => {
  describe.each(kinds)('%s', (_kind, type) => {
    it.each(codings)(
      'holds back a writer that waits, and gets everything when it reads: %s',
      { timeout: 60_000 },
      async (coding) => {
        const writer = new Patient();
        const scene = await stage(carrier, compress(), type, writer.write);
        const reading = await scene.client.get('/', coding);
        expect(reading.coding).toBe(coding);
        reading.pause();
        await writer.parked();
        writer.limit = writer.produced + 50;
        reading.resume();
        expect(await settles(reading.over, 40_000)).toBe('end');
        const expected = Array.from({ length: writer.limit }, (_each, index) => piece(index)).join('');
        expect(decodeStrictly(coding, reading.bytes).toString() === expected).toBe(true);
        // A piece past the marks of the encoder and of Node below it.
        expect(writer.most).toBeLessThan(400_000);
        await expectNothingLeft(scene);
      },
    );

    it.each(codings)('tells a writer that does not wait how much it holds: %s', { timeout: 60_000 }, async (coding) => {
      const writer = new Patient();
      const scene = await stage(carrier, compress(), type, writer.write);
      const reading = await scene.client.get('/', coding);
      reading.pause();
      await writer.parked();
      const res = writer.res!;
      const before = res.writableLength;
      for (let index = 0; index < 8; index++) {
        expect(res.write(noise(1_000_000, index))).toBe(false);
        expect(res.writableLength - before).toBeGreaterThanOrEqual((index + 1) * 1_000_000);
        await turns(1);
      }
      await turns(20);
      // Some of the text is there as output, with the input that is not done with yet.
      expect(Math.abs(res.writableLength - before - 8_000_000)).toBeLessThan(300_000);
      expect(res.writableNeedDrain).toBe(true);
      reading.destroy();
      await expectNothingLeft(scene);
    });

    it.each(codings)('tells of what an encoder has in hand: %s', async (coding) => {
      const length = 3_000_000;
      const kept = deferred<number[]>();
      const scene = await stage(carrier, compress(), type, async (res) => {
        res.write('first\n');
        await turns(10);
        res.write(noise(length, 1));
        const lengths = [res.writableLength];
        // The tick has ended and the encoder is at it, in another thread.
        await new Promise<void>((resolve) => void process.nextTick(resolve));
        await new Promise<void>((resolve) => void process.nextTick(resolve));
        lengths.push(res.writableLength);
        kept.resolve(lengths);
        res.end();
      });
      const reading = await scene.client.get('/', coding);
      for (const held of await settles(kept.promise)) expect(held).toBeGreaterThanOrEqual(length);
      expect(await settles(reading.over)).toBe('end');
      expect(decodeStrictly(coding, reading.bytes).toString() === `first\n${noise(length, 1)}`).toBe(true);
    });
  });
});

describe.each(protocols)("over %s, 'drain'", (_protocol, carrier) => {
  describe.each(kinds)('of %s', (_kind, type) => {
    it.each(codings)('comes also when somebody who does not wait writes a little more: %s', async (coding) => {
      let drains = 0;
      const scene = await stage(carrier, compress(), type, async (res) => {
        res.on('drain', () => drains++);
        for (let round = 1; round <= 5; round++) {
          const before = drains;
          // Of what gets short and what does not.
          expect(res.write(round % 2 === 0 ? noise(200_000, round) : 'again '.repeat(100_000))).toBe(false);
          // While the encoder is at it, in another thread.
          await turns(1);
          res.write(': a heartbeat\n\n');
          if (drains === before) await settles(drained(res));
        }
        res.end();
      });
      const reading = await scene.client.get('/', coding);
      expect(await settles(reading.over)).toBe('end');
      expect(drains).toBeGreaterThanOrEqual(5);
      expect(scene.running.errors).toEqual([]);
    });

    it.each(codings)('comes once for each false, and not when nobody waits: %s', async (coding) => {
      let falses = 0;
      let drains = 0;
      const scene = await stage(carrier, compress(), type, async (res) => {
        res.on('drain', () => drains++);
        for (let index = 0; index < 60; index++) {
          if (!res.write(noise(index % 3 === 0 ? 100_000 : 1000, index))) {
            falses += 1;
            await settles(drained(res));
          }
        }
        res.write('more');
        await turns(20);
        res.end();
      });
      const reading = await scene.client.get('/', coding);
      expect(await settles(reading.over)).toBe('end');
      expect(drains).toBe(falses);
      expect(scene.running.errors).toEqual([]);
    });
  });
});

it.each(codings)('sse closes a consumer that is too slow, behind %s too', { timeout: 60_000 }, async (coding) => {
  const reasons: CloseReason[] = [];
  let sent = 0;
  const begun = deferred();
  const scene = await mount(
    bare,
    compress(),
    sse(
      async (stream) => {
        stream.onClose((reason) => reasons.push(reason));
        await stream.send('first');
        await begun.promise;
        while (stream.state === 'open') {
          void stream.send(piece(sent++)).catch(() => undefined);
          await turns(1);
        }
      },
      { maxBuffered: '256kb' },
    ),
  );
  const reading = await scene.client.get('/', coding);
  expect(reading.coding).toBe(coding);
  reading.pause();
  begun.resolve();
  await until(() => reasons.length > 0);
  expect(reasons).toEqual(['slow-consumer']);
  reading.resume();
  expect(await settles(reading.over)).toBe('aborted');
  await expectNothingLeft(scene);
});

describe.each(protocols)('over %s, encodes in the thread pool', (_protocol, carrier) => {
  const codecs = [
    gzip({ syncThreshold: 0 }),
    deflate({ syncThreshold: 0 }),
    brotli({ syncThreshold: 0 }),
    zstd({ syncThreshold: 0 }),
  ];

  it.each(codings)('keep the order, whatever their size: %s', async (coding) => {
    const sizes = Array.from({ length: 60 }, (_each, index) => (index % 4 === 0 ? 150_000 : 20 + index));
    const scene = await stage(carrier, compress({ codecs }), 'text/event-stream', async (res) => {
      for (const [index, size] of sizes.entries()) {
        res.write(`${index}: ${noise(size, index)}\n`);
        if (index % 3 === 0) await turns(1);
      }
      res.end('last\n');
    });
    const reading = await scene.client.get('/', coding);
    expect(await settles(reading.over)).toBe('end');
    expect(
      decodeStrictly(coding, reading.bytes).toString() ===
        `${sizes.map((size, index) => `${index}: ${noise(size, index)}\n`).join('')}last\n`,
    ).toBe(true);
    await expectNothingLeft(scene);
  });

  it.each(codings)('survive that the client leaves in the middle of one: %s', async (coding) => {
    const started = deferred();
    const outcomes: unknown[] = [];
    const scene = await stage(carrier, compress({ codecs }), 'text/event-stream', async (res) => {
      res.write('first\n');
      await turns(5);
      res.write(noise(2_000_000, 0), (error) => outcomes.push(error));
      res.write('more', (error) => outcomes.push(error));
      await turns(1);
      res.write('later', (error) => outcomes.push(error));
      started.resolve();
    });
    const reading = await scene.client.get('/', coding);
    await settles(started.promise);
    reading.destroy();
    await expectNothingLeft(scene);
    await until(() => outcomes.length >= 3);
    await turns(20);
    expect(outcomes).toHaveLength(3);
    const other = await scene.client.get('/', coding);
    expect(other.coding).toBe(coding);
    other.destroy();
  });

  it.each(codings)('of a complete body survive it too: %s', async (coding) => {
    const handled = deferred<ServerResponse>();
    const scene = await stage(carrier, compress({ codecs }), 'text/plain', (res) => {
      res.end(noise(3_000_000, 0));
      handled.resolve(res);
    });
    const reading = scene.client.get('/', coding);
    reading.catch(() => undefined);
    await settles(handled.promise);
    expect(scene.compression.activeEncoders).toBe(1);
    await leave(scene);
    await expectNothingLeft(scene);
    expect(published).toEqual([]);
  });
});

describe.each(protocols)('over %s, after the client has left', (_protocol, carrier) => {
  it.each(kinds)('a body that begins opens no encoder, and its writes are answered: %s', async (_kind, type) => {
    const outcome = deferred<unknown[]>();
    const arrived = deferred();
    const scene = await stage(carrier, compress(), type, async (res) => {
      const gone = new Promise((resolve) => void res.on('close', resolve));
      arrived.resolve();
      await gone;
      const errors: unknown[] = [];
      for (let index = 0; index < 3; index++) {
        res.write(noise(20_000, index), (error) => errors.push(error));
        await turns(3);
      }
      res.end();
      await turns(10);
      outcome.resolve(errors);
    });
    void scene.client.get('/', 'gzip').catch(() => undefined);
    await settles(arrived.promise);
    await leave(scene);
    expect(await settles(outcome.promise)).toEqual([expect.any(Error), expect.any(Error), expect.any(Error)]);
    await expectNothingLeft(scene);
  });

  it.each(kinds)('the writes to a body that is under way are answered: %s', async (_kind, type) => {
    const outcome = deferred<unknown[]>();
    const scene = await stage(carrier, compress(), type, async (res) => {
      const gone = new Promise((resolve) => void res.on('close', resolve));
      res.write('first\n');
      await gone;
      const errors: unknown[] = [];
      for (let index = 0; index < 3; index++) {
        res.write(noise(20_000, index), (error) => errors.push(error));
        await turns(3);
      }
      res.end();
      await turns(10);
      outcome.resolve(errors);
    });
    const reading = await scene.client.get('/', 'gzip');
    reading.destroy();
    expect(await settles(outcome.promise)).toEqual([expect.any(Error), expect.any(Error), expect.any(Error)]);
    await expectNothingLeft(scene);
  });
});

describe('when the client leaves', () => {
  describe.each(kinds)('%s', (_kind, type) => {
    it.each(codings)(
      'each write is answered once, and those that did not get through with an error: %s',
      async (coding) => {
        const outcomes: (Error | null | undefined)[][] = [];
        const kept = deferred<ServerResponse>();
        const scene = await stage(bare, compress({ idleFlush: 1 }), type, async (res) => {
          for (let index = 0; index < 40; index++) {
            const own: (Error | null | undefined)[] = [];
            outcomes.push(own);
            res.write(noise(index % 3 === 0 ? 400_000 : 100, index), (error) => own.push(error));
            if (index % 4 === 0) await turns(1);
          }
          kept.resolve(res);
        });
        const reading = await scene.client.get('/', coding);
        reading.pause();
        await settles(kept.promise);
        reading.destroy();
        await expectNothingLeft(scene);
        await until(
          () => outcomes.every((own) => own.length > 0),
          () => JSON.stringify(outcomes.map(String)),
        );
        await turns(10);
        expect(outcomes.map((own) => own.length)).toEqual(outcomes.map(() => 1));
        // In order: what came through, then what did not.
        const failed = outcomes.map(([error]) => error instanceof Error);
        expect(failed).toEqual(failed.toSorted((a, b) => Number(a) - Number(b)));
        expect(failed.at(-1)).toBe(true);
      },
    );
  });

  it.each(codings)(
    'the encoder of a long body is freed at once, and not when garbage is collected: %s',
    async (coding) => {
      const transforms: Transform[] = [];
      const watch = (codec: Codec): Codec => ({
        ...codec,
        createStream: (settings) => {
          const encoder = codec.createStream!(settings);
          transforms.push(encoder.transform);
          return encoder;
        },
      });
      const scene = await stage(
        bare,
        compress({ codecs: [gzip(), deflate(), brotli(), zstd()].map(watch) }),
        'text/plain',
        (res) => res.write(piece(0)),
      );
      const reading = await scene.client.get('/', coding);
      await until(() => transforms.length === 1);
      reading.destroy();
      await expectNothingLeft(scene);
      expect(transforms[0]!.destroyed).toBe(true);
    },
  );

  it.each(kinds)('the encoder of a pipelined response is freed too, before it is its turn: %s', async (_kind, type) => {
    const scene = await stage(bare, compress(), type, (res) => res.write(noise(50_000)));
    const client = await scene.running.dial();
    client.send(getRequest('/', { 'Accept-Encoding': 'gzip' }).repeat(3));
    await until(() => scene.compression.activeEncoders === 3);
    client.destroy();
    await expectNothingLeft(scene);
  });

  it('the encoder of an event stream is freed at once too', () => {
    const transform = new PassThrough();
    new TransformBlocks(transform, 1).close();
    expect(transform.destroyed).toBe(true);
  });
});

it("'drain' comes also behind a transform that holds more than the response", async () => {
  const createStream: Codec['createStream'] = () => ({
    transform: new PassThrough({ highWaterMark: 10_000_000 }),
    memory: 10,
    flush: (callback) => callback(),
  });
  const drains: string[] = [];
  const written = deferred();
  const scene = await stage(
    bare,
    compress({ codecs: [{ coding: ownCoding, available: true, createStream }] }),
    'text/plain',
    async (res) => {
      // More than the kernel takes, and than Node does.
      for (let index = 0; index < 600; index++) res.write(piece(index));
      await turns(20);
      written.resolve();
      await drained(res);
      drains.push(res.destroyed ? 'closed' : 'drain');
      res.end();
    },
  );
  const reading = await scene.client.get('/', ownCoding);
  reading.pause();
  await settles(written.promise);
  reading.resume();
  expect(await settles(reading.over)).toBe('end');
  expect(drains).toEqual(['drain']);
  expect(reading.bytes.length).toBe(600 * 16_000);
});

it.each([...kinds, ['a complete body', 'text/plain; complete']])(
  'a governor that throws holds up no encoder: %s',
  async (_kind, type) => {
    const governor: Governor = {
      tier: 0,
      load: 0,
      on: () => () => undefined,
      observe: () => {
        throw new Fault('mine');
      },
      close: () => undefined,
    };
    const text = piece(0);
    const scene = await stage(bare, compress({ governor, codecs: [gzip({ syncThreshold: 0 })] }), type, async (res) => {
      if (type.endsWith('complete')) {
        res.end(text);
        return;
      }
      res.write(text);
      await turns(5);
      res.end(text);
    });
    const reading = await settles(scene.client.get('/', 'gzip'));
    expect(await settles(reading.over)).toBe('end');
    expect(decodeStrictly('gzip', reading.bytes).toString()).toBe(type.endsWith('complete') ? text : text + text);
    await expectNothingLeft(scene);
    expect(published.length).toBeGreaterThan(0);
  },
);

/** Cuts the connection of a client that has no response yet. */
async function leave({ running, client }: Scene): Promise<void> {
  await turns();
  client.close();
  if ('closeAllConnections' in running.server) running.server.closeAllConnections();
}

// Codecs that fail.

class Fault extends Error {}

/** Does what it can to fail: at once or later, at the call with the number `at`. */
function fail(calls: { count: number }, at: number, late: boolean): Promise<never> | undefined {
  if (calls.count++ !== at) return undefined;
  if (late) return turns(1).then(() => Promise.reject(new Fault('mine')));
  throw new Fault('mine');
}

function failingBlocks(at: number, late: boolean): BlockEncoder {
  const calls = { count: 0 };
  return { memory: 10, encode: (text) => fail(calls, at, late) ?? text, close: () => undefined };
}

class FailingTransform extends Transform {
  #calls = 0;
  readonly #at: number;
  readonly #late: boolean;

  constructor(at: number, late: boolean) {
    super();
    this.#at = at;
    this.#late = late;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#next(chunk, callback);
  }

  override _flush(callback: TransformCallback): void {
    this.#next(Buffer.alloc(0), callback);
  }

  #next(chunk: Buffer, callback: TransformCallback): void {
    const fault = this.#calls++ === this.#at ? new Fault('mine') : undefined;
    if (fault && !this.#late) throw fault;
    if (fault) setImmediate(callback, fault);
    else callback(null, chunk);
  }
}

/** Writes three times and ends: four calls of an encoder. */
async function threeAndEnd(res: ServerResponse): Promise<void> {
  for (const text of ['one\n', 'two\n', 'three\n']) {
    if (res.destroyed) return;
    res.write(text);
    await turns(4);
  }
  res.end();
}

const moments: [string, number][] = [
  ['the first', 0],
  ['a later', 2],
  ['the last', 3],
];
const ways: [string, boolean][] = [
  ['throws', false],
  ['fails late', true],
];
const table = moments.flatMap(([moment, at]) => ways.map(([way, late]) => ({ moment, at, way, late })));

describe.each(protocols)('over %s, an encoder', (_protocol, carrier) => {
  async function expectBroken(scene: Scene): Promise<void> {
    const reading = await settles(scene.client.get('/', ownCoding)).catch((error: unknown) => error as Error);
    // Where the head could not go out in time the client has nothing but a closed connection.
    if (!(reading instanceof Error)) {
      expect(await settles(reading.over)).toBe('aborted');
      expect('one\ntwo\nthree\n'.startsWith(reading.bytes.toString())).toBe(true);
    }
    await expectNothingLeft(scene);
    expect(published).toEqual([expect.any(Fault)]);
  }

  async function expectPlain(scene: Scene, text: string): Promise<void> {
    const reading = await settles(scene.client.get('/', ownCoding));
    expect(reading.coding).toBe('identity');
    expect(await settles(reading.over)).toBe('end');
    expect(reading.bytes.toString()).toBe(text);
    await expectNothingLeft(scene);
    expect(published).toEqual([expect.any(Fault)]);
  }

  function offering(codec: Partial<Codec>): Compression {
    return compress({ codecs: [{ coding: ownCoding, available: true, ...codec }], threshold: 0 });
  }

  it.each(table)('of an event stream that $way at $moment block cuts the connection', async ({ at, late }) => {
    await expectBroken(
      await stage(carrier, offering({ createBlocks: () => failingBlocks(at, late) }), 'text/event-stream', threeAndEnd),
    );
  });

  // A Transform that throws breaks its writer, as that of anybody else would.
  it.each(table.filter(({ late }) => late))(
    'of a long body that $way at $moment chunk cuts the connection',
    async ({ at, late }) => {
      const createStream: Codec['createStream'] = () => {
        const transform = new FailingTransform(at, late);
        return { transform, memory: 10, flush: (callback) => callback() };
      };
      await expectBroken(await stage(carrier, offering({ createStream }), 'text/plain', threeAndEnd));
    },
  );

  it('that cannot be made leaves an event stream as it is', async () => {
    const createBlocks = (): never => {
      throw new Fault('mine');
    };
    await expectPlain(
      await stage(carrier, offering({ createBlocks }), 'text/event-stream', threeAndEnd),
      'one\ntwo\nthree\n',
    );
  });

  it('that cannot be made leaves a long body as it is, or cuts the connection', async () => {
    const createStream = (): never => {
      throw new Fault('mine');
    };
    const scene = await stage(carrier, offering({ createStream }), 'text/plain', threeAndEnd);
    const reading = await settles(scene.client.get('/', ownCoding)).catch((error: unknown) => error as Error);
    if (!(reading instanceof Error)) {
      const over = await settles(reading.over);
      if (reading.coding === 'identity') expect([over, reading.bytes.toString()]).toEqual(['end', 'one\ntwo\nthree\n']);
      else expect(over).toBe('aborted');
    }
    await expectNothingLeft(scene);
    expect(published).toEqual([expect.any(Fault)]);
  });

  it.each(ways)('of a complete body that %s leaves it as it is', async (_way, late) => {
    const encode: Codec['encode'] = () => fail({ count: 0 }, 0, late)!;
    await expectPlain(
      await stage(carrier, offering({ encode }), 'text/plain', (res) => res.end('the whole')),
      'the whole',
    );
  });

  it.each(ways)(
    'of a body that came within one tick and that %s does not end as if it were whole',
    async (_way, late) => {
      const encode: Codec['encode'] = () => fail({ count: 0 }, 0, late)!;
      const createStream: Codec['createStream'] = () => ({
        transform: new FailingTransform(0, true),
        memory: 10,
        flush: (callback) => callback(),
      });
      await expectBroken(
        await stage(carrier, offering({ encode, createStream }), 'text/plain', (res) => {
          res.write('one\n');
          res.end('two\n');
        }),
      );
    },
  );

  it('that gives no promise but throws while it is retuned cuts the connection', async () => {
    const createBlocks = (): BlockEncoder => ({
      ...failingBlocks(-1, false),
      retune: () => {
        throw new Fault('mine');
      },
    });
    const compression = compress({ codecs: [{ coding: ownCoding, available: true, createBlocks }], live: true });
    await expectBroken(await stage(carrier, compression, 'text/event-stream', threeAndEnd));
  });

  it('that fails takes no other response with it', async () => {
    const scene = await stage(
      carrier,
      offering({
        createBlocks: (() => {
          let made = 0;
          return () => failingBlocks(made++ % 2 === 0 ? 1 : -1, false);
        })(),
      }),
      'text/event-stream',
      threeAndEnd,
    );
    const outcomes = await settles(
      Promise.all(
        Array.from({ length: 20 }, async () => {
          const reading = await scene.client.get('/', ownCoding);
          return reading.over;
        }),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'end')).toHaveLength(10);
    expect(outcomes.filter((outcome) => outcome === 'aborted')).toHaveLength(10);
    await expectNothingLeft(scene);
    expect(published).toHaveLength(10);
  });
});
