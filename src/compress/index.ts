import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HttpRequest, type HttpResponse, type Next, requestField } from '../internal/http/message.ts';
import { mountings } from '../internal/mounting.ts';
import { rank } from '../internal/seam/layer.ts';
import { mediaTypeOf } from '../internal/http/accept.ts';
import { openSeam } from '../internal/seam/response.ts';
import { Compressor } from './compressor.ts';
import { plainConditions } from './policy/etag.ts';
import { HeadLayer } from './layers/head-layer.ts';
import { isCompressible } from './policy/compressible.ts';
import { acceptedCodings } from './policy/negotiate.ts';
import type { CacheCounts } from './control/body-cache.ts';
import type { CompressOptions } from './options.ts';
import type { CompressionSwitch } from './control/switch.ts';
import type { Governor, GovernorOptions } from './control/governor.ts';

export { brotli, type BrotliOptions } from './codecs/brotli.ts';
export type {
  BlockEncoder,
  BlockSettings,
  BodyKind,
  Codec,
  EncodeSettings,
  NegotiationContext,
  StreamEncoder,
  Tier,
  Tuning,
} from './codec.ts';
export type { IdentityReason } from './policy/decide.ts';
export type { EtagMode } from './policy/etag.ts';
export { type ClientFamily, type Fingerprint, fingerprint } from './policy/fingerprint.ts';
export { createGovernor, type Governor, type GovernorOptions } from './control/governor.ts';
export { deflate, gzip, type GzipOptions } from './codecs/gzip.ts';
export { negotiate, type Negotiation, type NegotiationReason } from './policy/negotiate.ts';
export type { BudgetOptions, CompressOptions, RandomPaddingOptions, StreamCompressionOptions } from './options.ts';
export type { BrotliProfile, CheckedProfile, CompressionProfile } from './control/profile.ts';
export type {
  CompressedBytesMessage,
  CompressErrorMessage,
  CompressionDecisionMessage,
  CompressionReason,
  SwitchChange,
  TierChange,
} from './events.ts';
export type { CacheCounts } from './control/body-cache.ts';
export { type CompressionSwitch, createSwitch, type SwitchState } from './control/switch.ts';
export type { Thresholds, TierLevels } from './policy/tier.ts';
export { webCodec, type WebCodecOptions } from './codecs/web-codec.ts';
export { zstd, type ZstdOptions } from './codecs/zstd.ts';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- Express's own way to add to its types
  namespace Express {
    interface Response {
      /**
       * Sends what an encoder holds back, and the head if it is not sent; then calls `callback`. Behind `compress`
       * only.
       */
      flush(callback?: () => void): void;
    }
  }
}

/** The middleware that `compress` makes. */
export interface Compression {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** Turns it on and off, and changes its profile, while the service runs. */
  readonly switch: CompressionSwitch;
  /** What it follows; `undefined` without one. */
  readonly governor: Governor | undefined;
  /** Encoders that are open. A body that was encoded in one go leaves none. */
  readonly activeEncoders: number;
  /** Bytes of memory that they hold, by their own estimates. */
  readonly encoderBytes: number;
  /** Counts of the option `cache`; `undefined` without it. */
  readonly cache: CacheCounts | undefined;
  /** Ends the governor that it made, and empties its cache. Responses under way are not touched. */
  close(): void;
}

/** A middleware of `compress` with a governor. */
export interface GovernedCompression extends Compression {
  /** The governor of the options, or the one that their `governor` makes. */
  readonly governor: Governor;
}

/** The factory, with the default of its option `filter`. */
export interface Compress {
  (options: CompressOptions & { readonly governor: Governor | GovernorOptions }): GovernedCompression;
  (options?: CompressOptions | null): Compression;
  /** Whether a response is of a type that is worth compressing: for filters that add to it. */
  filter(req: HttpRequest, res: HttpResponse): boolean;
}

/**
 * Compresses responses as their clients accept: bodies that come whole in one go, long ones as they come, event streams
 * message by message. Replaces `compression` as it is: the same options, `compress.filter`, `res.flush()`. Throws
 * `InvalidOptionError`.
 */
export const compress: Compress = Object.assign(makeCompression, { filter }) as Compress;

function makeCompression(options?: CompressOptions | null): Compression {
  const compressor = new Compressor(options);
  const { budget } = compressor;
  mountings.compress.noteMade();
  function compress(req: HttpRequest, res: HttpResponse, next: Next): void {
    mountings.compress.notePassed(req, res);
    if (!res.headersSent) {
      ignoreWeakRange(req as IncomingMessage);
      openHeadLayer(compressor, req, res);
    }
    next();
  }
  return Object.defineProperties(compress, {
    switch: { value: compressor.switch, enumerable: true },
    governor: { value: compressor.governor, enumerable: true },
    activeEncoders: { get: () => budget.activeEncoders, enumerable: true },
    encoderBytes: { get: () => budget.encoderBytes, enumerable: true },
    cache: { value: compressor.cache && countsOf(compressor.cache), enumerable: true },
    close: { value: () => compressor.close() },
  }) as unknown as Compression;
}

/** What is counted, and no more: the rest of the cache is not for others. */
function countsOf(cache: CacheCounts): CacheCounts {
  return Object.freeze({
    get hits() {
      return cache.hits;
    },
    get misses() {
      return cache.misses;
    },
    get bytes() {
      return cache.bytes;
    },
  });
}

function filter(_req: HttpRequest, res: HttpResponse): boolean {
  const type = (res as ServerResponse).getHeader('content-type');
  return typeof type === 'string' && isCompressible(mediaTypeOf(type));
}

function openHeadLayer(compressor: Compressor, req: HttpRequest, res: HttpResponse): void {
  const seam = openSeam(res);
  const before = seam.layerAt(rank.compress);
  const layer = new HeadLayer(compressor, req, seam, before instanceof HeadLayer ? before : undefined);
  // Mounted twice: the one nearest to the handler decides, and its options hold.
  if (before) seam.replace(before, layer);
  else seam.add(layer);
  if (compressor.options.etag === 'suffix') takeOffSuffixes(compressor, req as IncomingMessage);
}

/**
 * RFC 9110 13.1.5: `If-Range` is compared strongly, so a weak tag never matches and the range is to be ignored. `send`
 * compares weakly: a client that holds the start of an encoded body, whose tag is weak, would get the rest of the plain
 * one.
 */
function ignoreWeakRange({ headers }: IncomingMessage): void {
  const validator = headers['if-range'];
  if (typeof validator === 'string' && validator.startsWith('W/')) delete headers.range;
}

/** The handler compares tags of its own with what the client sends. */
function takeOffSuffixes(compressor: Compressor, req: IncomingMessage): void {
  const { codecs } = compressor.codecSetOf(compressor.switch.profile);
  const codings = acceptedCodings(
    requestField(req, 'accept-encoding'),
    codecs.map(({ coding }) => coding),
  );
  for (const name of ['if-none-match', 'if-match'] as const) {
    const field = req.headers[name];
    if (field !== undefined) req.headers[name] = plainConditions(field, codings).field;
  }
}
