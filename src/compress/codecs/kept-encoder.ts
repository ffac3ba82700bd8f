import { captureScope } from '../../internal/context/async-scope.ts';

/** What a stream of `node:zlib` has below it. Not documented: `test/upstream` watches it. */
interface Handle {
  reset(): void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
}

/** A stream of `node:zlib`, for what it has below it. */
interface HandleOwner {
  readonly destroyed: boolean;
  readonly _handle?: Handle | null;
  /** What the last write left: bytes of room in the output, and of the input. */
  readonly _writeState?: Uint32Array;
  on(event: 'error', listener: () => void): unknown;
  destroy(): void;
}

/** How to keep an encoder. */
export interface KeptEncoderSettings {
  /** Makes the stream whose encoder is kept. */
  readonly open: () => unknown;
  /** The flush that ends a body. */
  readonly end: number;
  /** Whether an ended encoder has to be reset for the next body. */
  readonly resets: boolean;
  /** Node's own function for a whole body, with the same settings: what is kept has to make the same bytes. */
  readonly encodeOnce: (body: Uint8Array) => Uint8Array;
}

/** Bytes of the longest body for which an encoder is kept. A longer one seldom comes, and its tables are large. */
export const largestKept: number = 128 * 1024;

// Room for a body that gets longer: more than zlib and zstd ask for (`deflateBound`, `ZSTD_compressBound`). It lives as
// long as the process, as the pool of `Buffer` does.
const room = largestKept + (largestKept >> 3) + 1024;
let output: Buffer | undefined;

// A kept encoder is for all requests, also where one of them is the first to need it.
const scope = captureScope();

/**
 * Encoders for many bodies, one after the other, at once; each is made when it is needed first. Node's functions for
 * whole bodies make an encoder for each, and throw it away. For a small body that is most of the time: of 2 kB with
 * zstd 20 of 30 µs, 12 of them for three questions to the processor, which virtual machines answer slowly. With gzip it
 * is 8 of 37 µs.
 */
export class KeptEncoders {
  readonly #encoders = new Map<number, KeptEncoder | undefined>();

  /**
   * Encodes a body; `undefined` where Node's function has to do it: the body is too long, this Node has another kind of
   * encoder, or the encoder failed.
   * @param key - stands for the settings
   */
  encode(key: number, body: Uint8Array, settings: () => KeptEncoderSettings): Uint8Array | undefined {
    if (body.length > largestKept) return undefined;
    if (!this.#encoders.has(key)) this.#encoders.set(key, openEncoder(settings()));
    const encoder = this.#encoders.get(key);
    const coded = encoder?.encode(body);
    // It failed: the next body gets another.
    if (encoder && !coded) this.#encoders.delete(key);
    return coded;
  }
}

function openEncoder(settings: KeptEncoderSettings): KeptEncoder | undefined {
  const owner = scope.runInAsyncScope(settings.open) as HandleOwner;
  owner.on('error', encoderOnError);
  const encoder = new KeptEncoder(settings, owner);
  if (encoder.works()) return encoder;
  owner.destroy();
  return undefined;
}

class KeptEncoder {
  readonly #settings: KeptEncoderSettings;
  readonly #owner: HandleOwner;

  constructor(settings: KeptEncoderSettings, owner: HandleOwner) {
    this.#settings = settings;
    this.#owner = owner;
  }

  /** Encodes a body. `undefined`: it has failed, and is of no use any more. */
  encode(body: Uint8Array): Uint8Array | undefined {
    const { _handle: handle, _writeState: state } = this.#owner;
    if (!handle || !state) return undefined;
    const { resets, end } = this.#settings;
    if (resets) handle.reset();
    output ??= Buffer.allocUnsafeSlow(room);
    handle.writeSync(end, body, 0, body.length, output, 0, room);
    const [left = 0, rest = 0] = state;
    // It is destroyed where it reported an error. The rest cannot be, and must not be cut off.
    if (!this.#owner.destroyed && left > 0 && rest === 0) return Buffer.from(output.subarray(0, room - left));
    this.#owner.destroy();
    return undefined;
  }

  /** Twice: what the first body leaves must not show in the second. */
  works(): boolean {
    const { _handle: handle, _writeState: state } = this.#owner;
    if (typeof handle?.writeSync !== 'function' || typeof handle.reset !== 'function') return false;
    if (!(state instanceof Uint32Array)) return false;
    const expected = Buffer.from(this.#settings.encodeOnce(sample));
    return [sample, sample].every((body) => {
      const coded = this.encode(body);
      return coded !== undefined && expected.equals(coded);
    });
  }
}

const sample = Buffer.from('{"symbol":"SLC","price":101.25,"size":300}\n'.repeat(24));

// `encode` sees it, by `destroyed`; Node's function for the same body then throws it.
function encoderOnError(): void {}
