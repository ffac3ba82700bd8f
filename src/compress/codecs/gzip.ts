import {
  constants,
  createDeflate,
  createGzip,
  type Deflate,
  deflate as deflateAsync,
  deflateSync,
  type Gzip,
  gzip as gzipAsync,
  gzipSync,
  type ZlibOptions,
} from 'node:zlib';
import { type OptionNames, readInteger, readOptions, readSize, type Size } from '../../internal/option.ts';
import type { Codec, EncodeSettings, StreamEncoder } from '../codec.ts';
import { trustCodec } from './checked-codec.ts';
import { type DeflateFrame, padHeader } from '../format/gzip-member.ts';
import { poolThreshold } from './cores.ts';
import { KeptEncoders } from './kept-encoder.ts';
import { codecAdvice } from './params.ts';
import { bitsFor } from './deflate-block.ts';
import { DeflateFormat } from './deflate-format.ts';
import { historyMemory, makeHistoryWindows } from './history-window.ts';
import { levelAt, readTierLevels, type TierLevels } from '../policy/tier.ts';

/** Options of `gzip` and `deflate`. */
export interface GzipOptions {
  /**
   * 0 (stored) to 9 (smallest), -1 for the default; or three, one for each of the tiers 0 to 2. A single one is the
   * highest that any tier uses.
   * @defaultValue `[6, 4, 1]`
   */
  level?: number | TierLevels | undefined;
  /**
   * log₂ of the window, 9 to 15. An upper bound: a body that is known to be small gets a window of its size.
   * @defaultValue `15`
   */
  windowBits?: number | undefined;
  /** Size of the tables, 1 to 9. An upper bound, as `windowBits`. @defaultValue `8` */
  memLevel?: number | undefined;
  /** Bytes of each piece of output of a long body. @defaultValue `16384` */
  chunkSize?: number | undefined;
  /** `Z_DEFAULT_STRATEGY` (0) to `Z_FIXED` (4) of `zlib.constants`. @defaultValue `0` */
  strategy?: number | undefined;
  /**
   * Bodies, and blocks of an event stream, of at least this size are encoded in the thread pool, smaller ones at once.
   * @defaultValue `'64kb'`; for blocks `'16kb'` where the process may use several cores
   */
  syncThreshold?: Size | undefined;
}

type Resolved = ReturnType<typeof resolveGzipOptions>;

/** The content-coding `gzip` (RFC 1952). Throws `InvalidOptionError`. */
export function gzip(options?: GzipOptions): Codec {
  return deflateCodec('gzip', 'gzip', resolveGzipOptions('gzip', options));
}

/** The content-coding `deflate`: the zlib format (RFC 1950, RFC 9110 8.4.1.2). Throws `InvalidOptionError`. */
export function deflate(options?: GzipOptions): Codec {
  return deflateCodec('deflate', 'zlib', resolveGzipOptions('deflate', options));
}

const names: OptionNames<GzipOptions> = {
  level: true,
  windowBits: true,
  memLevel: true,
  chunkSize: true,
  strategy: true,
  syncThreshold: true,
};

function resolveGzipOptions(owner: string, given: GzipOptions | undefined) {
  const options = readOptions(owner, given, names, codecAdvice(owner, 'level'));
  return {
    levels: readTierLevels(`${owner}.level`, options.level === -1 ? undefined : options.level, [6, 4, 1], { max: 9 }),
    windowBits: readInteger(`${owner}.windowBits`, options.windowBits ?? 15, { min: 9, max: 15 }),
    memLevel: readInteger(`${owner}.memLevel`, options.memLevel ?? 8, { min: 1, max: 9 }),
    chunkSize: readInteger(`${owner}.chunkSize`, options.chunkSize ?? 16_384, { min: 64 }),
    strategy: readInteger(`${owner}.strategy`, options.strategy ?? 0, { max: 4 }),
    // 64 kB of JSON hold the event loop up for some 0.8 ms.
    syncThreshold: readThreshold(owner, options.syncThreshold ?? '64kb'),
    // Many streams may have a large block each in one tick.
    blockThreshold: readThreshold(owner, options.syncThreshold ?? poolThreshold('16kb', '64kb')),
  };
}

function readThreshold(owner: string, value: Size): number {
  return readSize(`${owner}.syncThreshold`, value, { max: Infinity });
}

