import { isThenable } from '../../internal/deferred.ts';
import type { Chunk, WriteCallback } from '../../internal/seam/layer.ts';
import { atTickEnd } from '../../internal/writer/tick.ts';
import { Callbacks } from './callbacks.ts';
import { destroyTransform } from '../codecs/checked-stream.ts';
import { CodingLayer, type CodingLayerInput } from './coding-layer.ts';
import type { StreamEncoder } from '../codec.ts';

/** What a stream layer is given. Its `release` is for an encoder that was made or not. */
export interface StreamLayerInput extends CodingLayerInput {
  /** The encoder, where it had to be made before the head. */
  readonly encoder: StreamEncoder | undefined;
  /** Makes and counts the encoder. */
  readonly open: () => StreamEncoder;
  /** Encodes a body in one go, for one that turns out to have come within a single tick. */
  readonly encodeWhole: ((body: Uint8Array) => Uint8Array | Promise<Uint8Array>) | undefined;
  /** The longest that text waits in the encoder, in ms; `Infinity`: until a flush is asked for. */
  readonly idleFlush: number;
}

// Each write of an encoder is a trip to another thread, some 30 µs: small writes of one tick make it together.
const joinUpTo = 16_384;

/**
 * Encodes a long body with a codec's stream, which sets the pace. The stream is made when the first text goes into it.
 *
 *     write ──▶ text ──16 kB or tick end──▶ encoder ──▶ below
 *       ▲         │                            ▲          │ false
 *       └─ drained ◀─ under the mark           └─ paused ─┘   until 'drain'
 *                 └──ended before that──▶ encoded in one go ──▶ below
 */
