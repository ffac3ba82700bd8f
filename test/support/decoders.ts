import type { Transform } from 'node:stream';
import zlib from 'node:zlib';
import { decompress as fzstd } from 'fzstd';
import { parseZstdFrames } from './zstd-addon.ts';

/** What a body may be coded with; `identity` is not at all. */
export type Coding = 'gzip' | 'deflate' | 'br' | 'zstd' | 'identity';

interface NativeZstd {
  createZstdDecompress?: (options: { finishFlush: number }) => Transform;
  zstdDecompressSync?: (bytes: Uint8Array) => Buffer;
}

const native = zlib as NativeZstd;

/** Whether this Node has zstd. */
export const hasZstd = native.createZstdDecompress !== undefined;

/** All content-codings that this Node can read as they come. */
export const codings: readonly Coding[] = hasZstd ? ['gzip', 'deflate', 'br', 'zstd'] : ['gzip', 'deflate', 'br'];

/** Those, and none. */
export const allCodings: readonly Coding[] = [...codings, 'identity'];

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH } = zlib.constants;

// Each gives out whatever was flushed, and takes an end in the middle for none of its business: `decodeStrictly` does
// not.
const decoders: Partial<Record<Coding, () => Transform | undefined>> = {
  gzip: () => zlib.createGunzip({ finishFlush: Z_SYNC_FLUSH }),
  deflate: () => zlib.createInflate({ finishFlush: Z_SYNC_FLUSH }),
  br: () => zlib.createBrotliDecompress({ finishFlush: BROTLI_OPERATION_FLUSH }),
  // ZSTD_e_flush.
  zstd: () => native.createZstdDecompress?.({ finishFlush: 1 }),
};

/** Decodes as the bytes come, as a browser does. */
export class IncrementalDecoder {
  readonly #coding: Coding;
  readonly #pieces: Buffer[] = [];
  readonly #transform: Transform | undefined;

  constructor(coding: Coding) {
    this.#coding = coding;
    this.#transform = decoders[coding]?.();
    // A reader that chokes shows no more text; why is for `decodeStrictly` to say.
    this.#transform?.on('data', (piece: Buffer) => this.#pieces.push(piece)).on('error', () => undefined);
  }

  push(bytes: Buffer): void {
    if (this.#transform === undefined) this.#pieces.push(bytes);
    else if (!this.#transform.destroyed) this.#transform.write(bytes);
  }

  /** What could be decoded so far. */
  get text(): string {
    const bytes = Buffer.concat(this.#pieces);
    return (this.#coding === 'zstd' && this.#transform === undefined ? openZstd(bytes) : bytes).toString();
  }

  destroy(): void {
    this.#transform?.destroy();
  }
}

// RFC 8878 3.1.1.2: the last one, raw, of no bytes.
const lastZstdBlock = Uint8Array.of(1, 0, 0);

/** For a Node without zstd: what whole blocks there are of a frame that goes on. */
function openZstd(bytes: Buffer): Buffer {
  for (const whole of [bytes, Buffer.concat([bytes, lastZstdBlock])]) {
    try {
      parseZstdFrames(whole);
      return Buffer.from(fzstd(whole));
    } catch {
      // It does not end here.
    }
  }
  return Buffer.alloc(0);
}

/**
 * The text of a body, which must be coded exactly: one gzip member, one zlib or brotli stream or some frames of zstd,
 * with the checksum of the text, and nothing after it. Throws for anything else: browsers and curl would drop what
 * comes after, or all of it.
 */
export function decodeStrictly(coding: Coding, bytes: Uint8Array): Buffer {
  switch (coding) {
    case 'gzip':
      return decodeGzip(Buffer.from(bytes));
    case 'deflate':
      return readAll(bytes, zlib.inflateSync(bytes, { info: true }));
    case 'br':
      return readAll(bytes, zlib.brotliDecompressSync(bytes, { info: true } as zlib.BrotliOptions));
    case 'zstd':
      return decodeZstd(bytes);
    case 'identity':
      return Buffer.from(bytes);
  }
}

/** The member itself is taken apart here, since Node's decoder goes on to the next, and passes over what is none. */
function decodeGzip(bytes: Buffer): Buffer {
  const start = gzipHeaderLength(bytes);
  const { engine } = withInfo(zlib.inflateRawSync(bytes.subarray(start), { info: true }));
  const trailer = bytes.subarray(start + engine.bytesWritten);
  if (trailer.length !== 8) throw new Error(`${trailer.length} bytes after the last block, and not the 8 of a trailer`);
  const text = zlib.gunzipSync(bytes);
  if (trailer.readUInt32LE(0) !== zlib.crc32(text)) throw new Error('the checksum is not that of the text');
  if (trailer.readUInt32LE(4) !== text.length) throw new Error('the length is not that of the text');
  return text;
}

const flag = { headerChecksum: 0x02, extra: 0x04, name: 0x08, comment: 0x10 } as const;

/** RFC 1952 2.3. */
export function gzipHeaderLength(bytes: Buffer): number {
  if (bytes.readUInt16BE(0) !== 0x1f8b || bytes[2] !== 8)
    throw new Error(`no gzip member starts with ${bytes.toString('hex', 0, 3)}`);
  const flags = bytes[3]!;
  let at = 10;
  if (flags & flag.extra) at += 2 + bytes.readUInt16LE(at);
  for (const field of [flag.name, flag.comment]) if (flags & field) at = bytes.indexOf(0, at) + 1;
  return flags & flag.headerChecksum ? at + 2 : at;
}

interface Decoded {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

// `info` is not in the types of all Node lines.
function withInfo(decoded: unknown): Decoded {
  return decoded as Decoded;
}

function readAll(bytes: Uint8Array, decoded: unknown): Buffer {
  const { buffer, engine } = withInfo(decoded);
  if (engine.bytesWritten !== bytes.length)
    throw new Error(`${bytes.length - engine.bytesWritten} bytes after the end of the stream`);
  return buffer;
}

// RFC 9659: what a browser gives a decoder at most.
const largestWindow = 8 * 2 ** 20;

function decodeZstd(bytes: Uint8Array): Buffer {
  const frames = parseZstdFrames(bytes);
  if (!frames.some(({ kind }) => kind === 'zstd')) throw new Error('no frame');
  for (const { windowSize } of frames)
    if (windowSize > largestWindow) throw new Error(`a window of ${windowSize} bytes`);
  const text = Buffer.from(fzstd(bytes));
  if (native.zstdDecompressSync && !native.zstdDecompressSync(bytes).equals(text))
    throw new Error('two decoders disagree');
  return text;
}
