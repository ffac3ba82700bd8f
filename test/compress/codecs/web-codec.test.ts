import type { Transformer } from 'node:stream/web';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { makeCompressionStream, makeDecompressionStream } from 'compression-streams-polyfill/ponyfill';
import fc from 'fast-check';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { EncodeSettings } from '../../../src/compress/codec.ts';
import { type CompressionStreamClass, webCodec, type WebCodecOptions } from '../../../src/compress/codecs/web-codec.ts';
import { CodecUnavailableError, InvalidOptionError } from '../../../src/errors.ts';
import { settles, turns } from '../../support/until.ts';

const settings: EncodeSettings = { tier: 0, size: undefined, padding: 0 };
const polyfill: CompressionStreamClass = makeCompressionStream(TransformStream);
const text = Buffer.from('some text, '.repeat(3000));

function encode(token: string, options: WebCodecOptions | undefined, body: Uint8Array): Promise<Uint8Array> {
  return settles(Promise.resolve(webCodec(token, options).encode!(body, settings)));
}

/** fflate's decoder: nothing that it shares with zlib. */
async function decodeWithPolyfill(format: 'gzip' | 'deflate', coded: Uint8Array): Promise<Buffer> {
  const { readable, writable } = new (makeDecompressionStream(TransformStream))(format) as unknown as TransformStream<
    Uint8Array,
    Uint8Array
  >;
  const writer = writable.getWriter();
  const written = Promise.all([writer.write(new Uint8Array(coded)), writer.close()]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of readable) chunks.push(chunk);
  await written;
  return Buffer.concat(chunks);
}

/** A class that has every format, and makes this of it. */
function classOf(transformer: Transformer<Uint8Array, Uint8Array>): CompressionStreamClass {
  return class extends TransformStream<Uint8Array, Uint8Array> {
    constructor(_format: string) {
      super(transformer);
    }
  };
}

/** A class that fails in some way, though not before it was tried. */
function failingClass(
  transformer: (failure: Error) => Transformer<Uint8Array, Uint8Array>,
  failure: Error,
): CompressionStreamClass {
  let tried = false;
  return class extends TransformStream<Uint8Array, Uint8Array> {
    constructor(_format: string) {
      super(tried ? transformer(failure) : {});
      tried = true;
    }
  };
}

const decoders = { gzip: gunzipSync, deflate: inflateSync };

afterEach(() => {
  vi.unstubAllGlobals();
  vi.doUnmock('compression-streams-polyfill/ponyfill');
});

