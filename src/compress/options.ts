import { InvalidOptionError } from '../errors.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { Hook, RoutedRequest, RoutedResponse } from '../internal/http/framework.ts';
import type { HttpRequest, HttpResponse } from '../internal/http/message.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBag,
  readBoolean,
  readDuration,
  readFunction,
  readInteger,
  readOneOf,
  readOptions,
  readSize,
  refuseWhen,
  type Size,
} from '../internal/option.ts';
import { isCodingToken, toLowerCase } from './policy/accept-encoding.ts';
import type { EtagMode } from './policy/etag.ts';
import type { Governor, GovernorOptions } from './control/governor.ts';
import {
  type CheckedProfile,
  checkProfile,
  type CompressionProfile,
  ignoredZlibOptions,
  profileNames,
  refuseBesideCodecs,
} from './control/profile.ts';
import type { CompressionSwitch } from './control/switch.ts';

/** How event streams are encoded. */
export interface StreamCompressionOptions {
  /**
   * Bytes of sent text that an open gzip or deflate stream keeps, for later text to refer to; up to 32,000. More of it
   * makes events smaller only where they repeat something from longer ago.
   * @defaultValue `'1kb'`
   */
  history?: Size | undefined;
  /**
   * Media types, in lower case, that are flushed at the end of each tick, beside `text/event-stream`, JSON lines and
   * JSON sequences: `['text/html']`.
   * @defaultValue `[]`
   */
  types?: readonly string[] | undefined;
  /**
   * Lets chunks of streams that are no writer's of this library be framed here and written in one piece, past
   * `res.write`, where that is provably the same: a third less CPU time for an event. A writer has an option of its
   * own.
   * @defaultValue `true`
   */
  directChunks?: boolean | undefined;
}

/** Padding that hides the length of a body from attacks that compare lengths (BREACH). */
export interface RandomPaddingOptions {
  /**
   * Most bytes to add, about; each response gets 1 to this many. Codings round it up to their own units, of up to 5
   * bytes. @defaultValue `32`
   */
  max?: Size | undefined;
}

/** Bounds of what is open at a time. Past them a response is sent as it is. */
export interface BudgetOptions {
  /**
   * Encoders that are open. A complete body, which needs one for a moment only, is encoded in any case. `Infinity`: no
   * bound. @defaultValue `50000`
   */
  encoders?: number | undefined;
  /** Memory that they hold, by their own estimates. `Infinity`: no bound. @defaultValue `'512mb'` */
  bytes?: Size | undefined;
}

/**
 * Options of `compress`. Those of `compression` mean what they mean there: `threshold`, `level`, `memLevel`,
 * `chunkSize`, `windowBits`, `strategy`, `brotli`, `filter`, `enforceEncoding`. They make the default codecs; where
 * `codecs` are given, those have options of their own.
 */
