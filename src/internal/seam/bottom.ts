import { OutgoingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { endsWithHead } from '../http/body-rules.ts';
import { ClientClosedError } from '../../errors.ts';
import type { BodyEnd } from './body-end.ts';
import type { ResponseCore } from './core.ts';
import { chunkOf, copyAsChunk } from './framed-bytes.ts';
import { type Chunk, Layer, type Rank, rank, type WriteCallback } from './layer.ts';
import { type HttpResponse, isGone, isHttp2 } from '../http/message.ts';

// An agent that wraps the prototype's method before this module loads must see every write, so a function
// that does not read like Node's is not Node's. All four Node lines have this call in it (test/upstream).
const nodeWrite: unknown = /\bwrite_\(this\b/.test(OutgoingMessage.prototype.write.toString())
  ? OutgoingMessage.prototype.write
  : undefined;

// The longest frame around a chunk: eight hexadecimal digits and two CRLF.
const frameOverhead = 12;

/** The floor that hands bytes to Node. */
export class Bottom extends Layer {
  override readonly rank: Rank = rank.bottom;
  readonly #core: ResponseCore;
  readonly #res: HttpResponse;
  readonly #body: BodyEnd;
  /** `asked` until the head is out and tells whether the body is chunked at all. */
  #direct: 'off' | 'asked' | 'on' = 'off';
  #headOnWire = false;
  /** Whether writes go to Node from here, for good. */
  #isNodeBelow = false;

  constructor(core: ResponseCore, body: BodyEnd) {
    super();
    this.#core = core;
    this.#res = core.res;
    this.#body = body;
  }

  /**
   * Asks for direct chunk writing: the chunk is framed here and written to the socket in one piece, instead
   * of Node's three writes, cork and tick. For writers that write once per tick: Node joins the
   * writes of one tick, this does not.
   */
  writeDirectly(): void {
    if (!isHttp2(this.#core.res)) this.#direct = 'asked';
  }

  /** Whether the head was handed to Node's socket, and not only written: `headersSent` is true for both. */
  get isHeadOnWire(): boolean {
    return this.#headOnWire;
  }

  /** Node may send the head from here on without another call of ours. */
  headFlushed(): void {
    this.#headOnWire = true;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (this.writeDirect(chunk, encoding, callback)) return true;
    const { res, nativeWrite } = this.#core;
    const answer = callback && isHttp2(res) && isGone(res) ? once(callback) : callback;
    this.#sendHeadBehindHints();
    this.#core.isAtWork = true;
    let ok: unknown;
    try {
      ok = nativeWrite.call(res, chunk, encoding, answer);
      // Node drops the callback if the stream was destroyed and has not closed yet. Everywhere else it calls it in a
      // tick, which comes before this one.
      if (answer && answer !== callback) process.nextTick(answer, new ClientClosedError());
    } finally {
      this.#core.isAtWork = false;
    }
    if (chunk.length > 0 && !this.#headOnWire) {
      this.#headOnWire = true;
      joinHead(res);
    }
    // A patch may forget to pass the answer on.
    return typeof ok === 'boolean' ? ok : !this.#core.nativeNeedsDrain;
  }

  override pass(segment: Uint8Array): boolean {
    return this.writeDirect(segment);
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (chunk !== undefined) this.#sendHeadBehindHints();
    const { res } = this.#core;
    this.#body.endNative(() => this.#core.nativeEnd.call(res, chunk, encoding, callback));
  }

  /**
   * Of a response that waits for its turn Node keeps early hints in a queue, and puts a head that goes out with bytes
   * before them: their text would be read as part of the body. A head that goes out alone stands behind them.
   */
  #sendHeadBehindHints(): void {
    const res = this.#core.res as ServerResponse & { outputSize?: number };
    if (this.#headOnWire || isHttp2(res) || res.socket || !res.headersSent || !(Number(res.outputSize) > 0)) return;
    this.#headOnWire = true;
    res.flushHeaders();
  }

  override flush(callback: (() => void) | undefined): void {
    this.#core.nativeFlush?.call(this.#core.res);
    if (callback) process.nextTick(callback);
  }

  /** Writes the chunk to the socket if that was asked for and is the same; `false` leaves it to Node. */
  writeDirect(chunk: Chunk, encoding?: BufferEncoding, callback?: WriteCallback): boolean {
    if (this.#direct === 'off' || !this.#headOnWire) return false;
    // What is asked here is asked for each event of each stream: of few objects, since most are in no cache.
    const res = this.#res as ServerResponse;
    const { socket } = res;
    if (!socket || !(this.#isNodeBelow || this.#core.nativeWrite === nodeWrite) || !isClear(res, socket)) return false;
    if (this.#direct === 'asked') {
      this.#direct = res.chunkedEncoding && hasBody(res) ? 'on' : 'off';
      if (this.#direct === 'off') return false;
      this.#isNodeBelow = this.#core.knowsWrite;
    }
    if (typeof chunk !== 'string') return writeBytes(socket, chunk, callback);
    return (encoding === undefined || encoding === 'utf8') && writeText(socket, chunk, callback);
  }
}

const anything = /^/;

/**
 * Node puts the text of a head together from some forty pieces. V8 keeps all of them, 1 kB, for as long as a stream is
 * open, until something reads the whole text: then it makes one piece of it.
 */
function joinHead(res: HttpResponse): void {
  const head = (res as { _header?: unknown })._header;
  if (typeof head === 'string') anything.test(head);
}

/** Passes the first call on and ignores the others. */
function once(callback: WriteCallback): WriteCallback {
  let isDone = false;
  return (error) => {
    if (isDone) return;
    isDone = true;
    callback(error);
  };
}

/**
 * Whether a chunk framed here ends up exactly where Node would put it. The head is on its way (the caller
 * knows); then every byte that Node still holds must be in the socket's queue, and not in `res`.
 */
function isClear(res: ServerResponse, socket: Socket): boolean {
  const state = res as { readonly finished?: boolean; readonly outputSize?: number };
  return (
    // What Node's `writableEnded` tells. Ours asks the layers, which have passed this on.
    state.finished === false &&
    !res.destroyed &&
    // Not documented; a Node without it would get `undefined`, and with that every chunk.
    state.outputSize === 0 &&
    // Corked by the application, or by Node until this tick ends; chunks that it joins are held back only then.
    res.writableCorked === 0 &&
    socket.writableCorked === 0 &&
    socket.writable
  );
}

// With `Transfer-Encoding: chunked` set by hand Node reports chunked coding even where it drops the body.
function hasBody(res: ServerResponse): boolean {
  return !endsWithHead(res.req.method, res.statusCode);
}

// Node emits 'drain' on `res` for its own writes only. So a chunk that would fill the socket's queue is
// left to Node: a direct write never returns false, and 'drain' stays truthful with nothing to emulate.
function fits(socket: Socket, length: number): boolean {
  return length > 0 && socket.writableLength + length + frameOverhead < socket.writableHighWaterMark;
}

function writeText(socket: Socket, text: string, callback: WriteCallback | undefined): boolean {
  const length = Buffer.byteLength(text);
  if (!fits(socket, length)) return false;
  // The same bytes either way; Latin-1 spares the socket the UTF-8 encoder.
  socket.write(`${length.toString(16)}\r\n${text}\r\n`, length === text.length ? 'latin1' : 'utf8', callback);
  return true;
}

function writeBytes(socket: Socket, bytes: Uint8Array, callback: WriteCallback | undefined): boolean {
  if (!fits(socket, bytes.length)) return false;
  socket.write(chunkOf(bytes) ?? copyAsChunk(bytes), callback);
  return true;
}