function deflateCodec(coding: string, frame: DeflateFrame, resolved: Resolved): Codec {
  const format = new DeflateFormat(frame, { ...resolved, syncThreshold: resolved.blockThreshold });
  const kept = new KeptEncoders();
  return trustCodec({
    coding,
    available: true,
    streamMemory: memoryOf(resolved) + resolved.chunkSize,
    blockMemory: (history) => historyMemory(history, format),
    levels: resolved.levels,
    pads: ['complete', 'long', 'event-stream'],
    encode: (body, settings) => encodeBody({ frame, kept, resolved }, body, settings),
    createStream: (settings) => createStream(frame, resolved, settings),
    createBlocks: makeHistoryWindows(format, resolved.levels),
  });
}

/** What a codec encodes complete bodies with. */
interface BodyEncoder {
  readonly frame: DeflateFrame;
  readonly kept: KeptEncoders;
  readonly resolved: Resolved;
}

function encodeBody(
  { frame, kept, resolved }: BodyEncoder,
  body: Uint8Array,
  settings: EncodeSettings,
): Uint8Array | Promise<Uint8Array> {
  const options: ZlibOptions = {
    ...zlibOptions(resolved, settings),
    chunkSize: Math.min(Math.max(body.length >> 1, 1024), 65_536),
  };
  if (body.length < resolved.syncThreshold) {
    const coded = encodeKept(frame, kept, options, body);
    return padHeader(frame, coded ?? encodeOnce(frame, body, options), settings.padding);
  }
  const encode = frame === 'gzip' ? gzipAsync : deflateAsync;
  return new Promise((resolve, reject) => {
    encode(body, options, (error, coded) => {
      if (error) reject(error);
      else resolve(padHeader(frame, coded, settings.padding));
    });
  });
}

function encodeOnce(frame: DeflateFrame, body: Uint8Array, options: ZlibOptions): Uint8Array {
  return frame === 'gzip' ? gzipSync(body, options) : deflateSync(body, options);
}

function encodeKept(
  frame: DeflateFrame,
  kept: KeptEncoders,
  options: ZlibOptions,
  body: Uint8Array,
): Uint8Array | undefined {
  // The others follow from these two.
  const { level = 0, windowBits = 0 } = options;
  return kept.encode(level * 16 + windowBits, body, () => ({
    open: () => openStream(frame, { ...options, chunkSize: 64 }),
    end: constants.Z_FINISH,
    resets: true,
    encodeOnce: (sample) => encodeOnce(frame, sample, options),
  }));
}

function openStream(frame: DeflateFrame, options: ZlibOptions): Gzip | Deflate {
  return frame === 'gzip' ? createGzip(options) : createDeflate(options);
}

function createStream(frame: DeflateFrame, resolved: Resolved, settings: EncodeSettings): StreamEncoder {
  const options = zlibOptions(resolved, settings);
  const transform = openStream(frame, options);
  return {
    transform,
    memory: memoryOf(options) + resolved.chunkSize,
    // Not the default kind, Z_FULL_FLUSH, which forgets the history.
    flush: (callback) => transform.flush(constants.Z_SYNC_FLUSH, callback),
    ...(settings.padding > 0 && { start: (first: Uint8Array) => padHeader(frame, first, settings.padding) }),
  };
}

function zlibOptions(
  { levels, windowBits, memLevel, chunkSize, strategy }: Resolved,
  { tier, size }: EncodeSettings,
): ZlibOptions {
  const bits = size === undefined ? 15 : windowFor(size);
  return {
    level: levelAt(levels, tier),
    windowBits: Math.min(windowBits, bits),
    memLevel: Math.min(memLevel, bits - 6),
    chunkSize,
    strategy,
  };
}

// A quarter of the body is enough from 16 kB on: on JSON it costs 1 % of the bytes at most, and saves a tenth of the
// time, since the tables are made, and touched, for each body. With tables for 32 kB a thread of the pool gives their
// pages back each time.
function windowFor(size: number): number {
  const bits = bitsFor(size);
  return Math.min(15, Math.max(9, Math.min(bits, 13), bits - 2));
}

// The formula of zlib's documentation (zconf.h).
function memoryOf({ windowBits = 15, memLevel = 8 }: ZlibOptions): number {
  return 2 ** (windowBits + 2) + 2 ** (memLevel + 9);
}