export interface CompressOptions extends CompressionProfile {
  /** Whether a response may be compressed. @defaultValue `compress.filter`: by its `Content-Type` */
  filter?: Hook<[req: RoutedRequest, res: RoutedResponse]> | undefined;
  /**
   * The `Accept-Encoding` of requests that have none: a content-coding, `'*'` or `'identity'`. @defaultValue
   * `'identity'`
   */
  enforceEncoding?: string | undefined;
  /** What happens to the `ETag` of a compressed response. @defaultValue `'weak'` */
  etag?: EtagMode | undefined;
  /** Turns it on and off while the service runs; may be shared by several middlewares. @defaultValue one of its own */
  switch?: CompressionSwitch | undefined;
  /**
   * Follows the load of the machine; its options make one that `close()` ends. Without it everything is compressed at
   * tier 0.
   * @defaultValue none
   */
  governor?: Governor | GovernorOptions | undefined;
  /** How event streams are encoded. @defaultValue the defaults of its members */
  streams?: StreamCompressionOptions | undefined;
  /**
   * Hides the length of a compressed body; `true`: with the defaults. Codecs that cannot are then not used. Of event
   * streams and of bodies that are flushed only the whole gets longer: not each piece.
   * @defaultValue `false`
   */
  randomPadding?: boolean | RandomPaddingOptions | undefined;
  /**
   * The longest that text of a long body waits in the encoder; `res.flush()` sends it at once. Milliseconds or a string
   * for `ms`; `Infinity`: only `res.flush()` does.
   * @defaultValue `'50ms'`
   */
  idleFlush?: Duration | undefined;
  /** Adds `Server-Timing: compress;desc="…"` with the coding, or the reason why there is none. @defaultValue `false` */
  serverTiming?: boolean | undefined;
  /** What may be open at a time. @defaultValue the defaults of its members */
  budget?: BudgetOptions | undefined;
  /**
   * Memory for complete bodies that come again: one that is the same, byte by byte, is not encoded again. It holds
   * plain and encoded bytes, of no body over a quarter of it. Bytes, or a string for `bytes`; `0`: none. Not with
   * `randomPadding`.
   * @defaultValue `0`
   */
  cache?: Size | undefined;
}

/** `CompressOptions` with every default filled in. */
export interface ResolvedCompressOptions {
  readonly profile: CheckedProfile;
  /** `undefined`: by type. */
  readonly filter: ((req: HttpRequest, res: HttpResponse) => unknown) | undefined;
  readonly enforceEncoding: string;
  readonly etag: EtagMode;
  readonly switch: CompressionSwitch | undefined;
  readonly governor: Governor | GovernorOptions | undefined;
  readonly streams: { readonly history: number; readonly types: readonly string[]; readonly directChunks: boolean };
  readonly randomPadding: { readonly max: number } | undefined;
  readonly idleFlush: number;
  readonly serverTiming: boolean;
  readonly budget: { readonly encoders: number; readonly bytes: number };
  readonly cache: number;
}

const names: OptionNames<CompressOptions> = {
  ...profileNames,
  filter: true,
  enforceEncoding: true,
  etag: true,
  switch: true,
  governor: true,
  streams: true,
  randomPadding: true,
  idleFlush: true,
  serverTiming: true,
  budget: true,
  cache: true,
};
const streamsNames: OptionNames<StreamCompressionOptions> = { history: true, types: true, directChunks: true };
const paddingNames: OptionNames<RandomPaddingOptions> = { max: true };
const budgetNames: OptionNames<BudgetOptions> = { encoders: true, bytes: true };

const ofCodecs = 'Give it to the codec: `codecs: [brotli({ quality: 4 }), gzip({ level: 6 })]`.';

const advice: OptionAdvice = {
  single: 'threshold',
  ignored: ignoredZlibOptions,
  instead: {
    encodings: 'codecs',
    encoding: 'codecs',
    codings: 'codecs',
    algorithms: 'codecs',
    minSize: 'threshold',
    minLength: 'threshold',
    size: 'threshold',
    types: 'filter',
    contentType: 'filter',
    mimeTypes: 'filter',
    customTypes: 'filter',
    shouldCompress: 'filter',
    padding: 'randomPadding',
    cacheSize: 'cache',
    enabled: 'Turn it on and off by its switch: `compression.switch.disable()`.',
    history: 'It is a part of `streams`: `streams: { history }`.',
    directChunks: 'It is a part of `streams`: `streams: { directChunks }`.',
    quality: ofCodecs,
    gzip: ofCodecs,
    deflate: ofCodecs,
    zstd: ofCodecs,
    br: ofCodecs,
    zlib: ofCodecs,
    zlibOptions: ofCodecs,
    brotliOptions: ofCodecs,
  },
};

/**
 * Fills in defaults and checks. `null` is no options, and a default in what `compression` has too, as it is there.
 * Throws `InvalidOptionError`.
 */
