import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { addonFolder } from '../../scripts/build-zstd-addon.js';

interface AddonModule {
  compress(data: Uint8Array, level?: number): Promise<Uint8Array>;
  decompress(data: Uint8Array): Promise<Uint8Array>;
}

// SLUICE_ZSTD_ADDON names the folder of another build of `@mongodb-js/zstd`.
const folder = process.env['SLUICE_ZSTD_ADDON'] ?? addonFolder;
const isBuilt = existsSync(join(folder, 'build/Release/zstd.node'));

/** Whether tests have to be left out for lack of the addon, which is said. Never, where everything is required. */
export function lacksZstdAddon(tests: string): boolean {
  const lacks = !isBuilt && process.env['SLUICE_REQUIRE_ALL'] !== '1';
  if (lacks) console.warn(`Skipped, ${tests}: @mongodb-js/zstd is not built; run node scripts/build-zstd-addon.js`);
  return lacks;
}

/** Loads the real `@mongodb-js/zstd`, for `loadZstdAddon`. */
export async function importZstdAddon(): Promise<AddonModule> {
  return createRequire(import.meta.url)(folder) as AddonModule;
}

/** One frame of zstd, as its header tells it (RFC 8878 3.1). */
export interface ZstdFrame {
  readonly kind: 'zstd' | 'skippable';
  /** Bytes of the whole frame. */
  readonly length: number;
  /** Bytes of memory that a decoder needs for its window. */
  readonly windowSize: number;
  /** Bytes of text, where the header tells. */
  readonly contentSize: number | undefined;
}

/** Reads the frames of a body, one after the other, to its last byte. Throws where it is not made of whole frames. */
export function parseZstdFrames(bytes: Uint8Array): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const frame = parseFrame(Buffer.from(bytes.subarray(offset)));
    frames.push(frame);
    offset += frame.length;
    if (offset > bytes.length) throw new Error(`the last frame lacks ${offset - bytes.length} bytes`);
  }
  return frames;
}

function parseFrame(bytes: Buffer): ZstdFrame {
  const magic = bytes.readUInt32LE(0);
  if (magic >>> 4 === 0x184d2a5)
    return { kind: 'skippable', length: 8 + bytes.readUInt32LE(4), windowSize: 0, contentSize: 0 };
  if (magic !== 0xfd2fb528) throw new Error(`no frame starts with ${magic.toString(16)}`);
  const descriptor = bytes.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  let offset = 5 + (isSingleSegment ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? Number(isSingleSegment) : 2 ** sizeFlag;
  const contentSize = sizeBytes === 0 ? undefined : readSize(bytes, offset, sizeBytes);
  offset += sizeBytes;
  const length = blocksEnd(bytes, offset) + ((descriptor & 0x04) === 0 ? 0 : 4);
  return {
    kind: 'zstd',
    length,
    windowSize: isSingleSegment ? contentSize! : windowOf(bytes.readUInt8(5)),
    contentSize,
  };
}

function readSize(bytes: Buffer, offset: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(offset));
  // With two bytes 0 would be said twice.
  return bytes.readUIntLE(offset, length) + (length === 2 ? 256 : 0);
}

// RFC 8878 3.1.1.1.2.
function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function blocksEnd(bytes: Buffer, start: number): number {
  for (let offset = start; ;) {
    const header = bytes.readUIntLE(offset, 3);
    const isRun = ((header >> 1) & 3) === 1;
    offset += 3 + (isRun ? 1 : header >> 3);
    if ((header & 1) === 1) return offset;
  }
}
