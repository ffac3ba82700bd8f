import { isThenable } from '../../internal/deferred.ts';
import type { Chunk, WriteCallback } from '../../internal/seam/layer.ts';
import { atTickEnd } from '../../internal/writer/tick.ts';
import type { BlockEncoder, Tuning } from '../codec.ts';
import { Callbacks } from './callbacks.ts';
import { CodingLayer, type CodingLayerInput } from './coding-layer.ts';

/** What a block layer is given, beside its encoder. */
export interface BlockLayerInput extends CodingLayerInput {
  readonly encoder: BlockEncoder;
  /** What to encode with; asked before each block. `undefined`: as at the head, to the end. */
  readonly tuning: (() => Tuning) | undefined;
  /** Whether chunks may be framed and written in one piece, past `res.write`, where that is provably the same. */
  readonly directly: boolean;
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
export class BlockLayer extends CodingLayer<BlockLayerInput> {
  #state: 'idle' | 'scheduled' | 'encoding' | 'ready' | 'ending' | 'over' = 'idle';
  #block: Uint8Array | undefined;
  /** Bytes that another thread has in hand. */
  #encodingBytes = 0;
  /** Of the writes whose block is being made. */
  #underway: WriteCallback | undefined;
  /** Of flushes of the text that waits. */
  #flushed: Callbacks | undefined;
  /** Of flushes of the block that is being made. */
  #flushing: Callbacks | undefined;
  #end: { readonly callback: (() => void) | undefined } | undefined;

  constructor(input: BlockLayerInput) {
    super(input);
    // One write per tick is what this layer makes. A writer of ours has an option for it.
    if (input.directly && !input.seam.hasWriter) input.seam.bottom.writeDirectly();
  }

  protected override get isOpen(): boolean {
    return this.#state !== 'over';
  }

  protected override get isOver(): boolean {
    return this.#state === 'over';
  }

  protected override get pendingBytes(): number {
    return this.textBytes;
  }

  override get bufferedBytes(): number {
    return this.textBytes + this.#encodingBytes + (this.#block?.length ?? 0);
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (chunk !== undefined) this.take(chunk, encoding);
    this.#end = { callback };
    if (this.#state === 'ready') this.#deliver();
    else if (this.#state === 'idle' || this.#state === 'scheduled') this.#encodeLast();
  }

  override flush(callback: (() => void) | undefined): void {
    // Nothing new: an empty flush would be bytes for nothing.
    if (this.bufferedBytes === 0) this.below.flush(callback);
    else if (!callback) return;
    else if (this.textBytes > 0) (this.#flushed ??= new Callbacks()).add(callback);
    else (this.#flushing ??= new Callbacks()).add(callback);
  }

  override drained(): void {
    this.isBlocked = false;
    if (this.textBytes > 0) this.#schedule();
    else this.recover();
  }

  override close(): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.dropText();
    this.#encodingBytes = 0;
    this.#block = undefined;
    this.written.add(this.#underway);
    for (const callbacks of [this.written, this.#flushing, this.#flushed]) callbacks?.close();
  }

  protected override tickEnded(): void {
    if (this.#state === 'scheduled') this.#encode();
    else if (this.#state === 'ready') this.#deliver();
  }

  protected override encodeSoon(): void {
    if (this.#state === 'idle' && !this.isBlocked && this.holdsSegment) this.#encodeSegment();
    else if (this.textBytes > 0) this.#schedule();
    // An empty write, with nothing before it to wait for.
    else if (this.bufferedBytes === 0 && this.#state === 'idle') this.written.settle();
  }

  #schedule(): void {
    if (this.#state !== 'idle' || this.isBlocked) return;
    this.#state = 'scheduled';
    atTickEnd(this);
  }

  #encode(): void {
    this.#run(false, (block, now) => {
      this.#block = block;
      this.#state = 'ready';
      if (now) atTickEnd(this);
      else this.#deliver();
    });
  }

  /** A segment is all of a tick already. The first response makes its block, and the others only write it. */
  #encodeSegment(): void {
    this.#run(false, (block) => {
      this.#block = block;
      this.#deliver();
    });
  }

  #encodeLast(): void {
    this.#state = 'ending';
    this.#run(true, (block) => {
      const callback = this.#underway;
      this.#underway = undefined;
      const flushed = this.#flushing?.take();
      // A write of its own only where one has a callback.
      if (callback) this.below.write(block, undefined, callback);
      this.below.end(callback ? undefined : block, undefined, this.#end?.callback);
      this.#finish();
      if (flushed) this.below.flush(flushed);
    });
  }

  /** @param deliver - called with the block, and whether that is within this call */
  #run(last: boolean, deliver: (block: Uint8Array, now: boolean) => void): void {
    this.#underway = this.written.take();
    const flushed = this.#flushed?.take();
    if (flushed) (this.#flushing ??= new Callbacks()).add(flushed);
    const text = this.takeText();
    try {
      // A tick is in that scope already, and comes a thousand times as often as an end.
      const result = last ? this.inScope(() => this.#encodeText(text, true)) : this.#encodeText(text, false);
      if (!isThenable(result)) {
        this.report(text.length, result.length);
        deliver(result, true);
        return;
      }
      if (!last) this.#state = 'encoding';
      this.#encodingBytes = text.length;
      this.receive(result, text.length, (block) => {
        this.#encodingBytes = 0;
        this.report(text.length, block.length);
        deliver(block, false);
      });
    } catch (error) {
      this.fail(error);
    }
  }

  #encodeText(text: Uint8Array, last: boolean): ReturnType<BlockEncoder['encode']> {
    const { encoder, tuning } = this.input;
    if (tuning) encoder.retune?.(tuning());
    return encoder.encode(text, last);
  }

  #deliver(): void {
    const block = this.#block;
    const callback = this.#underway;
    this.#block = undefined;
    this.#underway = undefined;
    this.#state = 'idle';
    if (block && block.length > 0) this.isBlocked = !this.below.write(block, undefined, callback);
    else callback?.();
    const flushed = this.#flushing?.take();
    if (flushed) this.below.flush(flushed);
    this.#goOn();
  }

  #goOn(): void {
    if (this.#state !== 'idle') return;
    if (this.#end) {
      this.#encodeLast();
      return;
    }
    if (this.textBytes > 0) this.#schedule();
    else this.written.settle();
    this.recover();
  }

  #finish(): void {
    this.#state = 'over';
    this.inScope(() => this.input.encoder.close());
    this.input.release();
  }
}
