import { Transform, type TransformCallback } from 'node:stream';
import { CodecUnavailableError } from '../../errors.ts';
import type { StreamEncoder } from '../codec.ts';
import { leaveOpen, rawBlock } from '../format/zstd-frame.ts';

/** zstd from the optional peer `@mongodb-js/zstd`, for a Node that has none of its own. */
export interface ZstdAddon {
  /**
   * Encodes a body as one frame, in the thread pool. The bytes are copied before it returns. Rejects with the addon's
   * error.
   * @param level - 1 to 19, or negative for less than 1; above 19 is 19
   */
  encode(body: Uint8Array, level: number): Promise<Uint8Array>;
}

/** Resolves with the module `@mongodb-js/zstd`; rejects as `import()` does. */
export type ImportZstdAddon = () => Promise<unknown>;

/** How `createAddonStream` encodes. */
export interface AddonStreamSettings {
  /** As of `ZstdAddon.encode`. */
  readonly level: number;
  /**
   * Bytes of text that are encoded together, rounded up to a multiple of 16,384. No more than the body has, where that
   * is known. @defaultValue `131072`
   */
  readonly blockSize?: number;
}

type Compress = (data: Uint8Array, level: number) => Promise<Uint8Array>;

// RFC 9659: a window of at most 8 MB. The addon takes only a level, and from 20 on its window for a longer body is
// larger.
const highestLevel = 19;

// Frames share no history. At level 3, of typescript.js the stream is 1.10 times the size of a single frame with blocks
// of 128 kB, 1.28 times with 16 kB and 1.06 times with 256 kB, which cost twice the memory. The throughput, some 250
// MB/s, is that of larger blocks; with 16 kB it is half.
const defaultBlockSize = 128 * 1024;

// Node 22 and 24, and so `fetch` and got on them, drop without an error what follows a frame in the same piece of input
// (nodejs/node#64741), unless the frame's end fills the decoder's buffer, which is of this size. So a frame ends at a
// multiple of it.
const decoderBuffer = 16 * 1024;

let peer: Promise<ZstdAddon | undefined> | undefined;

/**
 * Loads the addon: `undefined` where it is not installed. Rejects with `CodecUnavailableError` where it is, but does
 * not work: it lacks its binary, or is of another version.
 * @param importAddon - what to load instead of the peer, which is loaded once
 */
export function loadZstdAddon(importAddon?: ImportZstdAddon): Promise<ZstdAddon | undefined> {
  return importAddon === undefined ? (peer ??= load(importPeer)) : load(importAddon);
}

/**
 * An encoder of a long body in frames, each of a block of text, made in the thread pool one after the other. A flush
 * leaves a frame open, and the text up to the next multiple of 16,384 bytes, where that frame ends, goes uncompressed.
 * An empty body is one empty frame, and no other is empty. A failed encode destroys the transform with its error.
 */
export function createAddonStream(
  addon: ZstdAddon,
  { level, blockSize = defaultBlockSize }: AddonStreamSettings,
): StreamEncoder {
  const rounded = Math.max(Math.ceil(blockSize / decoderBuffer), 1) * decoderBuffer;
  const transform = new FrameTransform(addon, level, rounded);
  return {
    transform,
    // The block, and the addon's copy of it. The tables of the encoder live as long as a thread works with them: they
    // are those of the pool, not of a body.
    memory: 2 * rounded,
    flush: (callback) => flushFrames(transform, callback),
  };
}

async function load(importAddon: ImportZstdAddon): Promise<ZstdAddon | undefined> {
  let imported: unknown;
  try {
    imported = await importAddon();
  } catch (error) {
    if (isNotInstalled(error)) return undefined;
    throw new CodecUnavailableError(
      'zstd',
      '`@mongodb-js/zstd` is installed but cannot be loaded: install it again, with its install script',
      { cause: error },
    );
  }
  const compress = compressOf(imported);
  if (compress === undefined)
    throw new CodecUnavailableError('zstd', '`@mongodb-js/zstd` has no `compress`: install version 7');
  return { encode: async (body, level) => compress(body, Math.min(level, highestLevel)) };
}

// In a variable, for TypeScript and bundlers: they need not find what need not be installed.
const peerName: string = '@mongodb-js/zstd';

function importPeer(): Promise<unknown> {
  return import(peerName);
}

