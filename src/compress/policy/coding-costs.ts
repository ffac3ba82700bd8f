import type { BodyKind, NegotiationContext, Tier } from '../codec.ts';
import type { TierLevels } from './tier.ts';

// A complete body of JSON: µs of CPU in place / bytes. Node 24; `npm run bench -- codings` repeats it.
//
// |          |     2 kB |     10 kB |      50 kB |       128 kB | in the thread pool, 2 kB, 50 kB |
// |----------|----------|-----------|------------|--------------|---------------------------------|
// | gzip 6   | 33 / 848 | 114 / 3187 | 618 / 13885 | 1730 / 33446 | 165, 781 |
// | gzip 4   | 36 / 860 | 112 / 3313 | 496 / 14601 | 1322 / 35452 | |
// | gzip 1   | 30 / 870 |  82 / 3416 | 352 / 15271 |  876 / 37276 | |
// | brotli 4 | 71 / 813 | 203 / 3151 | 700 / 13699 | 2004 / 33286 | 239, 864 |
// | brotli 3 | 45 / 842 | 121 / 3216 | 375 / 13954 | 1199 / 33965 | |
// | brotli 2 | 27 / 862 |  92 / 3270 | 319 / 14048 |  973 / 34067 | |
// | zstd 6   | 31 / 837 | 127 / 3082 | 523 / 13363 | 1272 / 32416 | |
// | zstd 5   | 26 / 840 | 102 / 3117 | 384 / 13723 |  936 / 33336 | |
// | zstd 3   | 16 / 856 |  42 / 3194 | 166 / 13790 |  406 / 33534 | 193, 407 |
// | zstd 1   | 14 / 863 |  30 / 3205 | 111 / 13997 |  270 / 34315 | |

type ServerWeights = ReadonlyMap<string, number>;

// What a client accepts, it mostly accepts equally, and then these decide. They lie within 0.7 to 1, so that a client
// which gives half the weight to a coding does not get it for its being cheaper here.
//
// Complete bodies: zstd 3 takes a quarter to half of the time of the others. Of those, brotli 4 takes twice the time of
// gzip 6 for 1 to 4 % fewer bytes; from some 32 kB on about the same, and on some texts less.
const complete: ServerWeights = new Map([
  ['zstd', 1],
  ['br', 0.95],
  ['gzip', 0.9],
  ['deflate', 0.85],
]);
const completeSmall: ServerWeights = new Map([
  ['zstd', 1],
  ['gzip', 0.9],
  ['br', 0.85],
  ['deflate', 0.8],
]);
const leastForBrotli = 32 * 1024;
// Over a long body the larger window of brotli pays.
const long: ServerWeights = new Map([
  ['br', 1],
  ['zstd', 0.95],
  ['gzip', 0.9],
  ['deflate', 0.85],
]);
// With less CPU to spend, the order is that of bytes per CPU time; with hardly any, brotli is out of place.
const thrifty: ServerWeights = new Map([
  ['zstd', 1],
  ['gzip', 0.95],
  ['br', 0.9],
  ['deflate', 0.85],
]);
const frugal: ServerWeights = new Map([
  ['zstd', 1],
  ['gzip', 0.95],
  ['deflate', 0.9],
  ['br', 0.75],
]);
// Small JSON, flushed each: gzip and zstd make a 4.6th of it, brotli 4 a 3.6th. And a gzip or zstd stream that is
// silent holds 1 to 2 kB, a brotli one 530 kB. Of larger events gzip makes a tenth less than zstd.
const eventStream: ServerWeights = new Map([
  ['gzip', 1],
  ['zstd', 0.95],
  ['deflate', 0.9],
  ['br', 0.75],
]);
// For an unknown coding. Its codec may give a weight of its own.
const unknownWeight = 0.7;

/** The server's weight for a coding, 0 to 1, where its codec has none of its own. */
export function builtInWeight(coding: string, { kind, tier = 0, size }: NegotiationContext): number {
  return serverWeights(kind, tier, size).get(coding.toLowerCase()) ?? unknownWeight;
}

function serverWeights(kind: BodyKind | undefined, tier: Tier, size: number = Infinity): ServerWeights {
  if (kind === 'event-stream') return eventStream;
  if (tier > 0) return tier === 1 ? thrifty : frugal;
  if (kind === 'long') return long;
  return size < leastForBrotli ? completeSmall : complete;
}

// The addon of zstd always takes the detour through the thread pool. Behind Express it needs twice the time of gzip 6
// for 2 kB of JSON, and as long as that at some 16 kB.
const leastForAddon = 16 * 1024;

/**
 * The weight of the addon of zstd; `undefined`: that of zstd. Text that follows a flush goes uncompressed for up to
 * 16 kB: others do better on a body that is flushed.
 * @param isChosen - its level is the user's own: it is meant to be used
 */
export function addonWeight(
  { kind = 'complete', tier = 0, size = Infinity }: NegotiationContext,
  isChosen: boolean,
): number | undefined {
  if (kind === 'long') return 0.8;
  if (isChosen || kind !== 'complete' || size >= leastForAddon) return undefined;
  // Between gzip and brotli.
  return tier === 0 ? 0.87 : 0.93;
}

/** The levels of zstd. */
export const zstdLevels: TierLevels = [3, 3, 1];

/**
 * Its levels for complete bodies under `smallBody` bytes. With its head, an answer of 2 kB then has 1 % more bytes than
 * with brotli 4, at level 3 2.4 %. It takes 15 µs more; from 4 kB on it would be 27 µs and more, for 1 %.
 */
export const smallZstdLevels: TierLevels = [6, 3, 1];
export const smallBody: number = 4096;

/**
 * From how many bytes on zstd goes to the thread pool: where it would keep the event loop for longer than some 0.5 ms.
 * On one core the pool is only a detour.
 */
export function zstdPoolThreshold(levels: TierLevels, isSingleCore: boolean): number {
  const isDefault = Math.max(...levels) <= Math.max(...zstdLevels);
  return (isDefault ? 128 : 32) * 1024 * (isSingleCore ? 4 : 1);
}
