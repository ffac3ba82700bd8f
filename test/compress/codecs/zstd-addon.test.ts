import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { decompress as fzstd } from 'fzstd';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { StreamEncoder } from '../../../src/compress/codec.ts';
import { zstd } from '../../../src/compress/codecs/zstd.ts';
import { createAddonStream, loadZstdAddon, type ZstdAddon } from '../../../src/compress/codecs/zstd-addon.ts';
import { CodecUnavailableError } from '../../../src/errors.ts';
import { deferred } from '../../support/deferred.ts';
import { settles, turns, until } from '../../support/until.ts';
import { importZstdAddon, lacksZstdAddon, parseZstdFrames } from '../../support/zstd-addon.ts';

const megabyte = 2 ** 20;
const empty = new Uint8Array(0);
/** Frames end at multiples of this, and blocks are no smaller. */
const unit = 16_384;

const json = Buffer.from(
  Array.from({ length: 60_000 }, (_, i) =>
    JSON.stringify({ id: i, name: `user ${(i * 7919) % 10_007}`, score: Math.sin(i) }),
  ).join(''),
);

/** JSON with some variety, of a size of at most 3.3 MB. */
function textOf(size: number): Buffer {
  return Buffer.from(json.subarray(0, size));
}

interface NativeDecoder {
  zstdDecompressSync?(bytes: Uint8Array): Buffer;
}

/**
 * The text of a body, or of its beginning, on which all decoders that are here agree: that of the addon, one in plain
 * JavaScript, and Node's, which on 22 and 24 stops at some ends of frames (nodejs/node#64741).
 */
async function decode(coded: Uint8Array): Promise<Buffer> {
  const { decompress } = await importZstdAddon();
  const text = decodeInPlainJavaScript(coded);
  // Compared as a whole: a matcher would go through megabytes one by one.
  expect(text.equals(await decompress(ended(coded)))).toBe(true);
  const native = (zlib as NativeDecoder).zstdDecompressSync?.(ended(coded));
  if (native !== undefined) expect(text.equals(native)).toBe(true);
  return text;
}

function decodeInPlainJavaScript(coded: Uint8Array): Buffer {
  return Buffer.from(fzstd(ended(coded)));
}

/** Decoders of whole bodies want the end of the last frame: an empty last block is one. */
function ended(coded: Uint8Array): Uint8Array {
  try {
    parseZstdFrames(coded);
    return coded;
  } catch {
    return Buffer.concat([coded, Uint8Array.of(1, 0, 0)]);
  }
}

/** Bytes of text in each frame of a body. */
function sizesOf(coded: Uint8Array): number[] {
  let offset = 0;
  return parseZstdFrames(coded).map(
    ({ length }) => decodeInPlainJavaScript(coded.subarray(offset, (offset += length))).length,
  );
}

/** Collects what an encoder gives, from now on. */
function collect({ transform }: StreamEncoder): Buffer[] {
  const output: Buffer[] = [];
  transform.on('data', (bytes: Buffer) => output.push(bytes));
  return output;
}

function flush(encoder: StreamEncoder): Promise<void> {
  return settles(new Promise((resolve) => encoder.flush(resolve)));
}

/** A frame of one raw block, of at most 128 kB. */
function frameOf(text: Uint8Array): Buffer {
  const head = Buffer.from('28b52ffda0000000000000' + '00', 'hex');
  head.writeUInt32LE(text.length, 5);
  head.writeUIntLE((text.length << 3) | 1, 9, 3);
  return Buffer.concat([head, text]);
}

/** An addon whose encodes are settled by the test, and compress nothing. */
function manualAddon() {
  const encodes: { text: Buffer; settle: () => void; fail: (error: Error) => void }[] = [];
  const addon: ZstdAddon = {
    encode(body) {
      const { promise, resolve, reject } = deferred<Uint8Array>();
      const text = Buffer.from(body);
      encodes.push({ text, settle: () => resolve(frameOf(text)), fail: reject });
      return promise;
    },
  };
  return { addon, encodes };
}

/** An addon that is done at once. */
function promptAddon() {
  return { encode: vi.fn(async (body: Uint8Array, _level: number) => frameOf(body)) };
}

/** As many bytes as a block has of each letter. */
function blocksOf(letters: string): string {
  return Array.from(letters, (letter) => letter.repeat(unit)).join('');
}