// MODULE_NOT_FOUND only for the peer itself: its own `require` of a missing binary throws that code, too. Jest, webpack
// and Vite put errors of their own in place of Node's. In Jest without `--experimental-vm-modules` no `import()` works.
function isNotInstalled(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = String(message);
  return (
    code === 'ERR_MODULE_NOT_FOUND' ||
    (code === 'MODULE_NOT_FOUND' && text.startsWith(`Cannot find module '${peerName}'`)) ||
    String(code).startsWith('ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING') ||
    text.startsWith(`Could not resolve "${peerName}"`)
  );
}

function compressOf(imported: unknown): Compress | undefined {
  const { compress } = imported as { compress?: unknown };
  return typeof compress === 'function' ? (compress as Compress) : undefined;
}

// A frame's blocks may be as long as its window, up to 128 kB.
function windowBitsOf(blockSize: number): number {
  return Math.max(Math.ceil(Math.log2(blockSize)), 17);
}

// Goes through the writes in their order, as that of zlib's streams does.
const flushMark = Buffer.alloc(0);

function flushFrames(transform: Transform, callback: () => void): void {
  if (transform.writable) transform.write(flushMark, () => callback());
  else if (transform.closed) process.nextTick(callback);
  else transform.once('close', callback);
}

class FrameTransform extends Transform {
  readonly #addon: ZstdAddon;
  readonly #level: number;
  readonly #blockSize: number;
  #block: Buffer | undefined;
  #length = 0;
  #isStarted = false;
  /** Bytes of text until the open frame ends; 0: none is open. */
  #open = 0;
  #onRead: (() => void) | undefined;

  constructor(addon: ZstdAddon, level: number, blockSize: number) {
    super();
    this.#addon = addon;
    this.#level = level;
    this.#blockSize = blockSize;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    if (chunk !== flushMark) this.#collect(chunk, callback);
    else if (this.#length > 0) this.#emit('flush', callback);
    else callback();
  }

  override _flush(callback: TransformCallback): void {
    if (this.#length > 0 || this.#open > 0 || !this.#isStarted) this.#emit('end', callback);
    else callback();
  }

  override _read(size: number): void {
    const onRead = this.#onRead;
    this.#onRead = undefined;
    if (onRead === undefined) super._read(size);
    else onRead();
  }

  // Copies: once its callback is called a chunk is the writer's again.
  #collect(chunk: Buffer, callback: TransformCallback): void {
    this.#block ??= Buffer.allocUnsafe(this.#blockSize);
    const limit = this.#open > 0 ? this.#open : this.#blockSize;
    const copied = chunk.copy(this.#block, this.#length, 0, limit - this.#length);
    this.#length += copied;
    if (this.#length < limit) callback();
    else if (copied === chunk.length) this.#emit('full', callback);
    else {
      this.#emit('full', (error) => {
        if (error || this.destroyed) callback(error);
        else this.#whenRead(() => this.#collect(chunk.subarray(copied), callback));
      });
    }
  }

  #emit(why: 'full' | 'flush' | 'end', callback: TransformCallback): void {
    const text = this.#block?.subarray(0, this.#length) ?? flushMark;
    this.#length = 0;
    this.#isStarted = true;
    if (this.#open > 0) {
      this.#open = why === 'end' ? 0 : this.#open - text.length;
      this.push(rawBlock(text, this.#open === 0));
      callback();
    } else {
      this.#encode(text, why === 'flush', callback);
    }
  }

  #encode(text: Buffer, isFlush: boolean, callback: TransformCallback): void {
    const past = text.length % decoderBuffer;
    if (isFlush && past > 0) this.#open = decoderBuffer - past;
    const coded = this.#addon
      .encode(text, this.#level)
      .then((frame) => (this.#open > 0 ? leaveOpen(frame, windowBitsOf(this.#blockSize)) : frame));
    // On a tick of their own, so that what a listener throws does not become this promise's rejection.
    coded.then(
      (bytes) =>
        process.nextTick(() => {
          if (!this.destroyed) this.push(bytes);
          callback();
        }),
      (error: unknown) => process.nextTick(callback, error),
    );
  }

  // Transform waits for its reader between writes; this is for the frames of one large write.
  #whenRead(then: () => void): void {
    if (this.readableLength < this.readableHighWaterMark) then();
    else this.#onRead = then;
  }
}
