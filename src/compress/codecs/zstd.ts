import type { Transform } from 'node:stream';
import zlib from 'node:zlib';
import { CodecUnavailableError, InvalidOptionError } from '../../errors.ts';
import {
  type OptionNames,
  readFunction,
  readInteger,
  readOptions,
  readSize,
  type Size,
} from '../../internal/option.ts';
import { trustCodec } from './checked-codec.ts';
import { type Codec, type EncodeSettings, type StreamEncoder, unknownBody } from '../codec.ts';
import { usableCores } from './cores.ts';
import { bitsFor } from './deflate-block.ts';
import { historyMemory, makeHistoryWindows } from './history-window.ts';
import { codecAdvice, checkParams, type Params, readParams, zstdRules } from './params.ts';
import { addonWeight, smallBody, smallZstdLevels, zstdLevels, zstdPoolThreshold } from '../policy/coding-costs.ts';
import { KeptEncoders } from './kept-encoder.ts';
import { levelAt, readTierLevels, type TierLevels } from '../policy/tier.ts';
import { createAddonStream, type ImportZstdAddon, loadZstdAddon, type ZstdAddon } from './zstd-addon.ts';
import { largestZstdWindow, ZstdFormat } from './zstd-format.ts';
import { padFrame } from '../format/zstd-frame.ts';

/** Options of `zstd`. */
export interface ZstdOptions {
  /**
   * 1 to 19, or negative for less than 1; or three, one for each of the tiers 0 to 2. A single one is the highest that
   * any tier uses.
   * @defaultValue `[3, 3, 1]`; complete bodies under 4 kB `[6, 3, 1]`
   */
  level?: number | TierLevels | undefined;
  /**
   * log₂ of the window, 10 to 23: a browser refuses more than 8 MB (RFC 9659). An upper bound: event streams have 16
   * at most. @defaultValue what the level has, at most 23
   */
  windowBits?: number | undefined;
  /**
   * `ZSTD_c_*` of `zlib.constants` → value, over what the other options say. Of event streams only the window.
   * @defaultValue none
   */
  params?: Params | undefined;
  /** Bytes of each piece of output of a long body. @defaultValue `16384` */
  chunkSize?: number | undefined;
  /**
   * Bodies of at least this size are encoded in the thread pool, smaller ones at once; the addon always uses the pool,
   * event streams never.
   * @defaultValue `'128kb'`, or `'32kb'` with a level over 3; four times that where the process may use one core only
   */
  syncThreshold?: Size | undefined;
  /**
   * Where to get `@mongodb-js/zstd` from, to be used even where Node has zstd. @defaultValue
   * `() => import('@mongodb-js/zstd')`, where Node has none
   */
  addon?: ImportZstdAddon | undefined;
}

interface NativeOptions {
  readonly params: Params;
  readonly chunkSize?: number;
  readonly flush?: number;
  readonly pledgedSrcSize?: number;
}

/** What `node:zlib` has from 22.15 on. */
interface NativeZstd {
  zstdCompressSync(body: Uint8Array, options: NativeOptions): Uint8Array;
  zstdCompress(
    body: Uint8Array,
    options: NativeOptions,
    callback: (error: Error | null, coded: Uint8Array) => void,
  ): void;
  createZstdCompress(options: NativeOptions): Transform & { flush(kind: number, callback: () => void): void };
}

type Resolved = ReturnType<typeof resolveZstdOptions>;

// zstd.h; the constants are in `zlib.constants` only where the functions are.
const param = { level: 100, windowLog: 101, hashLog: 102, chainLog: 103, longDistance: 160, workers: 400 } as const;
const flushOperation = 1;
const endOperation = 2;

// RFC 9659: a window of at most 8 MB.
const largestWindow = 23;

// log₂ of the window that the levels up to 6 have for a body of unknown size.
const longBits = 21;

/**
 * The content-coding `zstd` (RFC 8878): Node's own from 22.15 on, before that the optional peer `@mongodb-js/zstd`,
 * where it is installed; else it is not offered. Event streams are encoded by this library. Throws
 * `InvalidOptionError`.
 */
