import { InvalidOptionError } from '../../errors.ts';
import {
  type OptionNames,
  readBag,
  readBoolean,
  readFunction,
  readInteger,
  readOptions,
  readSize,
  refuseWhen,
  type Size,
} from '../../internal/option.ts';
import type { Codec, NegotiationContext } from '../codec.ts';
import { isContentCoding } from '../policy/accept-encoding.ts';
import { brotliRules, type Params, readParams } from '../codecs/params.ts';

/** Brotli's part of a profile, as `BrotliOptions` of `node:zlib`. */
export interface BrotliProfile {
  /** `BROTLI_PARAM_*` of `zlib.constants` (0 to 8) → value. */
  readonly params?: Params | undefined;
  /** Bytes of each piece of output, at least 64. */
  readonly chunkSize?: number | undefined;
}

/** What may change while the service runs. Whatever it leaves out is taken from the options of the middleware. */
export interface CompressionProfile {
  /** A name for logs. @defaultValue none */
  readonly name?: string | undefined;
  /**
   * What can be offered. None at all: everything is sent as it is.
   * @defaultValue zstd where Node has it, brotli, gzip and deflate
   */
  readonly codecs?: readonly Codec[] | undefined;
  /** Bodies that are known to be smaller are not compressed. Bytes, or a string for `bytes`. @defaultValue `'1kb'` */
  readonly threshold?: Size | undefined;
  /**
   * Whether open event streams follow too, at their next flush; otherwise they keep what they began with.
   * @defaultValue `false`
   */
  readonly live?: boolean | undefined;
  /**
   * The level of gzip and deflate, 0 (stored) to 9 (smallest); -1: the default of zlib.
   * @defaultValue that of `gzip()`, which depends on the load
   */
  readonly level?: number | undefined;
  /** Size of the tables of gzip and deflate, 1 to 9. @defaultValue that of `gzip()` */
  readonly memLevel?: number | undefined;
  /** Bytes of each piece of output of gzip and deflate, at least 64. @defaultValue that of `gzip()` */
  readonly chunkSize?: number | undefined;
  /** log₂ of the window of gzip and deflate, 9 to 15. @defaultValue that of `gzip()` */
  readonly windowBits?: number | undefined;
  /** `Z_DEFAULT_STRATEGY` (0) to `Z_FIXED` (4) of `zlib.constants`. @defaultValue that of `gzip()` */
  readonly strategy?: number | undefined;
  /** The options of brotli. @defaultValue those of `brotli()` */
  readonly brotli?: BrotliProfile | undefined;
  /**
   * The server's weight of a coding, 0 to 1; 0 refuses it. `undefined` leaves it to the codec, and then to the built-in
   * one.
   * @defaultValue the weights of the codecs
   */
  readonly weigh?: ((coding: string, context: NegotiationContext) => number | undefined) | undefined;
}

/** A profile that is checked, copied and frozen. */
export interface CheckedProfile extends CompressionProfile {
  /** Bytes. */
  readonly threshold?: number | undefined;
}

/** All that a profile may say. */
export const profileNames: OptionNames<CompressionProfile> = {
  name: true,
  codecs: true,
  threshold: true,
  live: true,
  level: true,
  memLevel: true,
  chunkSize: true,
  windowBits: true,
  strategy: true,
  brotli: true,
  weigh: true,
};

const brotliNames: OptionNames<BrotliProfile> = { params: true, chunkSize: true };

const ofCodec = 'Give it to the codec: `codecs: [brotli({ quality: 4 }), gzip()]`.';

/** Options of `node:zlib` that `compression` passes on, and that have no effect here. */
export const ignoredZlibOptions: readonly string[] = [
  'flush',
  'finishFlush',
  'dictionary',
  'info',
  'maxOutputLength',
  'rejectGarbageAfterEnd',
  'highWaterMark',
];

// What zlib takes. windowBits 8 is left out: createGzip refuses it.
const zlibRanges = {
  level: { min: -1, max: 9 },
  memLevel: { min: 1, max: 9 },
  chunkSize: { min: 64 },
  windowBits: { min: 9, max: 15 },
  strategy: { max: 4 },
} as const;

/**
 * Checks the values of a profile, but not its names, and copies it so that what its owner does to it later changes
 * nothing. The codecs themselves are not copied. Throws `InvalidOptionError`.
 * @param owner - what the profile belongs to, for error messages
 */