/** What was decoded by now, with a run of a letter that is as long as a block as one letter. */
function textIn(output: readonly Uint8Array[]): string {
  const text = decodeInPlainJavaScript(Buffer.concat(output)).toString();
  return text.replace(/(.)\1*/g, (run, letter: string) =>
    run.length % unit === 0 ? letter.repeat(run.length / unit) : run,
  );
}

it('is weighed under gzip for short complete bodies, unless its level is chosen', () => {
  const addon = importZstdAddon;
  const context = { kind: 'complete', tier: 0, size: 2000 } as const;
  expect(zstd({ addon }).weight!(context)).toBeLessThan(0.9);
  expect(zstd({ addon, level: 3 }).weight!(context)).toBeUndefined();
  expect(zstd({ addon }).weight!({ ...context, size: 20_000 })).toBeUndefined();
});

describe('loading', () => {
  const compress = async (): Promise<Uint8Array> => empty;

  it.each([
    ['Node', 'ERR_MODULE_NOT_FOUND', "Cannot find package '@mongodb-js/zstd' imported from a.js"],
    ['Jest with ES modules', 'MODULE_NOT_FOUND', "Cannot find module '@mongodb-js/zstd' from 'a.js'"],
    ['webpack', 'MODULE_NOT_FOUND', "Cannot find module '@mongodb-js/zstd'"],
    ['Jest', 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING_FLAG', 'A dynamic import callback was invoked without a flag'],
    ['a script in node:vm', 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING', 'A dynamic import callback was not specified.'],
    ['Vite', undefined, 'Could not resolve "@mongodb-js/zstd" imported by "sluice".'],
  ])('gives nothing where the peer is not installed, as %s says it', async (_loader, code, message) => {
    const absent = Object.assign(new Error(message), { code });
    expect(await loadZstdAddon(() => Promise.reject(absent))).toBeUndefined();
  });

  it('gives nothing where the peer is not installed', async () => {
    expect(await loadZstdAddon()).toBeUndefined();
  });

  it('loads the peer once', () => {
    expect(loadZstdAddon()).toBe(loadZstdAddon());
  });

  it('says that a peer is broken when its binary is missing', async () => {
    const cause = Object.assign(new Error("Cannot find module '../build/Debug/zstd.node'"), {
      code: 'MODULE_NOT_FOUND',
    });
    const loading = loadZstdAddon(() => Promise.reject(cause));
    await expect(loading).rejects.toThrow(CodecUnavailableError);
    await expect(loading).rejects.toMatchObject({ coding: 'zstd', cause, message: expect.stringContaining('install') });
  });

  it.each([[{}], [{ compress: 1 }], [{ default: {} }]])('says that a module is not the addon: %j', async (imported) => {
    await expect(loadZstdAddon(async () => imported)).rejects.toMatchObject({ code: 'ERR_SLUICE_CODEC_UNAVAILABLE' });
  });

  it('takes a module that has compress', async () => {
    const addon = await loadZstdAddon(async () => ({ compress }));
    expect(await addon?.encode(empty, 3)).toBe(empty);
  });
});

describe.skipIf(lacksZstdAddon('the tests of zstd by an addon'))('the real addon', () => {
  let addon: ZstdAddon;

  beforeAll(async () => {
    addon = (await loadZstdAddon(importZstdAddon))!;
  });

  describe('a complete body', () => {
    it.each([0, 1, 255, 256, 300, 65_791, 65_792, 200_000, 3 * megabyte])(
      'of %i bytes is one frame that says its size',
      async (size) => {
        const coded = await addon.encode(textOf(size), 3);
        expect(parseZstdFrames(coded)).toMatchObject([{ kind: 'zstd', contentSize: size }]);
        expect((await decode(coded)).equals(textOf(size))).toBe(true);
      },
    );

    it.each([-5, 1, 3, 9, 19, 22])('has a window of at most 8 MB at level %i, however long it is', async (level) => {
      // Zeros, which take no time at any level, and windows are by length.
      const body = Buffer.alloc(20 * megabyte);
      const coded = await addon.encode(body, level);
      const [frame] = parseZstdFrames(coded);
      expect(frame).toMatchObject({ contentSize: body.length });
      expect(frame!.windowSize).toBeLessThanOrEqual(8 * megabyte);
    });

    it('is smaller at a higher level', async () => {
      const body = textOf(200_000);
      const [low, high] = await Promise.all([addon.encode(body, 1), addon.encode(body, 19)]);
      expect(high!.length).toBeLessThan(low!.length);
    });

    it('is what it was when it was handed over', async () => {
      const body = textOf(200_000);
      const encoding = addon.encode(body, 3);
      body.fill(0);
      expect((await decode(await encoding)).equals(textOf(200_000))).toBe(true);
    });
  });

  describe('a long body', () => {
    it('is decoded to what was written, however it was cut and flushed', async () => {
      const pieces = fc.array(
        fc.tuple(
          fc.oneof(
            fc.nat(2000),
            fc.nat(40_000),
            fc.nat(3).map((n) => n * unit),
          ),
          fc.boolean(),
        ),
        { maxLength: 6 },
      );
      await fc.assert(
        fc.asyncProperty(pieces, fc.constantFrom(unit, 3 * unit, 8 * unit, 20 * unit), async (cuts, blockSize) => {
          const encoder = createAddonStream(addon, { level: 3, blockSize });
          const output = collect(encoder);
          const source = textOf(cuts.reduce((sum, [size]) => sum + size, 0));
          let offset = 0;
          for (const [size, flushed] of cuts) {
            encoder.transform.write(source.subarray(offset, (offset += size)));
            if (!flushed) continue;
            await flush(encoder);
            if (offset > 0) expect((await decode(Buffer.concat(output))).equals(source.subarray(0, offset))).toBe(true);
          }
          encoder.transform.end();
          await settles(once(encoder.transform, 'end'));
          const coded = Buffer.concat(output);
          expect((await decode(coded)).equals(source)).toBe(true);
          const sizes = sizesOf(coded);
          expect(sizes.slice(0, -1).every((size) => size % unit === 0)).toBe(true);
          if (source.length > 0) expect(sizes).not.toContain(0);
          else expect(sizes).toEqual([0]);
        }),
        { numRuns: 30 },
      );
    });

    it('is decoded after flushes at every level, whose blocks differ', async () => {
      const source = textOf(400_000);
      for (const level of [-7, 1, 3, 6, 9, 13, 16, 19]) {
        const encoder = createAddonStream(addon, { level });
        const output = collect(encoder);
        for (const [start, end] of [
          [0, 100_001],
          [100_001, 100_002],
          [100_002, 300_000],
        ]) {
          encoder.transform.write(source.subarray(start, end));
          await flush(encoder);
        }
        encoder.transform.end(source.subarray(300_000));
        await settles(once(encoder.transform, 'end'));
        expect((await decode(Buffer.concat(output))).equals(source)).toBe(true);
      }
    });

    it.each([
      [undefined, 128 * 1024, 16],
      [1, unit, 128],
      [unit + 1, 2 * unit, 64],
      [megabyte, megabyte, 2],
    ])('with blocks of %s bytes has windows and frames no larger than %i', async (blockSize, largest, count) => {
      const encoder = createAddonStream(addon, { level: 3, ...(blockSize !== undefined && { blockSize }) });
      const body = textOf(megabyte);
      const coded = await buffer(Readable.from([body, body]).pipe(encoder.transform));
      expect((await decode(coded)).equals(Buffer.concat([body, body]))).toBe(true);
      const frames = parseZstdFrames(coded);
      expect(frames).toHaveLength(count);
      expect(frames.every(({ windowSize, contentSize }) => windowSize <= largest && contentSize! <= largest)).toBe(
        true,
      );
      expect(encoder.memory).toBe(2 * largest);
    });

    it.each([
      [unit, 128 * 1024],
      [megabyte - 1, megabyte],
    ])('that is flushed, with blocks of %i bytes, has a window of %i', async (blockSize, windowSize) => {
      const encoder = createAddonStream(addon, { level: 3, blockSize });
      const output = collect(encoder);
      encoder.transform.write(textOf(1000));
      await flush(encoder);
      encoder.transform.end();
      await settles(once(encoder.transform, 'end'));
      expect(parseZstdFrames(Buffer.concat(output))).toMatchObject([{ windowSize, contentSize: undefined }]);
    });

    it('that is empty is one empty frame', async () => {
      const encoder = createAddonStream(addon, { level: 3 });
      const output = collect(encoder);
      await flush(encoder);
      expect(output).toEqual([]);
      encoder.transform.end();
      await settles(once(encoder.transform, 'end'));
      expect(parseZstdFrames(Buffer.concat(output))).toMatchObject([{ contentSize: 0 }]);
      expect(await decode(Buffer.concat(output))).toHaveLength(0);
    });

    it('is read by a slow reader in full, with no more at a time than there has to be', async () => {
      const encoder = createAddonStream(addon, { level: 1, blockSize: 2 * unit });
      // Not to be compressed, and written at once.
      const body = randomBytes(2 * megabyte);
      encoder.transform.end(body);
      const output: Buffer[] = [];
      let most = 0;
      for await (const bytes of encoder.transform as AsyncIterable<Buffer>) {
        output.push(bytes);
        await turns(5);
        most = Math.max(most, encoder.transform.readableLength);
      }
      expect(most).toBeLessThan(4 * unit + encoder.transform.readableHighWaterMark);
      expect((await decode(Buffer.concat(output))).equals(body)).toBe(true);
    });

    it('keeps its order beside a hundred others', async () => {
      const bodies = Array.from({ length: 100 }, (_, i) => `body ${i} `.repeat(8000));
      const coded = await Promise.all(
        bodies.map((body) => {
          const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
          return buffer(Readable.from([body]).pipe(encoder.transform));
        }),
      );
      for (const [i, body] of bodies.entries()) expect((await decode(coded[i]!)).toString()).toBe(body);
    });
  });
});

describe('an encoder of long bodies', () => {
  it('encodes one block at a time', async () => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const output = collect(encoder);
    encoder.transform.write(`${blocksOf('ab')}c`);
    for (const [nth, text] of ['a', 'b'].entries()) {
      await until(() => encodes.length > nth);
      await turns();
      expect(encodes).toHaveLength(nth + 1);
      expect(String(encodes[nth]!.text)).toBe(blocksOf(text));
      encodes[nth]!.settle();
    }
    await until(() => textIn(output) === 'ab');
    encoder.transform.end();
    await until(() => encodes.length === 3);
    encodes[2]!.settle();
    await settles(once(encoder.transform, 'end'));
    expect(textIn(output)).toBe('abc');
  });

  it('keeps a copy of what waits for its block, since a writer may use its bytes again', async () => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const bytes = Buffer.alloc(unit / 2, 'a');
    await new Promise((resolve) => encoder.transform.write(bytes, resolve));
    bytes.fill('b');
    encoder.transform.write(bytes);
    expect(String(encodes[0]?.text)).toBe('a'.repeat(unit / 2) + 'b'.repeat(unit / 2));
  });

  it('calls a flush back after what it flushed, in the order of the writes', async () => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const output = collect(encoder);
    const order: string[] = [];
    const onFlushed = (): void => void order.push(textIn(output).slice(0, 2));
    encoder.transform.write('a');
    encoder.flush(onFlushed);
    encoder.transform.write('b');
    encoder.flush(onFlushed);
    encoder.flush(onFlushed);
    encoder.transform.write('c'.repeat(unit - 2));
    encoder.transform.write(blocksOf('d'));
    encoder.flush(() => order.push('all'));
    for (const [nth, text] of ['a', blocksOf('d')].entries()) {
      await until(() => encodes.length > nth);
      await turns();
      expect(encodes).toHaveLength(nth + 1);
      expect(String(encodes[nth]!.text)).toBe(text);
      encodes[nth]!.settle();
    }
    await until(() => order.length === 4);
    // Node may call several back together.
    expect(order).toEqual([expect.stringMatching(/^ab?$/), 'ab', 'ab', 'all']);
    expect(textIn(output)).toBe(`ab${'c'.repeat(unit - 2)}d`);
  });

  it('ends a frame that a flush left open at the next multiple of 16 kB, with the text up to there as it is', async () => {
    const addon = promptAddon();
    const encoder = createAddonStream(addon, { level: 3 });
    const output = collect(encoder);
    encoder.transform.write('a'.repeat(unit + 1));
    await flush(encoder);
    encoder.transform.write('b'.repeat(unit));
    await flush(encoder);
    encoder.transform.end('cd');
    await settles(once(encoder.transform, 'end'));
    expect(addon.encode.mock.calls.map(([text]) => text.length)).toEqual([unit + 1, 1]);
    expect(sizesOf(Buffer.concat(output))).toEqual([2 * unit, 3]);
  });

  it('starts no frame for a flush that finds no text', async () => {
    const addon = promptAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const output = collect(encoder);
    await flush(encoder);
    encoder.transform.write('a');
    await flush(encoder);
    const { length } = output;
    await flush(encoder);
    await flush(encoder);
    expect(output).toHaveLength(length);
    expect(addon.encode).toHaveBeenCalledTimes(1);
  });

  it('calls a flush back at the end when the body has ended, and then at once', async () => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3 });
    const output = collect(encoder);
    encoder.transform.end('text');
    const flushed = flush(encoder);
    await until(() => encodes.length === 1);
    encodes[0]!.settle();
    await flushed;
    expect(textIn(output)).toBe('text');
    await flush(encoder);
    expect(output).toHaveLength(1);
  });

  it('waits for its reader between the blocks of one write', async () => {
    const addon = promptAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const body = randomBytes(20 * unit);
    encoder.transform.end(body);
    await turns(20);
    expect(addon.encode).toHaveBeenCalledTimes(Math.ceil(encoder.transform.readableHighWaterMark / unit));
    expect(decodeInPlainJavaScript(await settles(buffer(encoder.transform))).equals(body)).toBe(true);
  });

  it.each([
    ['during an encode', () => undefined],
    [
      'after the encode, before its frame',
      (encodes: ReturnType<typeof manualAddon>['encodes']) => encodes[0]!.settle(),
    ],
  ])('is destroyed %s: gives nothing more, and starts nothing more', async (_when, before) => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const output = collect(encoder);
    const unhandled = watchUnhandled();
    const failed = vi.fn();
    encoder.transform.on('error', failed);
    encoder.transform.write(blocksOf('ab'));
    encoder.transform.write(blocksOf('c'));
    const flushed = flush(encoder);
    await until(() => encodes.length === 1);
    before(encodes);
    encoder.transform.destroy();
    encodes[0]!.settle();
    await flushed;
    await turns(5);
    expect(output).toEqual([]);
    expect(encodes).toHaveLength(1);
    expect(failed).not.toHaveBeenCalled();
    await flush(encoder);
    expect(unhandled).toEqual([]);
  });

  it('is destroyed while it waits for its reader', async () => {
    const addon = promptAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    encoder.transform.write(randomBytes(20 * unit));
    await turns(20);
    const count = addon.encode.mock.calls.length;
    encoder.transform.destroy();
    await turns(20);
    expect(addon.encode).toHaveBeenCalledTimes(count);
    expect(encoder.transform.closed).toBe(true);
  });

  it.each(['during the body', 'at its end'])('is destroyed by an encode that fails %s', async (when) => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const output = collect(encoder);
    const unhandled = watchUnhandled();
    const failure = new Error('no memory');
    const failed = once(encoder.transform, 'error');
    if (when === 'at its end') encoder.transform.end('ab');
    else encoder.transform.write(blocksOf('ab'));
    await until(() => encodes.length === 1);
    encodes[0]!.fail(failure);
    expect(await settles(failed)).toEqual([failure]);
    await turns(5);
    expect(encoder.transform.destroyed).toBe(true);
    expect(encodes).toHaveLength(1);
    expect(output).toEqual([]);
    expect(unhandled).toEqual([]);
  });

  it('is destroyed by an addon that gives no frame', async () => {
    const encoder = createAddonStream({ encode: async () => Buffer.from('no frame') }, { level: 3 });
    const failed = once(encoder.transform, 'error');
    encoder.transform.write('text');
    encoder.flush(() => undefined);
    expect(await settles(failed)).toEqual([expect.any(RangeError)]);
  });

  it('is destroyed during an encode that fails: the failure is reported nowhere', async () => {
    const { addon, encodes } = manualAddon();
    const encoder = createAddonStream(addon, { level: 3, blockSize: unit });
    const unhandled = watchUnhandled();
    const failed = vi.fn();
    encoder.transform.on('error', failed).write(blocksOf('a'));
    await until(() => encodes.length === 1);
    encoder.transform.destroy();
    encodes[0]!.fail(new Error('no memory'));
    await turns(5);
    expect(failed).not.toHaveBeenCalled();
    expect(unhandled).toEqual([]);
  });
});

/** The unhandled rejections, from now to the end of the test. */
function watchUnhandled(): unknown[] {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  onTestFinished(() => void process.off('unhandledRejection', onUnhandled));
  return unhandled;
}