export class StreamLayer extends CodingLayer<StreamLayerInput> {
  #state: 'open' | 'ending' | 'over' = 'open';
  #encoder: StreamEncoder | undefined;
  #scheduled = false;
  /** Those of the flushes that the encoder is at, in their order. */
  #flushes: Callbacks[] = [];
  /**
   * Those of writes that the encoder is at, in their order: a stream that waits for its reader calls none of them back,
   * also not when it is destroyed.
   */
  #encoding: (WriteCallback | undefined)[] = [];
  /** Those of flushes that are through the encoder, while what they flushed waits in it for the client. */
  #unpassed: Callbacks[] = [];
  /** Callbacks of text that is encoded, while the floor below is full. */
  #encoded = new Callbacks();
  #started = false;
  /** Text went into the encoder that no flush has followed. */
  #dirty = false;
  #pauses = 0;
  /** Bytes of text whose code is not passed on yet. */
  #unreported = 0;
  #endCallback: (() => void) | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(input: StreamLayerInput) {
    super(input);
    if (input.encoder) this.#adopt(input.encoder);
  }

  protected override get isOpen(): boolean {
    return this.#state === 'open';
  }

  protected override get isOver(): boolean {
    return this.#state === 'over';
  }

  protected override get pendingBytes(): number {
    return this.bufferedBytes;
  }

  override get bufferedBytes(): number {
    const transform = this.#encoder?.transform;
    return this.textBytes + (transform ? transform.writableLength + transform.readableLength : 0);
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (this.#state !== 'open') return;
    if (chunk !== undefined) this.take(chunk, encoding);
    this.#endCallback = callback;
    if (!this.#encoder && this.input.encodeWhole) {
      this.#state = 'ending';
      this.#endWhole(this.input.encodeWhole);
      return;
    }
    this.#encode();
    const encoder = this.#opened();
    if (!encoder || this.isOver) return;
    this.#state = 'ending';
    clearTimeout(this.#idle);
    this.step(() => encoder.transform.end());
  }

  override flush(callback: (() => void) | undefined): void {
    if (this.#state === 'open') this.#encode();
    if (this.#dirty && this.#state === 'open') this.#flushEncoder();
    const last = this.#flushes.at(-1);
    // Nothing new: an empty flush would be bytes for nothing.
    if (last) last.add(callback);
    else this.below.flush(callback);
  }

  override drained(): void {
    if (this.#state === 'over' || !this.isBlocked) return;
    this.isBlocked = false;
    this.#encoded.take()?.();
    this.step(() => this.#encoder?.transform.resume());
    this.recover();
  }

  override close(): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.dropText();
    for (const callback of this.#encoding.splice(0)) this.#encoded.add(callback);
    for (const callbacks of [this.#encoded, this.written, ...this.#unpassed, ...this.#flushes]) callbacks.close();
  }

  protected override tickEnded(): void {
    this.#scheduled = false;
    if (this.#state === 'open') this.#encode();
  }

  protected override encodeSoon(): void {
    if (this.textBytes >= joinUpTo) {
      this.#encode();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      atTickEnd(this);
    }
  }

  /** Its encoder, made if there is none yet; `undefined` when that fails. */
  #opened(): StreamEncoder | undefined {
    if (this.#encoder || this.#state === 'over') return this.#encoder;
    try {
      this.inScope(() => this.#adopt(this.input.open()));
    } catch (error) {
      this.fail(error);
    }
    return this.#encoder;
  }

  #adopt(encoder: StreamEncoder): void {
    this.#encoder = encoder;
    const { transform } = encoder;
    transform.on('data', (bytes: Uint8Array) => {
      this.attempt(() => this.#pass(encoder, bytes));
    });
    transform.on('end', () => {
      this.attempt(() => this.#endBelow(undefined));
    });
    transform.on('error', (error) => {
      this.fail(error);
    });
    transform.on('close', () => {
      this.fail(new Error('The encoder closed before it had ended'));
    });
  }

  #endWhole(encodeWhole: NonNullable<StreamLayerInput['encodeWhole']>): void {
    this.#encoded.add(this.written.take());
    const body = this.takeText();
    this.#unreported = body.length;
    try {
      const coded = this.inScope(() => encodeWhole(body));
      if (isThenable(coded)) this.receive(coded, body.length, (bytes) => this.#endBelow(bytes));
      else this.#endBelow(coded);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Gives the encoder all text there is. */
  #encode(): void {
    if (this.textBytes === 0) {
      this.written.settle();
      return;
    }
    const transform = this.#opened()?.transform;
    if (!transform) return;
    this.#encoding.push(this.written.take());
    const text = this.takeText();
    this.#unreported += text.length;
    this.#dirty = true;
    const { idleFlush, observe } = this.input;
    if (idleFlush !== Infinity) this.#idle ??= setTimeout(flushIdle, idleFlush, this);
    // What waits for the client, or for text before it, says nothing of the machine.
    const measurable = !this.isBlocked && transform.writableLength === 0;
    const pauses = this.#pauses;
    const started = performance.now();
    const transformOnWritten = (error: Error | null | undefined): void => {
      if (measurable && pauses === this.#pauses) observe(text.length, performance.now() - started);
      if (this.#state !== 'over') this.#settle(this.#encoding.shift(), error);
    };
    this.step(() => transform.write(text, transformOnWritten));
  }

  /** Text counts as taken when it is encoded and the floor below takes more. */
  #settle(callback: WriteCallback | undefined, error: Error | null | undefined): void {
    if (error) {
      callback?.(error);
      return;
    }
    if (this.isBlocked) this.#encoded.add(callback);
    else callback?.();
    this.recover();
  }

  #flushEncoder(): void {
    this.#dirty = false;
    clearTimeout(this.#idle);
    this.#idle = undefined;
    const callbacks = new Callbacks();
    this.#flushes.push(callbacks);
    const encoderOnFlushed = (): void => {
      if (this.#state === 'over') return;
      this.#flushes.splice(this.#flushes.indexOf(callbacks), 1);
      this.#unpassed.push(callbacks);
      this.#passFlushes();
    };
    this.step(() => this.#encoder?.flush(encoderOnFlushed));
  }

  /** A flush goes on down behind what it flushed. */
  #passFlushes(): void {
    if (this.#unpassed.length === 0 || (this.#encoder?.transform.readableLength ?? 0) > 0) return;
    for (const callbacks of this.#unpassed.splice(0)) this.below.flush(callbacks.take());
  }

  #pass({ transform, start }: StreamEncoder, bytes: Uint8Array): void {
    if (this.#state === 'over') return;
    const first = !this.#started;
    this.#started = true;
    const sent = first && start ? start(bytes) : bytes;
    this.report(this.#unreported, sent.length);
    this.#unreported = 0;
    const ok = this.below.write(sent, undefined, undefined);
    if (!ok) {
      this.isBlocked = true;
      this.#pauses += 1;
      transform.pause();
    }
    this.#passFlushes();
  }

  #endBelow(bytes: Uint8Array | undefined): void {
    if (this.#state !== 'ending') return;
    const flushes = [...this.#unpassed, ...this.#flushes].map((callbacks) => callbacks.take());
    for (const callback of this.#encoding.splice(0)) this.#encoded.add(callback);
    const encoded = this.#encoded.take();
    // Before 'finish', and not within the `end` that may be the caller.
    if (encoded) process.nextTick(encoded);
    if (bytes) this.report(this.#unreported, bytes.length);
    this.below.end(bytes, undefined, this.#endCallback);
    this.#finish();
    for (const flushed of flushes) if (flushed) this.below.flush(flushed);
  }

  #finish(): void {
    this.#state = 'over';
    clearTimeout(this.#idle);
    // `end` alone keeps some 230 kB of zlib until the garbage collector comes by.
    const encoder = this.#encoder;
    if (encoder) this.inScope(() => destroyTransform(encoder.transform));
    this.input.release();
  }
}

function flushIdle(layer: StreamLayer): void {
  layer.flush(undefined);
}
