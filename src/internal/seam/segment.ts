import { allocateFramed } from './framed-bytes.ts';

// Bytes of text that are remembered until a reader asks for more.
const defaultMemory = 1024;

const noText = Buffer.alloc(0);
const segmentKey = Symbol('sluice.segment');

/**
 * A piece of a shared text. What is made of it is the same for all of its readers, and is made once: its chunk of
 * HTTP/1.1, its compressed blocks.
 */
export class Segment {
  readonly source: SharedText;
  /** How many segments came before it. */
  readonly index: number;
  /** The text before it, as far as it is remembered. Not to be changed. */
  readonly tail: Buffer;
  /** The segment as it travels: a chunk of plain text. */
  readonly text: Buffer;
  #made: Map<unknown, unknown> | undefined;

  constructor(source: SharedText, text: Buffer) {
    this.source = source;
    this.index = source.length;
    this.tail = source.tail;
    this.text = text;
  }

  /** What was made under that key; made now if it was not. */
  once<T>(key: unknown, make: (segment: Segment) => T): T {
    const made = (this.#made ??= new Map());
    let value = made.get(key) as T | undefined;
    if (value === undefined) made.set(key, (value = make(this)));
    return value;
  }
}

/**
 * A text that many responses send at the same time, such as that of a channel. Each piece is framed and compressed once
 * for all of them.
 *
 * A segment travels as an ordinary chunk: a `Buffer` of its plain text. Layers and queues that know nothing of segments
 * pass it on, or copy it, as bytes.
 */
export class SharedText {
  /** How often something was compressed for its readers. */
  compressions = 0;
  #memory = defaultMemory;
  #length = 0;
  #tail: Buffer = noText;

  /** How many segments it has. */
  get length(): number {
    return this.#length;
  }

  /** The last of the text, as far as it is remembered. Not to be changed. */
  get tail(): Buffer {
    return this.#tail;
  }

  /** Appends whole messages. The same chunk is for all readers. */
  append(text: string): Buffer {
    const bytes = allocateFramed(Buffer.byteLength(text));
    bytes.write(text, 'utf8');
    (bytes as SegmentBytes)[segmentKey] = new Segment(this, bytes);
    this.#tail = lastOf(this.#tail, bytes, this.#memory);
    this.#length += 1;
    return bytes;
  }

  /** Remembers at least so many bytes of the text, from here on. */
  remember(bytes: number): void {
    if (bytes > this.#memory) this.#memory = bytes;
  }
}

type SegmentBytes = Uint8Array & { [segmentKey]?: Segment };

/** The segment that a chunk is, if it is one. */
export function segmentOf(chunk: Uint8Array): Segment | undefined {
  return (chunk as SegmentBytes)[segmentKey];
}

function lastOf(before: Buffer, text: Buffer, limit: number): Buffer {
  const added = Math.min(text.length, limit);
  const kept = Math.min(before.length, limit - added);
  const tail = Buffer.allocUnsafe(kept + added);
  tail.set(before.subarray(before.length - kept));
  tail.set(text.subarray(text.length - added), kept);
  return tail;
}
