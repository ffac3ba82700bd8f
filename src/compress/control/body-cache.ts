import { crc32 } from 'node:zlib';
import { isThenable } from '../../internal/deferred.ts';
import type { Codec, Tier } from '../codec.ts';
import type { CodecSet } from './codec-set.ts';

/** Counts of a cache, since its middleware was made. */
export interface CacheCounts {
  /** Bodies that were not encoded, because the same one had been before. */
  readonly hits: number;
  /** Bodies that were encoded. */
  readonly misses: number;
  /** Bytes that it holds: of bodies, plain and encoded. */
  readonly bytes: number;
}

/** What a body is encoded with. */
export interface CacheUse {
  readonly codecSet: CodecSet;
  readonly codec: Codec;
  readonly tier: Tier;
}

/** A body in its coding, or what will be it. */
export interface CachedBody {
  readonly coded: Uint8Array | Promise<Uint8Array>;
  /** It was not encoded for this response. */
  readonly isCached: boolean;
}

type Encode = (body: Uint8Array) => Uint8Array | Promise<Uint8Array>;

interface Encoding {
  readonly tier: Tier;
  readonly coded: Uint8Array | Promise<Uint8Array>;
  /** Bytes that count; 0 while it is made. */
  readonly bytes: number;
}

interface Entry {
  readonly key: number;
  readonly plain: Uint8Array;
  readonly encodings: Map<Codec, Encoding>;
}

// Bodies that came once are remembered by their key: the last four of each of 1,024 groups. That is 32 kB, whatever
// comes.
const groups = 1024;
const groupSize = 4;

// About what an entry takes beside its bytes.
const entryBytes = 256;

/**
 * Complete bodies that came more than once, plain and encoded. What comes once leaves only its key: length and CRC. The
 * second time it is encoded from a copy, and both are kept; from then on a body that is the same, byte by byte, is not
 * encoded again.
 *
 *     first ──▶ key noted      second ──▶ copied, encoded, kept      third ──▶ compared, sent
 *
 * Those that were not used for longest go first.
 */
export class BodyCache implements CacheCounts {
  readonly #limit: number;
  /** In the order of their last use. */
  readonly #entries = new Map<number, Entry>();
  /** Keys of bodies that came once, in groups, each group newest first. Moved up by one: 0 is none. */
  readonly #seen = new Float64Array(groups * groupSize);
  #codecSet: CodecSet | undefined;
  #hits = 0;
  #misses = 0;
  #bytes = 0;

  /** @param limit - bytes that it may hold */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get hits(): number {
    return this.#hits;
  }

  get misses(): number {
    return this.#misses;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Encodes a body, or finds it encoded. A body that is just being encoded in another thread is not encoded twice.
   * Throws what `encode` throws.
   */
  encode(use: CacheUse, body: Uint8Array, encode: Encode): CachedBody {
    this.#follow(use.codecSet);
    const key = keyOf(body);
    const found = this.#entries.get(key);
    // The key may be that of another body, by chance or by intent.
    const entry = found && isSame(found.plain, body) ? found : undefined;
    const encoding = entry?.encodings.get(use.codec);
    if (entry) this.#touch(entry);
    // What took more CPU is no larger.
    if (encoding && encoding.tier <= use.tier) {
      this.#hits += 1;
      return { coded: encoding.coded, isCached: true };
    }
    this.#misses += 1;
    return { coded: this.#encodeNew(use, { key, body, entry }, encode), isCached: false };
  }

  /** Forgets all bodies. */
  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** Another profile has other codecs: what the old ones made is of no use. */
  #follow(codecSet: CodecSet): void {
    if (this.#codecSet !== codecSet) this.clear();
    this.#codecSet = codecSet;
  }

  #encodeNew(
    use: CacheUse,
    { key, body, entry }: { key: number; body: Uint8Array; entry: Entry | undefined },
    encode: Encode,
  ): Uint8Array | Promise<Uint8Array> {
    // Two bodies out of four would make the rest of the cache useless.
    const isKept = entry !== undefined || (body.length <= this.#limit / 4 && this.#hasSeen(key));
    if (!isKept) return encode(body);
    // Its owner may change it while another thread reads it, and later.
    const plain = entry?.plain ?? copyOf(body);
    const coded = encode(plain);
    this.#keep(entry ?? this.#add({ key, plain, encodings: new Map() }), use, coded);
    return coded;
  }

  /** Whether a body with this key came not long ago. Notes it. */
  #hasSeen(key: number): boolean {
    const start = (Math.floor(key / lengths) % groups) * groupSize;
    const end = start + groupSize;
    if (this.#seen.subarray(start, end).includes(key + 1)) return true;
    this.#seen.copyWithin(start + 1, start, end - 1);
    this.#seen[start] = key + 1;
    return false;
  }

  #keep(entry: Entry, { codec, tier }: CacheUse, coded: Uint8Array | Promise<Uint8Array>): void {
    if (!isThenable(coded)) {
      this.#set(entry, codec, { tier, ...keptOf(entry, coded) });
      return;
    }
    const encoding: Encoding = { tier, coded, bytes: 0 };
    this.#set(entry, codec, encoding);
    const isCurrent = (): boolean => this.#entries.get(entry.key) === entry && entry.encodings.get(codec) === encoding;
    coded.then(
      (bytes) => {
        if (isCurrent()) this.#set(entry, codec, { tier, ...keptOf(entry, bytes) });
      },
      () => {
        // The responses that wait for it report it. The next one tries again.
        if (isCurrent()) this.#drop(entry);
      },
    );
  }

  #add(entry: Entry): Entry {
    const before = this.#entries.get(entry.key);
    if (before) this.#drop(before);
    this.#entries.set(entry.key, entry);
    this.#bytes += entry.plain.length + entryBytes;
    return entry;
  }

  #set(entry: Entry, codec: Codec, encoding: Encoding): void {
    this.#bytes += encoding.bytes - (entry.encodings.get(codec)?.bytes ?? 0);
    entry.encodings.set(codec, encoding);
    for (const oldest of this.#entries.values()) {
      if (this.#bytes <= this.#limit) return;
      this.#drop(oldest);
    }
  }

  #touch(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#bytes -= entry.plain.length + entryBytes;
    for (const { bytes } of entry.encodings.values()) this.#bytes -= bytes;
  }
}

// The key is a whole number of up to 53 bits: a CRC has 32 of them.
const lengths = 2 ** 21;

function keyOf(body: Uint8Array): number {
  return crc32(body) * lengths + (body.length % lengths);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Bytes of their own: a slice would keep all that it is a slice of, and a codec may use its buffer again. */
function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}

/** A body that gets no shorter is sent as it is: its plain bytes stand for that. */
function keptOf({ plain }: Entry, coded: Uint8Array): Pick<Encoding, 'coded' | 'bytes'> {
  return coded.length < plain.length ? { coded: copyOf(coded), bytes: coded.length } : { coded: plain, bytes: 0 };
}
