import { InvalidOptionError } from '../../errors.ts';
import { type OptionNames, readBoolean, readInteger, readOptions, type Resolved } from '../option.ts';
import type { BoundaryTracker } from './boundary.ts';

/** Options of `LengthPrefixBoundary`: how the frames of a protocol say how long they are. */
export interface LengthPrefixOptions {
  /** Bytes of the length field, an unsigned integer. */
  lengthBytes: 1 | 2 | 4 | 8;
  /** Bytes of a frame before its length field. @defaultValue `0` */
  offset?: number | undefined;
  /**
   * Whether the length counts the whole frame, with the field and what is before it, and not only what follows.
   * @defaultValue `false`
   */
  includesHeader?: boolean | undefined;
  /** Whether the lowest byte of the length comes first. @defaultValue `false` */
  littleEndian?: boolean | undefined;
}

/**
 * Binary frames that say how long they are: where a whole number of them was written. A length that is less than the
 * header it counts fits no frame; from there on nothing is a boundary, since where the next frame begins cannot be
 * known. Throws `InvalidOptionError`.
 */
export class LengthPrefixBoundary implements BoundaryTracker {
  readonly #options: Resolved<LengthPrefixOptions>;
  readonly #headerBytes: number;
  #phase: 'header' | 'payload' | 'lost' = 'header';
  #headerSeen = 0;
  // A length of 8 bytes does not fit a number.
  #length = 0n;
  #left = 0n;

  /** @param owner - the name of the options, for error messages */
  constructor(options: LengthPrefixOptions, owner = 'LengthPrefixBoundary') {
    this.#options = resolveLengthPrefixOptions(owner, options);
    this.#headerBytes = this.#options.offset + this.#options.lengthBytes;
  }

  get atBoundary(): boolean {
    return this.#phase === 'header' && this.#headerSeen === 0;
  }

  push(chunk: Uint8Array | string): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length && this.#phase !== 'lost';) {
      at += this.#phase === 'payload' ? this.#takePayload(bytes.length - at) : this.#takeHeader(bytes[at] ?? 0);
    }
  }

  /** @returns how many of the bytes at hand belong to the payload */
  #takePayload(available: number): number {
    const taken = this.#left < available ? Number(this.#left) : available;
    this.#left -= BigInt(taken);
    if (this.#left === 0n) this.#phase = 'header';
    return taken;
  }

  /** @returns 1, the byte taken */
  #takeHeader(byte: number): 1 {
    const place = this.#headerSeen++ - this.#options.offset;
    if (place >= 0)
      this.#length = this.#options.littleEndian
        ? this.#length | (BigInt(byte) << BigInt(8 * place))
        : (this.#length << 8n) | BigInt(byte);
    if (this.#headerSeen === this.#headerBytes) this.#endHeader();
    return 1;
  }

  #endHeader(): void {
    this.#left = this.#options.includesHeader ? this.#length - BigInt(this.#headerBytes) : this.#length;
    if (this.#left < 0n) this.#phase = 'lost';
    else if (this.#left > 0n) this.#phase = 'payload';
    this.#headerSeen = 0;
    this.#length = 0n;
  }
}

const names: OptionNames<LengthPrefixOptions> = {
  lengthBytes: true,
  offset: true,
  includesHeader: true,
  littleEndian: true,
};

function resolveLengthPrefixOptions(owner: string, options: LengthPrefixOptions): Resolved<LengthPrefixOptions> {
  const { lengthBytes, offset = 0, includesHeader = false, littleEndian = false } = readOptions(owner, options, names);
  return {
    lengthBytes: readLengthBytes(`${owner}.lengthBytes`, lengthBytes),
    offset: readInteger(`${owner}.offset`, offset),
    includesHeader: readBoolean(`${owner}.includesHeader`, includesHeader),
    littleEndian: readBoolean(`${owner}.littleEndian`, littleEndian),
  };
}

function readLengthBytes(option: string, value: unknown): LengthPrefixOptions['lengthBytes'] {
  if (value === 1 || value === 2 || value === 4 || value === 8) return value;
  throw new InvalidOptionError(option, '1, 2, 4 or 8', value);
}