describe('webCodec', () => {
  describe.each(['gzip', 'deflate'] as const)('of %s', (token) => {
    it.each([
      ['the platform', undefined],
      ['the class of the platform, given', { CompressionStream: globalThis.CompressionStream }],
      ['the polyfill', { CompressionStream: polyfill }],
    ])('makes a body by %s that zlib and fflate decode', async (_by, options) => {
      for (const body of [new Uint8Array(0), text, Buffer.alloc(3_000_000, text)]) {
        const coded = await encode(token, options, body);
        expect(decoders[token](coded).equals(body)).toBe(true);
        expect((await settles(decodeWithPolyfill(token, coded))).equals(body)).toBe(true);
      }
    });

    it('falls back to the polyfill on a platform that has no CompressionStream', async () => {
      vi.stubGlobal('CompressionStream', undefined);
      const coded = await encode(token, undefined, text);
      expect(decoders[token](coded).equals(text)).toBe(true);
      expect((globalThis as { CompressionStream?: unknown }).CompressionStream).toBeUndefined();
    });

    it('falls back to the polyfill where that of the platform lacks the format', async () => {
      const platform = vi.fn(function () {
        throw new TypeError('Unsupported format');
      });
      vi.stubGlobal('CompressionStream', platform);
      expect(decoders[token](await encode(token, undefined, text)).equals(text)).toBe(true);
      expect(platform).toHaveBeenCalledWith(token);
    });

    it('says what to install where there is neither', async () => {
      vi.stubGlobal('CompressionStream', undefined);
      vi.doMock('compression-streams-polyfill/ponyfill', () => {
        throw new Error('not installed');
      });
      const codec = webCodec(token);
      const loading = codec.load!();
      await expect(loading).rejects.toThrow(CodecUnavailableError);
      await expect(loading).rejects.toMatchObject({
        coding: token,
        message: expect.stringContaining('install `compression-streams-polyfill`'),
      });
      expect(codec.available).toBe(false);
      await expect(codec.encode!(text, settings)).rejects.toThrow(CodecUnavailableError);
    });
  });

  it('makes br by the platform where it has it, and is not available elsewhere', async () => {
    const codec = webCodec('br');
    const has = platformHas('brotli');
    if (has) {
      await codec.load!();
      expect(brotliDecompressSync(await codec.encode!(text, settings)).equals(text)).toBe(true);
    } else {
      await expect(codec.load!()).rejects.toMatchObject({
        code: 'ERR_SLUICE_CODEC_UNAVAILABLE',
        coding: 'br',
        cause: expect.any(TypeError),
      });
    }
    expect(codec.available).toBe(has);
  });

  it('says so when the class that was given lacks the format, and takes no other', async () => {
    const codec = webCodec('br', { CompressionStream: polyfill });
    await expect(codec.load!()).rejects.toMatchObject({
      coding: 'br',
      message: expect.stringContaining('`brotli`'),
      cause: expect.any(TypeError),
    });
    expect(codec.available).toBe(false);
  });

  it('takes a class for a coding of its own', async () => {
    const CompressionStream = classOf({
      transform: (chunk, controller) => controller.enqueue(chunk.map((byte) => byte ^ 1)),
    });
    const coded = await encode('x-flip', { CompressionStream, format: 'flip' }, text);
    expect(Buffer.from(coded.map((byte) => byte ^ 1)).equals(text)).toBe(true);
  });

  it.each([
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['br', 'brotli'],
    ['zstd', 'zstd'],
    ['GZip', 'gzip'],
  ])('of %s has the format %s', async (token, format) => {
    const formats: string[] = [];
    class Recorder extends TransformStream<Uint8Array, Uint8Array> {
      constructor(given: string) {
        super();
        formats.push(given);
      }
    }
    const codec = webCodec(token, { CompressionStream: Recorder });
    await codec.load!();
    expect(formats).toEqual([format]);
    expect(codec.coding).toBe(token.toLowerCase());
  });

  it('is available from the time it is loaded, which happens once', async () => {
    let made = 0;
    class Counted extends TransformStream<Uint8Array, Uint8Array> {
      constructor(_format: string) {
        super();
        made++;
      }
    }
    const codec = webCodec('gzip', { CompressionStream: Counted });
    expect(codec.available).toBe(false);
    expect(made).toBe(0);
    await Promise.all([codec.load!(), codec.load!()]);
    expect(codec.available).toBe(true);
    expect(made).toBe(1);
  });

  it('is for complete bodies without padding only', () => {
    expect(webCodec('gzip')).not.toHaveProperty('createStream');
    expect(webCodec('gzip')).not.toHaveProperty('createBlocks');
    expect(webCodec('gzip')).not.toHaveProperty('pads');
  });

  it('leaves the bytes that it was given to their owner', async () => {
    const whole = new Uint8Array(text);
    const body = whole.subarray(100, 2000);
    const coded = await encode('gzip', { CompressionStream: polyfill }, body);
    expect(gunzipSync(coded).equals(text.subarray(100, 2000))).toBe(true);
    expect(whole.byteLength).toBe(text.length);
    expect(text.equals(whole)).toBe(true);
  });

  it('encodes many bodies at once, each on its own', async () => {
    const codec = webCodec('gzip');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40_000 }), { maxLength: 30 }), async (bodies) => {
        const coded = await settles(Promise.all(bodies.map(async (body) => codec.encode!(body, settings))));
        for (const [i, body] of bodies.entries()) expect(gunzipSync(coded[i]!).equals(body)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it.each<[string, (failure: Error) => Transformer<Uint8Array, Uint8Array>]>([
    [
      'when it is made',
      (failure) => {
        throw failure;
      },
    ],
    ['at its start', (failure) => ({ start: () => Promise.reject(failure) })],
    [
      'at a write',
      (failure) => ({
        transform: () => {
          throw failure;
        },
      }),
    ],
    ['at its end', (failure) => ({ flush: () => Promise.reject(failure) })],
    ['in its output', (failure) => ({ transform: (_chunk, controller) => controller.error(failure) })],
  ])('rejects when the stream fails %s', async (_when, transformer) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', onUnhandled);
    onTestFinished(() => void process.off('unhandledRejection', onUnhandled));
    const failure = new Error('broken');
    const codec = webCodec('gzip', { CompressionStream: failingClass(transformer, failure) });
    await codec.load!();
    await expect(settles(Promise.resolve(codec.encode!(text, settings)))).rejects.toBe(failure);
    await turns(5);
    expect(unhandled).toEqual([]);
    expect(codec.available).toBe(true);
  });

  describe('options', () => {
    it('has the weight that it is given', () => {
      expect(webCodec('gzip', { weight: 0.25 }).weight!({})).toBe(0.25);
      const weight = vi.fn(() => undefined);
      expect(webCodec('gzip', { weight }).weight!({ tier: 1 })).toBeUndefined();
      expect(weight).toHaveBeenCalledWith({ tier: 1 });
      expect(webCodec('gzip')).not.toHaveProperty('weight');
    });

    it.each([
      undefined,
      null,
      7,
      '',
      'two words',
      'gzip,br',
      'gzip;q=1',
      'gzip\r\nx: y',
      'gzïp',
      '*',
      'identity',
      'Identity',
    ])('refuses %j as a coding', (token) => {
      expect(() => webCodec(token as string)).toThrow(InvalidOptionError);
      expect(() => webCodec(token as string, { format: 'gzip' })).toThrow(
        expect.objectContaining({ option: 'webCodec.token' }),
      );
    });

    it.each<[string, unknown]>([
      ['webCodec', null],
      ['webCodec', 'gzip'],
      ['webCodec.format', { format: '' }],
      ['webCodec.format', { format: 5 }],
      ['webCodec.CompressionStream', { CompressionStream: 'gzip' }],
      ['webCodec.CompressionStream', { CompressionStream: null }],
      ['webCodec.weight', { weight: -0.1 }],
      ['webCodec.weight', { weight: 1.1 }],
      ['webCodec.weight', { weight: NaN }],
      ['webCodec.weight', { weight: '1' }],
    ])('refuses %s of %j', (option, options) => {
      expect(() => webCodec('gzip', options as WebCodecOptions)).toThrow(
        expect.objectContaining({ code: 'ERR_SLUICE_OPTION_INVALID', option }),
      );
    });

    it('has to be told the format of a coding that it does not know', () => {
      expect(() => webCodec('x-own')).toThrow(expect.objectContaining({ option: 'webCodec.format' }));
      expect(webCodec('x-own', { format: 'own' }).coding).toBe('x-own');
    });
  });
});

function platformHas(format: string): boolean {
  try {
    new CompressionStream(format as 'gzip');
    return true;
  } catch {
    return false;
  }
}
