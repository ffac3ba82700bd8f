// @ts-check

const ok = 'HTTP/1.1 200 OK\r\n';

/**
 * Reads one answer from a raw socket, as it comes.
 *
 *     head ──Content-Length──▶ body ──────────────────────────────▶ over
 *       └────chunked──▶ size ──▶ chunk ──▶ chunk-end ──▶ size … 0 ──▶ trailer ──▶ over
 */
export class ResponseParser {
  /** @type {'head' | 'body' | 'size' | 'chunk' | 'chunk-end' | 'trailer' | 'over'} */
  #state = 'head';
  /** Of the head or a line, what has come of it. */
  #text = '';
  /** Bytes of the part that are still to come. */
  #left = 0;
  #onBody;
  /** The head, once it is there. */
  head = '';
  /** Bytes of the answer so far, head and framing included. */
  bytes = 0;
  /** Bytes of the body so far, without framing. */
  bodyBytes = 0;

  /** @param {(bytes: Buffer, parser: ResponseParser) => void} onBody - given parts of what is pushed, not copies */
  constructor(onBody) {
    this.#onBody = onBody;
  }

  /** Whether the answer is complete. */
  get isOver() {
    return this.#state === 'over';
  }

  /** The content-coding. */
  get coding() {
    return this.field('content-encoding') ?? 'identity';
  }

  /** @param {string} name */
  field(name) {
    return new RegExp(`^${name}: *(.*?) *\r$`, 'im').exec(this.head)?.[1];
  }

  /**
   * Throws for an answer other than 200, and for bytes after its end.
   * @param {Buffer} bytes
   */
  push(bytes) {
    this.bytes += bytes.length;
    for (let at = 0; at < bytes.length;) at += this.#take(bytes.subarray(at));
  }

  /**
   * Returns how many bytes it took.
   * @param {Buffer} bytes
   * @returns {number}
   */
  #take(bytes) {
    if (this.#state === 'over') throw new Error(`${bytes.length} bytes after the end of an answer`);
    if (this.#state === 'body' || this.#state === 'chunk') return this.#takeBody(bytes);
    const lineEnd = bytes.indexOf('\n') + 1;
    const taken = lineEnd || bytes.length;
    this.#text += bytes.toString('latin1', 0, taken);
    if (lineEnd > 0) this.#readLine();
    return taken;
  }

  /** @param {Buffer} bytes */
  #takeBody(bytes) {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    this.bodyBytes += part.length;
    this.#onBody(part, this);
    if (this.#left === 0) this.#state = this.#state === 'body' ? 'over' : 'chunk-end';
    return part.length;
  }

  #readLine() {
    const text = this.#text;
    // The head is one piece, to its empty line.
    if (this.#state === 'head' && !text.endsWith('\r\n\r\n')) return;
    this.#text = '';
    if (this.#state === 'head') this.#readHead(text);
    else if (this.#state === 'size') this.#readSize(text);
    else if (text === '\r\n') this.#state = this.#state === 'trailer' ? 'over' : 'size';
    else if (this.#state === 'chunk-end') throw new Error('a chunk is longer than it says');
  }

  /** @param {string} text */
  #readHead(text) {
    if (!text.startsWith(ok)) throw new Error(`unexpected answer: ${text.slice(0, 80)}`);
    this.head = text;
    if (this.field('transfer-encoding') === 'chunked') {
      this.#state = 'size';
      return;
    }
    this.#left = Number(this.field('content-length'));
    if (!(this.#left > 0)) throw new Error(`an answer without chunks, and without a length: ${text}`);
    this.#state = 'body';
  }

  /** @param {string} text */
  #readSize(text) {
    this.#left = parseInt(text, 16);
    if (!(this.#left >= 0)) throw new Error(`not the size of a chunk: ${text}`);
    this.#state = this.#left > 0 ? 'chunk' : 'trailer';
  }
}