export function resolveCompressOptions(given: CompressOptions | null | undefined): ResolvedCompressOptions {
  const options = readOptions<CompressOptions>('compress', given ?? undefined, names, advice);
  const { threshold, brotli } = options as { readonly [name in keyof CompressOptions]: unknown };
  const profile = checkProfile('compress', threshold === null || brotli === null ? withoutNulls(options) : options);
  refuseBesideCodecs('compress', profile);
  const randomPadding = resolvePadding(options.randomPadding ?? false);
  const cache = readSize('compress.cache', options.cache ?? 0);
  refuseWhen(cache > 0 && randomPadding !== undefined, 'compress.cache', 'has no effect beside `randomPadding`.');
  return {
    profile,
    filter: readFunction('compress.filter', options.filter ?? undefined) as ResolvedCompressOptions['filter'],
    enforceEncoding: readCoding('compress.enforceEncoding', options.enforceEncoding ?? 'identity'),
    etag: readOneOf('compress.etag', options.etag ?? 'weak', ['weak', 'suffix', 'drop', 'keep']),
    switch: readMember('compress.switch', options.switch, 'swap', 'a switch made by createSwitch()'),
    governor:
      readBag('compress.governor', options.governor as object | undefined) === options.governor
        ? options.governor
        : undefined,
    streams: resolveStreams(options.streams),
    randomPadding,
    idleFlush:
      options.idleFlush === Infinity
        ? Infinity
        : readDuration('compress.idleFlush', options.idleFlush ?? '50ms', { max: longestDelay }),
    serverTiming: readBoolean('compress.serverTiming', options.serverTiming ?? false),
    budget: resolveBudget(options.budget),
    cache,
  };
}

function withoutNulls(options: CompressOptions): CompressOptions {
  return { ...options, threshold: options.threshold ?? undefined, brotli: options.brotli ?? undefined };
}

function resolveStreams(given: StreamCompressionOptions | undefined): ResolvedCompressOptions['streams'] {
  const options = readOptions('compress.streams', given, streamsNames);
  return {
    // Text further back than this is out of reach of a zlib window with its look-ahead.
    history: readInteger(
      'compress.streams.history',
      readSize('compress.streams.history', options.history ?? '1kb', { max: 32_000 }),
    ),
    types: readTypes('compress.streams.types', options.types ?? []),
    directChunks: readBoolean('compress.streams.directChunks', options.directChunks ?? true),
  };
}

function readTypes(option: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((type) => typeof type === 'string' && /^[^\s/;]+\/[^\s/;]+$/.test(type))) {
    throw new InvalidOptionError(option, 'an array of media types without parameters', value);
  }
  return value.map((type: string) => type.toLowerCase());
}

function resolvePadding(given: boolean | RandomPaddingOptions): ResolvedCompressOptions['randomPadding'] {
  if (given === false) return undefined;
  const options = given === true ? {} : readOptions('compress.randomPadding', given, paddingNames);
  return { max: readSize('compress.randomPadding.max', options.max ?? 32, { min: 1, max: 65_536 }) };
}

function resolveBudget(given: BudgetOptions | undefined): ResolvedCompressOptions['budget'] {
  const options = readOptions('compress.budget', given, budgetNames);
  const encoders = options.encoders ?? 50_000;
  return {
    encoders: encoders === Infinity ? Infinity : readInteger('compress.budget.encoders', encoders),
    bytes: readSize('compress.budget.bytes', options.bytes ?? '512mb', { max: Infinity }),
  };
}

function readCoding(option: string, value: unknown): string {
  const coding = toLowerCase(value);
  if (!isCodingToken(coding)) throw new InvalidOptionError(option, 'a content-coding', value);
  return coding;
}

function readMember<T extends object>(
  option: string,
  value: T | undefined,
  method: keyof T,
  expected: string,
): T | undefined {
  if (value !== undefined && typeof (readBag(option, value) as T)[method] !== 'function')
    throw new InvalidOptionError(option, expected, value);
  return value;
}
