import { InvalidChunkError } from '../../errors.ts';
import { type OptionNames, readFunction, readOptions } from '../option.ts';

// CRC-16/CCITT-FALSE: x¹⁶ + x¹² + x⁵ + 1, highest bit first, nothing reflected and nothing inverted at the end. The
// catalogue of CRCs lists it as CRC-16/IBM-3740, with 0x29b1 for "123456789".
const polynomial = 0x1021;
const initial = 0xffff;

const table = Uint16Array.from({ length: 256 }, (_, byte) => divide(byte << 8));

/** What eight shifts make of a register. */
function divide(register: number): number {
  let rest = register;
  for (let bit = 0; bit < 8; bit++) rest = (rest & 0x8000) === 0 ? rest << 1 : (rest << 1) ^ polynomial;
  return rest & 0xffff;
}

/** CRC-16/CCITT-FALSE of `bytes` from `from` up to, and without, `to`: 0 to 0xffff. */
export function crc16(bytes: Uint8Array, from = 0, to: number = bytes.length): number {
  let crc = initial;
  for (let at = from; at < to; at++) crc = ((crc << 8) & 0xffff) ^ (table[(crc >> 8) ^ (bytes[at] ?? 0)] ?? 0);
  return crc;
}

// The frame, 6 bytes:
//
//   0        1        2        3        4        5
//   0xaa     version  reserved          CRC-16/CCITT-FALSE of bytes 0 to 3, big endian
//
// The bytes of another version are data: how long its frame is, and where its checksum stands, is not known here.
// Reserved bytes are sent as zero and not looked at when they come, so that a later sender may use them and still be
// heard. The CRC covers them, so a damaged one is not taken for a heartbeat.
const magic = 0xaa;
const version = 0x01;
const checkedLength = 4;
const frameLength = 6;

const frame = encode();

const nothing = new Uint8Array(0);

/** Options of `HeartbeatParser`. */
export interface HeartbeatParserOptions {
  /**
   * Called once for each heartbeat, when the parser has taken the whole chunk in which it ended. What it throws, `push`
   * throws; the chunk counts as taken, and its data are lost.
   * @defaultValue none
   */
  onHeartbeat?: (() => void) | undefined;
}

const names: OptionNames<HeartbeatParserOptions> = { onHeartbeat: true };

/** What one chunk held. */
export interface ParsedChunk {
  /** Heartbeats that ended in the chunk. */
  readonly heartbeats: number;
  /**
   * The bytes that belong to no heartbeat, in their order; none of the pieces is empty. They are views of the chunk,
   * and not copies; only bytes held back from earlier chunks, which come first, are a piece of their own.
   */
  readonly data: Uint8Array[];
}

/** What stands at a place: a whole heartbeat, the start of what may become one, or a byte of data. */
type Verdict = 'heartbeat' | 'partial' | 'data';

/**
 * The bytes of a heartbeat, version 1: `aa 01 00 00` and their CRC-16/CCITT-FALSE in big endian, `31 2d`.
 * @returns 6 bytes of the caller's own
 */
export function encodeHeartbeat(): Uint8Array {
  return new Uint8Array(frame);
}

function encode(): Uint8Array {
  const bytes = Uint8Array.of(magic, version, 0, 0, 0, 0);
  const crc = crc16(bytes, 0, checkedLength);
  bytes[checkedLength] = crc >> 8;
  bytes[checkedLength + 1] = crc & 0xff;
  return bytes;
}

/**
 * Takes the heartbeats out of the bytes of a connection, in any pieces, and gives back the application's own.
 *
 * After what is no heartbeat the search goes on at the very next byte, so it finds its way back from any garbage, and a
 * heartbeat that begins inside a false one is found. What the application sends is not escaped, and six bytes of it
 * that are a heartbeat are taken for one: of random bytes, 1 place in 2³². A protocol that cannot have that looks for
 * heartbeats between its own frames only.
 *
 * At any time, the bytes pushed are `6 * heartbeats + skippedBytes + pendingBytes`.
 */
export class HeartbeatParser {
  readonly #onHeartbeat: (() => void) | undefined;
  #held: Uint8Array = nothing;
  #heartbeats = 0;
  #crcErrors = 0;
  #skippedBytes = 0;

  constructor(options?: HeartbeatParserOptions) {
    const { onHeartbeat } = readOptions('HeartbeatParser', options, names);
    this.#onHeartbeat = readFunction('HeartbeatParser.onHeartbeat', onHeartbeat);
  }

  /** Heartbeats found so far. */
  get heartbeats(): number {
    return this.#heartbeats;
  }

