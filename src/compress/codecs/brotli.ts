import {
  brotliCompress,
  brotliCompressSync,
  type BrotliOptions as NodeBrotliOptions,
  constants,
  createBrotliCompress,
} from 'node:zlib';
import { type OptionNames, readInteger, readOptions, readSize, type Size } from '../../internal/option.ts';
import { trustCodec } from './checked-codec.ts';
import { type Codec, type EncodeSettings, type NegotiationContext, type StreamEncoder, unknownBody } from '../codec.ts';
import { poolThreshold } from './cores.ts';
import { bitsFor } from './deflate-block.ts';
import { codecAdvice, brotliRules, checkParams, type Params, readParams } from './params.ts';
import { builtInWeight } from '../policy/coding-costs.ts';
import { levelAt, readTierLevels, type TierLevels } from '../policy/tier.ts';
import { TransformBlocks } from './transform-blocks.ts';

/** Options of `brotli`. */
export interface BrotliOptions {
  /**
   * 0 to 11 (smallest, and some fifty times slower than 4); or three, one for each of the tiers 0 to 2. A single one is
   * the highest that any tier uses. Below 2 it is not offered to event streams: it then finds nothing across flushes.
   * @defaultValue `[4, 3, 2]`
   */
  quality?: number | TierLevels | undefined;
  /**
   * log₂ of the window, 10 to 24. An upper bound: a body that is known to be small gets a window of its size.
   * @defaultValue `22` for complete bodies, `20` for long ones, `16` for event streams
   */
  windowBits?: number | undefined;
  /** `BROTLI_PARAM_*` of `zlib.constants` → value, over what the other options say. @defaultValue none */
  params?: Params | undefined;
  /** Bytes of each piece of output of a long body. @defaultValue `16384` */
  chunkSize?: number | undefined;
  /**
   * Bodies of at least this size are encoded in the thread pool, smaller ones at once. @defaultValue `'16kb'`; `'64kb'`
   * where the process may use one core only
   */
  syncThreshold?: Size | undefined;
}

type Resolved = ReturnType<typeof resolveBrotliOptions>;

const {
  BROTLI_PARAM_QUALITY: qualityParam,
  BROTLI_PARAM_LGWIN: windowParam,
  BROTLI_PARAM_SIZE_HINT: sizeParam,
} = constants;

// log₂ of the windows, by kind of body: an event stream fills its own, and keeps it.
const bodyBits = 22;
const longBits = 20;
const blockBits = 16;
// Bytes of output at a time of an event stream, which keeps a buffer of that size.
const blockChunk = 1024;

/** The content-coding `br` (RFC 7932). Throws `InvalidOptionError`. */
export function brotli(options?: BrotliOptions): Codec {
  const resolved = resolveBrotliOptions(options);
  return trustCodec(
    checkParams('brotli.params', resolved.params, {
      coding: 'br',
      available: true,
      streamMemory: memoryOf(paramsFor(resolved, unknownBody, longBits)) + resolved.chunkSize,
      blockMemory: () => memoryOf(paramsFor(resolved, unknownBody, blockBits)) + blockChunk,
      pads: ['complete'],
      // One that is set up is meant to be used: what was measured with the defaults says nothing of it.
      ...(resolved.isChosen && { weight: weightOfChosen }),
      encode: (body, settings) => encodeBody(body, resolved, settings),
      createStream: (settings) => createStream(resolved, settings),
      ...(Math.min(...resolved.qualities) >= 2 && {
        createBlocks: (settings: EncodeSettings) => createBlocks(resolved, settings),
      }),
    }),
  );
}

const names: OptionNames<BrotliOptions> = {
  quality: true,
  windowBits: true,
  params: true,
  chunkSize: true,
  syncThreshold: true,
};

