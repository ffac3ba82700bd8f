import { type Chunk, Layer, type Rank, rank, type WriteCallback } from '../internal/layer.ts';
import { abortResponse } from '../internal/message.ts';
import type { Seam } from '../internal/response.ts';
import { atTickEnd, type Flushable } from '../internal/tick.ts';
import { Callbacks } from './callbacks.ts';
import { bytesOf } from './chunk.ts';
import type { StreamEncoder } from './codec.ts';
import { reportCompressError } from './report.ts';

/** What a stream layer is given, beside its encoder. */
export interface StreamLayerInput {
  readonly seam: Seam;
  readonly encoder: StreamEncoder;
  /** Ms without a write after which the encoder is flushed; `Infinity`: only when asked. */
  readonly idleFlush: number;
  /** Told of an encode in another thread: how many bytes, and how many ms it took. */
  readonly observe: ((size: number, latency: number) => void) | undefined;
  /** Gives back what the encoder was counted with. */
  readonly release: () => void;
}

// Each write of an encoder is a trip to another thread, some 30 µs: small writes of one tick make it together.
const joinUpTo = 16_384;

/**
 * Encodes a long body with a codec's stream, which sets the pace.
 *
 *     write ──▶ text ──16 kB or tick end──▶ encoder ──▶ below
 *       ▲                                      ▲          │ false
 *       └── drained ◀── under the mark         └─ paused ─┘   until 'drain'
 */
export class StreamLayer extends Layer implements Flushable {
  override readonly rank: Rank = rank.compress;
  override readonly transforms: boolean = true;
  override readonly holds: boolean = true;
  #input: StreamLayerInput;
  #state: 'open' | 'ending' | 'over' = 'open';
  #text: Uint8Array[] = [];
  #textBytes = 0;
  #scheduled = false;
  #written = new Callbacks();
  #flushed = new Callbacks();
  /** Callbacks of text that is encoded, while the floor below is full. */
  #encoded = new Callbacks();
  #started = false;
  /** Text went into the encoder that no flush has followed. */
  #dirty = false;
  #paused = false;
  #pauses = 0;
  #full = false;
  #endCallback: (() => void) | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(input: StreamLayerInput) {
    super();
    this.#input = input;
    const { transform } = input.encoder;
    transform.on('data', (bytes: Uint8Array) => {
      this.#pass(bytes);
    });
    transform.on('end', () => {
      this.#endBelow();
    });
    transform.on('error', (error) => {
      this.#fail(error);
    });
  }

  override get bufferedBytes(): number {
    const { transform } = this.#input.encoder;
    return this.#textBytes + transform.writableLength + transform.readableLength;
  }

  override get needDrain(): boolean {
    return this.#full;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (this.#state !== 'open') return false;
    this.#written.add(callback);
    this.#take(chunk, encoding);
    if (this.#textBytes >= joinUpTo) this.#encode();
    else this.#schedule();
    this.#full = this.#isFull();
    return !this.#full;
  }

  override end(chunk: Chunk | undefined, encoding: BufferEncoding | undefined, callback: (() => void) | undefined): void {
    if (chunk !== undefined) this.#take(chunk, encoding);
    if (this.#state !== 'open') return;
    this.#encode();
    this.#state = 'ending';
    this.#endCallback = callback;
    clearTimeout(this.#idle);
    this.#input.encoder.transform.end();
  }

  override flush(callback: (() => void) | undefined): void {
    this.#encode();
    // Nothing new: an empty flush would be bytes for nothing.
    if (!this.#dirty || this.#state !== 'open') {
      this.below.flush(callback);
      return;
    }
    this.#dirty = false;
    this.#flushed.add(callback);
    this.#input.encoder.flush(() => {
      if (this.#state !== 'over') this.below.flush(this.#flushed.take());
    });
  }

  override drained(): void {
    if (this.#state === 'over' || !this.#paused) return;
    this.#paused = false;
    this.#encoded.take()?.();
    this.#input.encoder.transform.resume();
    this.#recover();
  }

  override close(): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.#text = [];
    this.#textBytes = 0;
    for (const callbacks of [this.#encoded, this.#written, this.#flushed]) callbacks.close();
  }

  flushTick(): void {
    this.#scheduled = false;
    if (this.#state === 'open') this.#encode();
  }

  #take(chunk: Chunk, encoding: BufferEncoding | undefined): void {
    const bytes = bytesOf(chunk, encoding);
    if (bytes.length === 0) return;
    this.#text.push(bytes);
    this.#textBytes += bytes.length;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    atTickEnd(this);
  }

  #isFull(): boolean {
    return this.#paused || this.bufferedBytes >= this.#input.seam.res.writableHighWaterMark;
  }

  /** Gives the encoder all text there is. */
  #encode(): void {
    const callback = this.#written.take();
    if (this.#textBytes === 0) {
      if (callback) process.nextTick(callback);
      return;
    }
    const text = this.#text.length === 1 && this.#text[0] ? this.#text[0] : Buffer.concat(this.#text, this.#textBytes);
    this.#text = [];
    this.#textBytes = 0;
    this.#dirty = true;
    this.#flushWhenIdle();
    // What waits for the client, or for text before it, says nothing of the machine.
    const measurable = !this.#paused && this.#input.encoder.transform.writableLength === 0;
    const pauses = this.#pauses;
    const started = performance.now();
    this.#input.encoder.transform.write(text, (error) => {
      if (measurable && pauses === this.#pauses) this.#input.observe?.(text.length, performance.now() - started);
      this.#settle(callback, error);
    });
  }

  /** Text counts as taken when it is encoded and the floor below takes more. */
  #settle(callback: WriteCallback | undefined, error: Error | null | undefined): void {
    if (this.#state === 'over' || error) {
      callback?.(error ?? undefined);
      return;
    }
    if (this.#paused) this.#encoded.add(callback);
    else callback?.();
    this.#recover();
  }

  #recover(): void {
    if (!this.#full || this.#isFull() || this.#state !== 'open') return;
    this.#full = false;
    this.#input.seam.layerDrained();
  }

  #flushWhenIdle(): void {
    const { idleFlush } = this.#input;
    if (this.#idle) this.#idle.refresh();
    else if (idleFlush !== Infinity) this.#idle = setTimeout(flushIdle, idleFlush, this);
  }

  #pass(bytes: Uint8Array): void {
    if (this.#state === 'over') return;
    const { encoder } = this.#input;
    const first = !this.#started;
    this.#started = true;
    if (this.below.write(first && encoder.start ? encoder.start(bytes) : bytes, undefined, undefined)) return;
    this.#paused = true;
    this.#pauses += 1;
    encoder.transform.pause();
  }

  #endBelow(): void {
    if (this.#state !== 'ending') return;
    const callback = this.#endCallback;
    const flushed = this.#flushed.take();
    this.#finish();
    this.#encoded.take()?.();
    this.below.end(undefined, undefined, callback);
    if (flushed) this.below.flush(flushed);
  }

  #finish(): void {
    this.#state = 'over';
    clearTimeout(this.#idle);
    // `end` alone keeps some 230 kB of zlib until the garbage collector comes by.
    this.#input.encoder.transform.destroy();
    this.#input.release();
  }

  /** A body that cannot go on must not look complete. */
  #fail(error: unknown): void {
    if (this.#state === 'over') return;
    reportCompressError(error);
    this.close();
    abortResponse(this.#input.seam.res);
  }
}

function flushIdle(layer: StreamLayer): void {
  layer.flush(undefined);
}