  /**
   * Six bytes with the magic and the version of a heartbeat, and with a CRC that is not theirs: damage, or data that
   * looks like one.
   */
  get crcErrors(): number {
    return this.#crcErrors;
  }

  /** Bytes that belonged to no heartbeat: all that `push` and `end` gave back. */
  get skippedBytes(): number {
    return this.#skippedBytes;
  }

  /** Bytes held back, 0 to 5: the start of what may become a heartbeat. */
  get pendingBytes(): number {
    return this.#held.length;
  }

  /**
   * Takes the next bytes, which may end anywhere. Throws `InvalidChunkError`, and is as it was, for anything but a
   * `Uint8Array`.
   */
  push(chunk: Uint8Array): ParsedChunk {
    requireBytes(chunk);
    const before = this.#heartbeats;
    const data: Uint8Array[] = [];
    const from = this.#held.length === 0 ? 0 : this.#settleHeld(chunk, data);
    this.#scan(chunk, from, data);
    const heartbeats = this.#heartbeats - before;
    for (let told = 0; told < heartbeats; told++) this.#onHeartbeat?.();
    return { heartbeats, data };
  }

  /** The connection has ended: what is held back is data. Empty if nothing was. */
  end(): Uint8Array {
    const held = this.#held;
    this.#held = nothing;
    this.#skippedBytes += held.length;
    return held;
  }

  /**
   * Finds out what the bytes held back are. No frame that begins in them reaches further than 5 bytes into the chunk.
   * @returns where in the chunk the search goes on
   */
  #settleHeld(chunk: Uint8Array, data: Uint8Array[]): number {
    const held = this.#held.length;
    const bridge = new Uint8Array(held + Math.min(chunk.length, frameLength - 1));
    bridge.set(this.#held);
    bridge.set(chunk.subarray(0, bridge.length - held), held);
    this.#held = nothing;
    for (let at = 0; at < held; at++) {
      const verdict = this.#judge(bridge, at);
      if (verdict === 'data') continue;
      this.#giveBack(bridge, 0, at, data);
      if (verdict === 'heartbeat') return at + frameLength - held;
      // So short a chunk that the bridge holds all of it.
      this.#held = bridge.slice(at);
      return chunk.length;
    }
    this.#giveBack(bridge, 0, held, data);
    return 0;
  }

  #scan(chunk: Uint8Array, from: number, data: Uint8Array[]): void {
    let start = from;
    let at = chunk.indexOf(magic, from);
    while (at >= 0) {
      const verdict = this.#judge(chunk, at);
      if (verdict === 'partial') break;
      if (verdict === 'heartbeat') {
        this.#giveBack(chunk, start, at, data);
        start = at + frameLength;
      }
      at = chunk.indexOf(magic, verdict === 'heartbeat' ? start : at + 1);
    }
    const end = at < 0 ? chunk.length : at;
    this.#giveBack(chunk, start, end, data);
    // A copy, since the chunk is the caller's. `slice` of a `Buffer` would be none.
    if (end < chunk.length) this.#held = new Uint8Array(chunk.subarray(end));
  }

  /** Judges a place, and counts what is found there. A place that is not `partial` is never judged again. */
  #judge(bytes: Uint8Array, at: number): Verdict {
    if (bytes[at] !== magic) return 'data';
    if (at + 1 < bytes.length && bytes[at + 1] !== version) return 'data';
    if (at + frameLength > bytes.length) return 'partial';
    const end = at + checkedLength;
    if (crc16(bytes, at, end) === (((bytes[end] ?? 0) << 8) | (bytes[end + 1] ?? 0))) {
      this.#heartbeats++;
      return 'heartbeat';
    }
    this.#crcErrors++;
    return 'data';
  }

  #giveBack(bytes: Uint8Array, from: number, to: number, data: Uint8Array[]): void {
    if (from === to) return;
    data.push(bytes.subarray(from, to));
    this.#skippedBytes += to - from;
  }
}

function requireBytes(chunk: unknown): void {
  // By its tag, since the bytes of another realm (a test runner's) are no instance of this one's class. A `Buffer` has
  // the same tag.
  if (ArrayBuffer.isView(chunk) && kindOf(chunk) === 'Uint8Array') return;
  throw new InvalidChunkError(`A chunk for HeartbeatParser must be a Uint8Array, not ${kindOf(chunk)}`);
}

function kindOf(value: unknown): string {
  return typeof value === 'object' ? Object.prototype.toString.call(value).slice('[object '.length, -1) : typeof value;
}