export function checkProfile(owner: string, given: CompressionProfile | undefined): CheckedProfile {
  const { name, codecs, threshold, live, brotli, weigh, ...zlib } = readBag(owner, given);
  return Object.freeze({
    ...(name !== undefined && { name: readName(`${owner}.name`, name) }),
    ...(codecs !== undefined && { codecs: readCodecs(`${owner}.codecs`, codecs) }),
    ...(threshold !== undefined && { threshold: readSize(`${owner}.threshold`, threshold, { max: Infinity }) }),
    ...(live !== undefined && { live: readBoolean(`${owner}.live`, live) }),
    ...readZlib(owner, zlib),
    ...(brotli !== undefined && { brotli: readBrotli(`${owner}.brotli`, brotli) }),
    ...(weigh !== undefined && { weigh: readFunction(`${owner}.weigh`, weigh) as NonNullable<typeof weigh> }),
  });
}

/** Throws `InvalidOptionError` for options of the default codecs, where there are others. */
export function refuseBesideCodecs(owner: string, profile: CompressionProfile): void {
  if (profile.codecs === undefined) return;
  for (const name of [...(Object.keys(zlibRanges) as (keyof typeof zlibRanges)[]), 'brotli'] as const) {
    const cure = name === 'brotli' ? 'brotli({ quality })' : `gzip({ ${name} })`;
    refuseWhen(profile[name] !== undefined, `${owner}.${name}`, `has no effect beside \`codecs\`: write \`${cure}\`.`);
  }
}

function readName(option: string, value: unknown): string {
  if (typeof value !== 'string') throw new InvalidOptionError(option, 'a string', value);
  return value;
}

function readCodecs(option: string, value: unknown): readonly Codec[] {
  if (!Array.isArray(value)) throw new InvalidOptionError(option, 'an array of codecs', value);
  return Object.freeze(Array.from(value, (codec: unknown, index) => readCodec(`${option}[${index}]`, codec)));
}

function readCodec(option: string, value: unknown): Codec {
  if (typeof value !== 'object' || value === null)
    throw new InvalidOptionError(option, 'a codec, made by a call: `gzip()`, `brotli()`', value);
  const codec = value as Partial<Codec>;
  const { coding, levels, pads } = codec;
  if (!isContentCoding(coding))
    throw new InvalidOptionError(`${option}.coding`, 'the token of a content-coding, in lower case', coding);
  for (const name of codecMethods) readFunction(`${option}.${name}`, codec[name]);
  if (levels !== undefined) readList(`${option}.levels`, levels, 'three numbers', isThreeNumbers);
  if (pads !== undefined) readList(`${option}.pads`, pads, 'an array of kinds of bodies', isAllText);
  return value as Codec;
}

const codecMethods = ['load', 'blockMemory', 'weight', 'encode', 'createStream', 'createBlocks'] as const;

function isThreeNumbers(all: readonly unknown[]): boolean {
  return all.length === 3 && all.every((each) => typeof each === 'number');
}

function isAllText(all: readonly unknown[]): boolean {
  return all.every((each) => typeof each === 'string');
}

function readList(option: string, value: unknown, expected: string, holds: (all: readonly unknown[]) => boolean): void {
  if (!Array.isArray(value) || !holds(value)) throw new InvalidOptionError(option, expected, value);
}

function readZlib(
  owner: string,
  zlib: Readonly<Partial<Record<keyof typeof zlibRanges, unknown>>>,
): Partial<Record<keyof typeof zlibRanges, number>> {
  const read: Partial<Record<keyof typeof zlibRanges, number>> = {};
  for (const name of Object.keys(zlibRanges) as (keyof typeof zlibRanges)[]) {
    if (zlib[name] !== undefined) read[name] = readInteger(`${owner}.${name}`, zlib[name], zlibRanges[name]);
  }
  return read;
}

function readBrotli(option: string, value: BrotliProfile): BrotliProfile {
  const { params, chunkSize } = readOptions(option, value, brotliNames, {
    ignored: ignoredZlibOptions,
    instead: { quality: ofCodec, level: ofCodec, windowBits: ofCodec },
  });
  return Object.freeze({
    ...(params !== undefined && { params: readParams(`${option}.params`, params, brotliRules) }),
    ...(chunkSize !== undefined && { chunkSize: readInteger(`${option}.chunkSize`, chunkSize, { min: 64 }) }),
  });
}
