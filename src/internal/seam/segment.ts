import { allocateFramed } from './framed-bytes.ts';

// Bytes of text that are remembered until a reader asks for more.
const defaultMemory = 1024;

const noText = Buffer.alloc(0);
const segmentKey = Symbol('sluice.segment');

/** A point between two segments of one shared text. */
export class Place {
  /** The text before it, as far as it is remembered. Not to be changed. */
  readonly tail: Buffer;

  constructor(tail: Buffer) {
    this.tail = tail;
  }
}

/**
 * A piece of a shared text. What is made of it is the same for all of its readers, and is made once: its chunk of
 * HTTP/1.1, its compressed blocks.
 */
export class Segment {
  readonly source: SharedText;
  /** A reader that is here, and got nothing else meanwhile, has the end of `before.tail` as its last text. */
  readonly before: Place;
  readonly after: Place;
  /** The segment as it travels: a chunk of plain text. */
  readonly text: Buffer;
  #made: Map<unknown, unknown> | undefined;

  constructor(source: SharedText, text: Buffer, before: Place, after: Place) {
    this.source = source;
    this.text = text;
    this.before = before;
    this.after = after;
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
  #place: Place = new Place(noText);

  /** Appends whole messages. The same chunk is for all readers. */
  append(text: string): Buffer {
    const bytes = allocateFramed(Buffer.byteLength(text));
    bytes.write(text, 'utf8');
    const before = this.#place;
    this.#place = new Place(lastOf(before.tail, bytes, this.#memory));
    (bytes as SegmentBytes)[segmentKey] = new Segment(this, bytes, before, this.#place);
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
  // Not from the pool: a reader that is silent keeps it for as long as it is connected.
  const tail = Buffer.allocUnsafeSlow(kept + added);
  tail.set(before.subarray(before.length - kept));
  tail.set(text.subarray(text.length - added), kept);
  return tail;
}
