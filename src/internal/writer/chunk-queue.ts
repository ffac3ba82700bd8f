import { byteLengthOf, type Chunk } from '../seam/layer.ts';
import { LatestItems } from './policy/overflow.ts';

/** What a sink says after a write. `full`: it took the chunk, and will tell when it has room again. */
export type WriteResult = 'room' | 'full' | 'closed';

/** Where chunks are written to. */
export interface ChunkSink {
  /** Does not throw. */
  writeChunk(chunk: Chunk): WriteResult;
}

/**
 * Chunks that wait to be written, in order. Adjacent texts become one string and one write. Bytes are neither copied
 * nor changed.
 *
 * The text is a string that grows, and not an array that is joined: usually a tick has one text, which needs no array.
 */
export class ChunkQueue {
  /** Everything up to the last bytes; `undefined` for text alone. */
  #chunks: Chunk[] | undefined;
  #chunksLength = 0;
  /** The text behind `#chunks`. */
  #text = '';
  /** Behind the text: the newest item of each key. */
  #latest: LatestItems | undefined;

  get isEmpty(): boolean {
    return this.#text === '' && !this.#chunks && !this.#latest;
  }

  /** Characters of the texts and bytes of the rest: a lower bound of `bytes` that costs nothing. */
  get length(): number {
    return this.#chunksLength + this.#text.length + (this.#latest?.length ?? 0);
  }

  get bytes(): number {
    let bytes = Buffer.byteLength(this.#text) + (this.#latest?.bytes ?? 0);
    if (this.#chunks) for (const chunk of this.#chunks) bytes += byteLengthOf(chunk, undefined);
    return bytes;
  }

  append(chunk: Chunk): void {
    if (this.#latest) this.#appendLatest(this.#latest);
    if (typeof chunk === 'string') this.#text += chunk;
    else this.#appendBytes(chunk);
  }

  /** Puts text before everything else. */
  prepend(text: string): void {
    if (!this.#chunks) {
      this.#text = text + this.#text;
      return;
    }
    const [first] = this.#chunks;
    if (typeof first === 'string') this.#chunks[0] = text + first;
    else if (text !== '') this.#chunks.unshift(text);
    this.#chunksLength += text.length;
  }

  /**
   * Appends a chunk that may be superseded by the next one of its key. Without a key it may not.
   * @returns whether it superseded another
   */
  putLatest(key: string | undefined, chunk: Chunk): boolean {
    return (this.#latest ??= new LatestItems()).put(key, chunk);
  }

  /** The length of the chunk that the next one of this key supersedes; 0 for none. */
  latestLengthOf(key: string): number {
    return this.#latest?.lengthOf(key) ?? 0;
  }

  clear(): void {
    this.#chunks = undefined;
    this.#chunksLength = 0;
    this.#text = '';
    this.#latest = undefined;
  }

  /**
   * Writes everything. Chunks that are appended meanwhile stay in the queue.
   * @returns `full` if one of the writes was; `undefined` if nothing waited
   */
  writeTo(sink: ChunkSink): WriteResult | undefined {
    if (this.#latest) this.#appendLatest(this.#latest);
    const chunks = this.#chunks;
    const text = this.#text;
    this.clear();
    if (!chunks) return text === '' ? undefined : sink.writeChunk(text);
    return writeEach(text === '' ? chunks : [...chunks, text], sink);
  }

  #appendBytes(bytes: Uint8Array): void {
    this.#chunks ??= [];
    if (this.#text !== '') this.#chunks.push(this.#text);
    this.#chunks.push(bytes);
    this.#chunksLength += this.#text.length + bytes.byteLength;
    this.#text = '';
  }

  #appendLatest(latest: LatestItems): void {
    this.#latest = undefined;
    for (const chunk of latest.values()) this.append(chunk);
  }
}

function writeEach(chunks: readonly Chunk[], sink: ChunkSink): WriteResult {
  let result: WriteResult = 'room';
  for (const chunk of chunks) {
    const answer = sink.writeChunk(chunk);
    if (answer === 'closed') return answer;
    // A 'drain' follows, whatever the sink says about the chunks behind.
    if (answer === 'full') result = answer;
  }
  return result;
}
