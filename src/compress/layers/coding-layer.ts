import type { AsyncResource } from 'node:async_hooks';
import { captureScope } from '../../internal/context/async-scope.ts';
import { type Chunk, Layer, type LayerKind, type Rank, rank, type WriteCallback } from '../../internal/seam/layer.ts';
import type { Seam } from '../../internal/seam/response.ts';
import { segmentOf } from '../../internal/seam/segment.ts';
import { streamOf } from '../../internal/writer/stream.ts';
import type { Flushable } from '../../internal/writer/tick.ts';
import { bytesOf } from '../codecs/checked-stream.ts';
import { compressEvents, reportBytes, reportCompressError } from '../events.ts';
import { Callbacks, refuse } from './callbacks.ts';

const noBytes = new Uint8Array();

/** What every layer that encodes is given. */
export interface CodingLayerInput {
  readonly seam: Seam;
  /** The content-coding. */
  readonly coding: string;
  /** Told of an encode in another thread: how many bytes, and how many ms it took. */
  readonly observe: (size: number, latency: number) => void;
  /** Gives back what the encoder was counted with. */
  readonly release: () => void;
}

/**
 * A layer that encodes what is written, for as long as the response and its encoder work. It takes the text, and tells
 * the writer when to wait and when to go on. What follows is the subclass's part.
 *
 *     write ──▶ text ──takeText──▶ encoder ──▶ below
 *       ▲        │ full                          │ blocked
 *       └─'drain'┴────────── recover ◀───────────┘
 */
export abstract class CodingLayer<Input extends CodingLayerInput = CodingLayerInput>
  extends Layer
  implements Flushable
{
  override readonly rank: Rank = rank.compress;
  override readonly kind: LayerKind = 'buffer';
  protected readonly input: Input;
  /** Callbacks of the writes whose text is not taken yet. */
  protected readonly written: Callbacks = new Callbacks();
  /** The floor below is full. */
  protected isBlocked = false;
  protected textBytes = 0;
  #text: Uint8Array | undefined;
  /** Usually none. */
  #moreText: Uint8Array[] | undefined;
  /** The writer was told to wait. */
  #isFull = false;
  /** The async context of the code that sent the head. A stream of ours has it already. */
  readonly #scope: AsyncResource;

  constructor(input: Input) {
    super();
    this.input = input;
    this.#scope = streamOf(input.seam.res)?.scope ?? captureScope();
  }

  /** Whether the body goes on. */
  protected abstract get isOpen(): boolean;

  /** Whether all is passed on, or given up. */
  protected abstract get isOver(): boolean;

  /** Bytes that count against the high-water mark. */
  protected abstract get pendingBytes(): number;

  /** Called after each write, which may have been empty. */
  protected abstract encodeSoon(): void;

  /** The end of a tick in which the layer asked for it. It runs in the async context of the response. */
  protected abstract tickEnded(): void;

  abstract override close(): void;

  override get needDrain(): boolean {
    return this.#isFull;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (!this.isOpen) return refuse(callback);
    // It throws for an unknown encoding.
    this.take(chunk, encoding);
    this.written.add(callback);
    this.encodeSoon();
    // Never back to false: the writer may be waiting since an earlier write.
    if (this.#hasNoRoom()) this.#isFull = true;
    return !this.#isFull;
  }

  flushTick(): void {
    try {
      this.inScope(() => this.tickEnded());
    } catch (error) {
      this.fail(error);
    }
  }

  protected take(chunk: Chunk, encoding: BufferEncoding | undefined): void {
    const bytes = bytesOf(chunk, encoding);
    if (bytes.length === 0) return;
    if (this.#text) (this.#moreText ??= []).push(bytes);
    else this.#text = bytes;
    this.textBytes += bytes.length;
  }

  /** Whether the text that waits is a segment of a shared text, and nothing else. */
  protected get holdsSegment(): boolean {
    return this.#text !== undefined && !this.#moreText && segmentOf(this.#text) !== undefined;
  }

  /** Hands over all text that was written and not taken. */
  protected takeText(): Uint8Array {
    const first = this.#text ?? noBytes;
    const text = this.#moreText ? Buffer.concat([first, ...this.#moreText], this.textBytes) : first;
    this.dropText();
    return text;
  }

  protected dropText(): void {
    this.#text = undefined;
    this.#moreText = undefined;
    this.textBytes = 0;
  }

  protected report(bytesIn: number, bytesOut: number): void {
    // Asked first: to find the request takes as long as the rest, for each event of each stream.
    if (compressEvents.bytes.isHeard) reportBytes(this.input.seam.res.req, this.input.coding, bytesIn, bytesOut);
  }

  /** Tells the writer that there is room, if it waits and there is. */
  protected recover(): void {
    if (!this.#isFull || !this.isOpen || this.#hasNoRoom()) return;
    this.#isFull = false;
    this.input.seam.state.layerDrained();
  }

  /** Waits for bytes from another thread. */
  protected receive(bytes: Promise<Uint8Array>, size: number, deliver: (bytes: Uint8Array) => void): void {
    const started = performance.now();
    bytes.then(
      (coded) => {
        this.input.observe(size, performance.now() - started);
        if (!this.isOver) this.attempt(() => deliver(coded));
      },
      (error: unknown) => {
        this.fail(error);
      },
    );
  }

  /**
   * Calls the encoder, whose code may be the application's, in the async context of the response: the caller may work
   * for another request, as one that broadcasts.
   */
  protected inScope<T>(call: () => T): T {
    return this.#scope.runInAsyncScope(call);
  }

  /** The same, where no caller could catch what the encoder throws. */
  protected step(call: () => unknown): void {
    this.attempt(() => this.inScope(call));
  }

  /** A patch of `res` below may throw, and here no caller could catch it. */
  protected attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }

  protected fail(error: unknown): void {
    if (this.isOver) return;
    this.close();
    this.inScope(() => failResponse(this.input.seam, error));
  }

  #hasNoRoom(): boolean {
    return this.isBlocked || this.pendingBytes >= this.input.seam.res.writableHighWaterMark;
  }
}

/** Cuts a response whose encoder failed: a body that cannot go on must not look complete. */
export function failResponse(seam: Seam, error: unknown): void {
  reportCompressError(error, seam.res.req);
  seam.abort(error);
}
