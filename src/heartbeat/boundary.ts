import { readBag, readBoolean, readInteger } from '../internal/option.ts';
import { InvalidOptionError } from '../errors.ts';

/** Follows what a handler writes, and knows where between its messages a heartbeat may stand. Heartbeats themselves are not pushed. */
export interface BoundaryTracker {
  /** Takes what was written: bytes, or a string that is sent as UTF-8. An empty chunk changes nothing. */
  push(chunk: Uint8Array | string): void;
  /** Whether no message is half written, so that whatever is written next neither ends nor changes one. True before the first byte. */
  readonly atBoundary: boolean;
}

/** Options of `LengthPrefixBoundary`: how the frames of a protocol say how long they are. */
export interface LengthPrefixOptions {
  /** Bytes of the length field, an unsigned integer. */
  lengthBytes: 1 | 2 | 4 | 8;
  /** Bytes of a frame before its length field. @defaultValue `0` */
  offset?: number;
  /** Whether the length counts the whole frame, with the field and what is before it, and not only what follows. @defaultValue `false` */
  includesHeader?: boolean;
  /** Whether the lowest byte of the length comes first. @defaultValue `false` */
  littleEndian?: boolean;
}

const lf = 0x0a;
const cr = 0x0d;
const space = 0x20;
const tab = 0x09;
const quote = 0x22;
const backslash = 0x5c;
const rs = 0x1e;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Event streams: where an event has been ended by a blank line. WHATWG HTML 9.2.5: `end-of-line = ( cr lf / cr / lf )`.
 *
 * A comment line alone is no boundary: its event may go on. Nor is a BOM, or the blank line that follows a BOM at the start, which a
 * client would take for one: the heartbeat then waits for the next event.
 */
export class EventBoundary implements BoundaryTracker {
  #atBoundary = true;
  #lineIsEmpty = true;
  #afterCr = false;

  get atBoundary(): boolean {
    return this.#atBoundary;
  }

  push(chunk: Uint8Array | string): void {
    // Three bytes say all: `\n` or `\r` that ends a blank line needs the end of the line before it, and `\r\n` is one end of two bytes.
    for (let at = Math.max(0, chunk.length - 3); at < chunk.length; at++) this.#take(codeAt(chunk, at));
  }

  #take(code: number): void {
    const continuesCr = this.#afterCr && code === lf;
    this.#afterCr = code === cr;
    if (continuesCr) return;
    const endsLine = code === lf || code === cr;
    this.#atBoundary = endsLine && this.#lineIsEmpty;
    this.#lineIsEmpty = endsLine;
  }
}

/** Newline-delimited JSON: where a line has ended. JSON text on one line holds no LF of its own. */
export class LineBoundary implements BoundaryTracker {
  #atBoundary = true;

  get atBoundary(): boolean {
    return this.#atBoundary;
  }

  push(chunk: Uint8Array | string): void {
    if (chunk.length > 0) this.#atBoundary = codeAt(chunk, chunk.length - 1) === lf;
  }
}

/** What the last byte left behind. `open`: outside of strings, in an element whose value is not complete or not yet followed by LF. */
type SequenceState = 'start' | 'open' | 'string' | 'escape' | 'ended';

/**
 * JSON text sequences: where an element has ended. RFC 7464 2.2: `RS JSON-text LF`. The JSON text may hold LF as white space, so the LF
 * counts only once the value is complete. RS begins an element whatever was before it (RFC 7464 2.1), for JSON strings hold it escaped.
 */
export class SequenceBoundary implements BoundaryTracker {
  #state: SequenceState = 'start';
  #depth = 0;
  #hasValue = false;

  get atBoundary(): boolean {
    return this.#state === 'start' || this.#state === 'ended';
  }

  push(chunk: Uint8Array | string): void {
    for (let at = 0; at < chunk.length; at++) this.#take(codeAt(chunk, at));
  }

  #take(code: number): void {
    if (code === rs) this.#beginElement();
    else if (this.#state === 'escape') this.#state = 'string';
    else if (this.#state === 'string') this.#takeInString(code);
    else this.#takeOutside(code);
  }

  #beginElement(): void {
    this.#state = 'open';
    this.#depth = 0;
    this.#hasValue = false;
  }

  #takeInString(code: number): void {
    if (code === backslash) this.#state = 'escape';
    else if (code === quote) this.#state = 'open';
  }

  #takeOutside(code: number): void {
    this.#state = code === lf && this.#depth === 0 && this.#hasValue ? 'ended' : 'open';
    if (isWhiteSpace(code)) return;
    this.#hasValue = true;
    if (code === quote) this.#state = 'string';
    else if (code === openBrace || code === openBracket) this.#depth++;
    else if (code === closeBrace || code === closeBracket) this.#depth--;
  }
}

/** Streams of which each write is one whole message: everywhere. */
export class WriteBoundary implements BoundaryTracker {
  readonly atBoundary = true;

  push(): void {
    // Nothing that is written can leave a message open.
  }
}

/**
 * Binary frames that say how long they are: where a whole number of them was written. A length that is less than the header it counts
 * fits no frame; from there on nothing is a boundary, since where the next frame begins cannot be known. Throws `InvalidOptionError`.
 */
export class LengthPrefixBoundary implements BoundaryTracker {
  readonly #options: Required<LengthPrefixOptions>;
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
    if (place >= 0) this.#length = this.#options.littleEndian ? this.#length | (BigInt(byte) << BigInt(8 * place)) : (this.#length << 8n) | BigInt(byte);
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

function resolveLengthPrefixOptions(owner: string, options: LengthPrefixOptions): Required<LengthPrefixOptions> {
  const { lengthBytes, offset = 0, includesHeader = false, littleEndian = false } = readBag(owner, options);
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

function isWhiteSpace(code: number): boolean {
  return code === lf || code === space || code === cr || code === tab;
}

/** A byte, or a code unit of a string. Only ASCII is looked for, and no part of a longer character looks like it in either. */
function codeAt(chunk: Uint8Array | string, at: number): number {
  return typeof chunk === 'string' ? chunk.charCodeAt(at) : (chunk[at] ?? 0);
}