function resolveBrotliOptions(given: BrotliOptions | undefined) {
  const options = readOptions('brotli', given, names, codecAdvice('brotli', 'quality'));
  const { [qualityParam]: param, ...rest } = readParams('brotli.params', options.params, brotliRules);
  const quality = options.quality ?? (param as number | undefined);
  return {
    qualities: readTierLevels('brotli.quality', quality, [4, 3, 2], { max: 11 }),
    isChosen: quality !== undefined || Object.keys(rest).length > 0,
    windowBits:
      options.windowBits === undefined
        ? undefined
        : readInteger('brotli.windowBits', options.windowBits, { min: 10, max: 24 }),
    params: rest,
    chunkSize: readInteger('brotli.chunkSize', options.chunkSize ?? 16_384, { min: 64 }),
    syncThreshold: readSize('brotli.syncThreshold', options.syncThreshold ?? poolThreshold('16kb', '64kb'), {
      max: Infinity,
    }),
  };
}

function weightOfChosen({ kind = 'complete', tier = 0 }: NegotiationContext): number | undefined {
  return kind === 'complete' && tier === 0 ? builtInWeight('br', { kind, tier }) : undefined;
}

function encodeBody(body: Uint8Array, resolved: Resolved, settings: EncodeSettings): Uint8Array | Promise<Uint8Array> {
  const { padding } = settings;
  const options: NodeBrotliOptions = {
    params: paramsFor(resolved, settings, bodyBits),
    chunkSize: Math.min(Math.max(body.length >> 1, 1024), 65_536),
    finishFlush: padding > 0 ? constants.BROTLI_OPERATION_FLUSH : constants.BROTLI_OPERATION_FINISH,
  };
  if (body.length < resolved.syncThreshold) return padEnd(brotliCompressSync(body, options), padding);
  return new Promise((resolve, reject) => {
    brotliCompress(body, options, (error, coded) => {
      if (error) reject(error);
      else resolve(padEnd(coded, padding));
    });
  });
}

function createStream(resolved: Resolved, settings: EncodeSettings): StreamEncoder {
  const params = paramsFor(resolved, settings, longBits);
  const transform = createBrotliCompress({ params, chunkSize: resolved.chunkSize });
  return {
    transform,
    memory: memoryOf(params) + resolved.chunkSize,
    flush: (callback) => transform.flush(constants.BROTLI_OPERATION_FLUSH, callback),
  };
}

function createBlocks(resolved: Resolved, settings: EncodeSettings): TransformBlocks {
  const params = paramsFor(resolved, settings, blockBits);
  const transform = createBrotliCompress({ params, chunkSize: blockChunk, flush: constants.BROTLI_OPERATION_FLUSH });
  return new TransformBlocks(transform, memoryOf(params) + blockChunk);
}

function paramsFor(resolved: Resolved, { tier, size }: EncodeSettings, defaultBits: number): Params {
  const bits = Math.min(resolved.windowBits ?? defaultBits, size === undefined ? 24 : Math.max(bitsFor(size) + 1, 10));
  return {
    [qualityParam]: levelAt(resolved.qualities, tier),
    [windowParam]: bits,
    ...(size !== undefined && { [sizeParam]: size }),
    ...resolved.params,
  };
}

// Measured on young and old streams: the tables, and a ring of twice the window.
function memoryOf(params: Params): number {
  return 512 * 1024 + 2 ** (Number(params[windowParam]) + 1);
}

/**
 * Ends a coding that was only flushed: metadata blocks, which decode to nothing (RFC 7932 9.2), then the empty last
 * one. Brotli cannot be padded at its start: its header is not a whole number of bytes.
 */
function padEnd(flushed: Uint8Array, padding: number): Uint8Array {
  if (padding === 0) return flushed;
  const parts = [flushed];
  // Two bytes of header for 1 to 256 of content.
  for (let left = padding; left > 0;) {
    const length = Math.min(Math.max(left - 2, 1), 256);
    parts.push(metadataBlock(length));
    left -= length + 2;
  }
  parts.push(Uint8Array.of(0x03));
  return Buffer.concat(parts);
}

// From the lowest bit: not last (0), MNIBBLES 3 for metadata (11), reserved (0), one length byte (01), length - 1, then
// zeros up to the byte.
function metadataBlock(length: number): Uint8Array {
  const block = new Uint8Array(length + 2);
  block[0] = 0x16 | (((length - 1) & 0x03) << 6);
  block[1] = (length - 1) >> 2;
  return block;
}