export function zstd(options?: ZstdOptions): Codec {
  const resolved = resolveZstdOptions(options);
  const addon = readFunction('zstd.addon', options?.addon);
  if (addon) return addonCodec(addon, resolved);
  if ('zstdCompressSync' in zlib) return nativeCodec(zlib as unknown as NativeZstd, resolved);
  return trustCodec(addonCodec(undefined, resolved));
}

const names: OptionNames<ZstdOptions> = {
  level: true,
  windowBits: true,
  params: true,
  chunkSize: true,
  syncThreshold: true,
  addon: true,
};

function resolveZstdOptions(given: ZstdOptions | undefined) {
  const options = readOptions('zstd', given, names, codecAdvice('zstd', 'level'));
  const params = readParams('zstd.params', options.params, zstdRules);
  const { [param.level]: levelParam, ...rest } = params;
  const level = options.level ?? (levelParam as number | undefined);
  if (Number(params[param.windowLog] ?? 0) > largestWindow)
    throw new InvalidOptionError(
      `zstd.params[${param.windowLog}]`,
      'a window of at most 23 bits (RFC 9659)',
      params[param.windowLog],
    );
  // Above 19 the window of a body of unknown size passes 8 MB.
  const readLevels = (defaults: TierLevels): TierLevels =>
    readTierLevels('zstd.level', level, defaults, { min: -50, max: 19 });
  const levels = readLevels(zstdLevels);
  return {
    levels,
    isChosen: level !== undefined,
    smallLevels: readLevels(smallZstdLevels),
    windowBits:
      options.windowBits === undefined
        ? undefined
        : readInteger('zstd.windowBits', options.windowBits, { min: 10, max: largestWindow }),
    params: rest,
    chunkSize: readInteger('zstd.chunkSize', options.chunkSize ?? 16_384, { min: 64 }),
    syncThreshold: readSize(
      'zstd.syncThreshold',
      options.syncThreshold ?? zstdPoolThreshold(levels, usableCores() <= 1),
      { max: Infinity },
    ),
  };
}

/** The levels for a complete body. */
function levelsFor({ levels, smallLevels }: Resolved, size: number): TierLevels {
  return size < smallBody ? smallLevels : levels;
}

function nativeCodec(native: NativeZstd, resolved: Resolved): Codec {
  const kept = new KeptEncoders();
  return trustCodec(
    checkParams('zstd.params', resolved.params, {
      coding: 'zstd',
      available: true,
      streamMemory: memoryOf(paramsFor(resolved, unknownBody)) + resolved.chunkSize,
      ...eventStreams(resolved),
      encode: (body: Uint8Array, settings: EncodeSettings) => encodeBody({ native, kept, resolved }, body, settings),
      createStream: (settings: EncodeSettings) => createStream(native, resolved, settings),
    }),
  );
}

/** Event streams need neither Node's zstd nor the addon. */
function eventStreams({ levels, windowBits, params }: Resolved) {
  // 0 leaves the window to the level.
  const asked = Number(params[param.windowLog] ?? 0) || windowBits || largestZstdWindow;
  const format = new ZstdFormat(Math.min(Math.max(asked, 10), largestZstdWindow));
  return {
    levels,
    pads: ['complete', 'long', 'event-stream'],
    blockMemory: (history) => historyMemory(history, format),
    createBlocks: makeHistoryWindows(format, levels),
  } satisfies Partial<Codec>;
}

function addonCodec(importAddon: ImportZstdAddon | undefined, resolved: Resolved): Codec {
  let addon: ZstdAddon | undefined;
  return {
    coding: 'zstd',
    ...eventStreams(resolved),
    get available() {
      return addon !== undefined;
    },
    async load() {
      addon = await loadZstdAddon(importAddon);
    },
    weight: (context) => addonWeight(context, resolved.isChosen),
    async encode(body, { tier, padding }) {
      const level = levelAt(levelsFor(resolved, body.length), tier);
      return padFrame(await loaded(addon).encode(body, level), padding);
    },
    createStream({ tier, size, padding }) {
      const blockSize = size === undefined ? {} : { blockSize: Math.min(Math.max(size, 1024), 128 * 1024) };
      const encoder = createAddonStream(loaded(addon), { level: levelAt(resolved.levels, tier), ...blockSize });
      return padding === 0 ? encoder : { ...encoder, start: (first) => padFrame(first, padding) };
    },
  };
}

