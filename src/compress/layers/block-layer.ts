import { isThenable } from '../../internal/deferred.ts';
import type { Chunk, WriteCallback } from '../../internal/seam/layer.ts';
import type { Seam } from '../../internal/seam/response.ts';
import { atTickEnd, type Flushable } from '../../internal/writer/tick.ts';
import { Callbacks, refuse } from './callbacks.ts';
import type { BlockEncoder, Tuning } from '../codec.ts';
import { bytesOf } from '../codecs/checked-stream.ts';
import { CodingLayer } from './coding-layer.ts';

/** What a block layer is given, beside its encoder. */
export interface BlockLayerInput {
  readonly seam: Seam;
  readonly encoder: BlockEncoder;
  /** What to encode at from now on; asked before each block. Absent: as at the head, to the end. */
  readonly tuning: (() => Tuning) | undefined;
  /** Told of an encode in another thread: how many bytes, and how many ms it took. */
  readonly observe: (size: number, latency: number) => void;
  /** Whether chunks may be framed and written in one piece, past `res.write`, where that is provably the same. */
  readonly directly: boolean;
  /** Gives back what the encoder was counted with. */
  readonly release: () => void;
}

/**
 * Encodes an event stream: all writes of a tick are one block, and each block is flushed.
 *
 *     idle ──write──▶ scheduled ──tick end──▶ encoding ──▶ ready ──tick end──▶ idle
 *                         ▲                                             │
 *                         └────────── more came meanwhile ──────────────┘
 *     any ──end──▶ ending ──last block──▶ over
 *     any ──response closed, encoder failed──▶ over
 *
 * `ready` lasts to the next end of the tick, so that of a broadcast all blocks are made before any is written: turning
 * from zlib to the socket and back for each of a thousand connections costs a third more.
 */
export class BlockLayer extends CodingLayer implements Flushable {
  #input: BlockLayerInput;
  #state: 'idle' | 'scheduled' | 'encoding' | 'ready' | 'ending' | 'over' = 'idle';
  #text: Uint8Array[] = [];
  #textBytes = 0;
  #block: Uint8Array | undefined;
  /** Bytes that another thread has in hand. */
  #encodingBytes = 0;
  #written = new Callbacks();
  /** Those of the block that is being made. */
  #underway: WriteCallback | undefined;
  /** Those of flushes of the text that waits. */
  #flushed = new Callbacks();
  /** Those of flushes of the block that is being made. */
  #flushing = new Callbacks();
  /** The floor below said that it is full. */
  #blocked = false;
  /** The writer was told to wait. */
  #full = false;
  #end: { readonly callback: (() => void) | undefined } | undefined;

  constructor(input: BlockLayerInput) {
    super(input.seam);
    this.#input = input;
    // One write per tick is what this layer makes. A writer of ours has an option for it.
    if (input.directly && !input.seam.hasWriter) input.seam.bottom.writeDirectly();
  }

  protected override get isOver(): boolean {
    return this.#state === 'over';
  }

  override get bufferedBytes(): number {
    return this.#textBytes + this.#encodingBytes + (this.#block?.length ?? 0);
  }