function loaded(addon: ZstdAddon | undefined): ZstdAddon {
  if (!addon) throw new CodecUnavailableError('zstd', 'install `@mongodb-js/zstd`');
  return addon;
}

/** What a native codec encodes complete bodies with. */
interface BodyEncoder {
  readonly native: NativeZstd;
  readonly kept: KeptEncoders;
  readonly resolved: Resolved;
}

function encodeBody(
  { native, kept, resolved }: BodyEncoder,
  body: Uint8Array,
  settings: EncodeSettings,
): Uint8Array | Promise<Uint8Array> {
  const levels = levelsFor(resolved, body.length);
  const isShort = body.length < resolved.syncThreshold;
  const coded = isShort ? encodeKept({ native, kept, resolved }, body, levelAt(levels, settings.tier)) : undefined;
  if (coded) return padFrame(coded, settings.padding);
  const options: NativeOptions = {
    params: paramsFor({ ...resolved, levels }, settings),
    chunkSize: Math.min(Math.max(body.length >> 1, 1024), 65_536),
    // Sizes the tables, and puts the size into the frame.
    pledgedSrcSize: body.length,
  };
  if (isShort) return padFrame(native.zstdCompressSync(body, options), settings.padding);
  return new Promise((resolve, reject) => {
    native.zstdCompress(body, options, (error, coded) => {
      if (error) reject(error);
      else resolve(padFrame(coded, settings.padding));
    });
  });
}

/** Only with levels alone: what other params make of an encoder that is used again is not known. */
function encodeKept({ native, kept, resolved }: BodyEncoder, body: Uint8Array, level: number): Uint8Array | undefined {
  const { params, windowBits } = resolved;
  if (windowBits !== undefined || Object.keys(params).length > 0) return undefined;
  const settings = { params: { [param.level]: level, [param.workers]: 0 } };
  return kept.encode(level, body, () => ({
    open: () => native.createZstdCompress({ ...settings, chunkSize: 64 }),
    end: endOperation,
    // What ends a frame begins the next; and the size of a body that is ended at once sizes the tables.
    resets: false,
    encodeOnce: (sample) => native.zstdCompressSync(sample, { ...settings, pledgedSrcSize: sample.length }),
  }));
}

function createStream(native: NativeZstd, resolved: Resolved, settings: EncodeSettings): StreamEncoder {
  const params = paramsFor(resolved, settings);
  // Without `pledgedSrcSize`: the length was announced by a handler that may have been wrong.
  const transform = native.createZstdCompress({ params, chunkSize: resolved.chunkSize });
  return {
    transform,
    memory: memoryOf(params) + resolved.chunkSize,
    flush: (callback) => transform.flush(flushOperation, callback),
    ...(settings.padding > 0 && { start: (first: Uint8Array) => padFrame(first, settings.padding) }),
  };
}

function paramsFor(resolved: Resolved, { tier, size }: EncodeSettings): Params {
  const bits = resolved.windowBits ?? (size === undefined || size > 2 ** 20 ? undefined : Math.max(10, bitsFor(size)));
  return {
    [param.level]: levelAt(resolved.levels, tier),
    // One thread: the pool has others to serve.
    [param.workers]: 0,
    // Long-distance matching brings a window of 128 MB of its own.
    ...(resolved.params[param.longDistance] && { [param.windowLog]: largestWindow }),
    ...(bits !== undefined && { [param.windowLog]: bits }),
    ...resolved.params,
  };
}

// A window that fills as data passes, tables, and buffers of a block each for input and output.
function memoryOf(params: Params): number {
  const tables = 4 * (2 ** Number(params[param.hashLog] ?? 17) + 2 ** Number(params[param.chainLog] ?? 16));
  return 2 ** Number(params[param.windowLog] ?? longBits) + tables + 256 * 1024;
}