  override get needDrain(): boolean {
    return this.#full;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    if (this.#state === 'over') return refuse(callback);
    // It throws for an encoding that there is not.
    this.#take(chunk, encoding);
    this.#written.add(callback);
    if (this.#textBytes === 0) this.#settleEmpty();
    else this.#schedule();
    // Not the other way: somebody may be waiting since an earlier write.
    if (this.#blocked || this.#textBytes >= this.seam.res.writableHighWaterMark) this.#full = true;
    return !this.#full;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (chunk !== undefined) this.#take(chunk, encoding);
    this.#end = { callback };
    if (this.#state === 'ready') this.#deliver();
    else if (this.#state === 'idle' || this.#state === 'scheduled') this.#encodeLast();
  }

  override flush(callback: (() => void) | undefined): void {
    // Nothing new: an empty flush would be bytes for nothing.
    if (this.#textBytes > 0) this.#flushed.add(callback);
    else if (this.bufferedBytes > 0) this.#flushing.add(callback);
    else this.below.flush(callback);
  }

  override drained(): void {
    this.#blocked = false;
    if (this.#textBytes > 0) this.#schedule();
    else this.#full = false;
  }

  override close(): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.#text = [];
    this.#textBytes = 0;
    this.#encodingBytes = 0;
    this.#block = undefined;
    if (this.#underway) this.#written.add(this.#underway);
    this.#written.close();
    this.#flushing.close();
    this.#flushed.close();
  }

  flushTick(): void {
    if (this.#state === 'scheduled') this.#encode();
    else if (this.#state === 'ready') this.attempt(() => this.#deliver());
  }

  #take(chunk: Chunk, encoding: BufferEncoding | undefined): void {
    const bytes = bytesOf(chunk, encoding);
    if (bytes.length === 0) return;
    this.#text.push(bytes);
    this.#textBytes += bytes.length;
  }

  /** An empty write, with nothing before it to wait for. */
  #settleEmpty(): void {
    if (this.bufferedBytes === 0 && this.#state === 'idle') this.#written.settle();
  }

  #schedule(): void {
    if (this.#state !== 'idle' || this.#blocked) return;
    this.#state = 'scheduled';
    atTickEnd(this);
  }

  #takeText(): Uint8Array {
    const [first = new Uint8Array(), ...more] = this.#text;
    const text = more.length === 0 ? first : Buffer.concat(this.#text, this.#textBytes);
    this.#text = [];
    this.#textBytes = 0;
    return text;
  }

  #encode(): void {
    this.#underway = this.#written.take();
    this.#flushing.add(this.#flushed.take());
    this.#run(this.#takeText(), false, (block, now) => {
      this.#block = block;
      this.#state = 'ready';
      if (now) atTickEnd(this);
      else this.#deliver();
    });
  }

  #encodeLast(): void {
    this.#state = 'ending';
    this.#underway = this.#written.take();
    this.#flushing.add(this.#flushed.take());
    this.#run(this.#takeText(), true, (block) => {
      const callback = this.#underway;
      this.#underway = undefined;
      const flushed = this.#flushing.take();
      // A write of its own only for those who want to hear of it.
      if (callback) this.below.write(block, undefined, callback);
      this.below.end(callback ? undefined : block, undefined, this.#end?.callback);
      this.#finish();
      if (flushed) this.below.flush(flushed);
    });
  }

  /** @param deliver - called with the block, and whether that is within this call */
  #run(text: Uint8Array, last: boolean, deliver: (block: Uint8Array, now: boolean) => void): void {
    const { encoder, tuning, observe } = this.#input;
    try {
      const result = this.inScope(() => {
        if (tuning) encoder.retune?.(tuning());
        return encoder.encode(text, last);
      });
      if (!isThenable(result)) {
        deliver(result, true);
        return;
      }
      if (!last) this.#state = 'encoding';
      this.#encodingBytes = text.length;
      const started = performance.now();
      result.then(
        (block) => {
          observe(text.length, performance.now() - started);
          this.#encodingBytes = 0;
          if (this.#state !== 'over') this.attempt(() => deliver(block, false));
        },
        (error: unknown) => {
          this.fail(error);
        },
      );
    } catch (error) {
      this.fail(error);
    }
  }

  #deliver(): void {
    const block = this.#block;
    const callback = this.#underway;
    this.#block = undefined;
    this.#underway = undefined;
    this.#state = 'idle';
    if (block && block.length > 0) this.#blocked = !this.below.write(block, undefined, callback);
    else callback?.();
    const flushed = this.#flushing.take();
    if (flushed) this.below.flush(flushed);
    this.#goOn();
  }

  #goOn(): void {
    if (this.#state !== 'idle') return;
    if (this.#end) {
      this.#encodeLast();
      return;
    }
    if (this.#textBytes > 0) this.#schedule();
    else this.#written.settle();
    if (!this.#full || this.#blocked || this.#textBytes >= this.seam.res.writableHighWaterMark) return;
    this.#full = false;
    this.seam.state.layerDrained();
  }

  #finish(): void {
    this.#state = 'over';
    this.inScope(() => this.#input.encoder.close());
    this.#input.release();
  }
}
