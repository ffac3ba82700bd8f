import { isThenable } from '../../internal/deferred.ts';
import type { Chunk, WriteCallback } from '../../internal/seam/layer.ts';
import { atTickEnd, isTickOver } from '../../internal/writer/tick.ts';
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
 *     idle ──write──▶ scheduled ──tick end──▶ encoding ──block──▶ idle
 *                         ▲                        │
 *                         └── more came meanwhile ─┘
 *     any ──end──▶ ending ──last block──▶ over
 *     any ──response closed, encoder failed──▶ over
 *
 * What is written at the end of a tick, as by a stream of ours, is all of that tick: it is encoded at once.
 */
export class BlockLayer extends CodingLayer<BlockLayerInput> {
  readonly #encoder: BlockEncoder;
  readonly #tuning: BlockLayerInput['tuning'];
  #state: 'idle' | 'scheduled' | 'encoding' | 'ending' | 'over' = 'idle';
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
    this.#encoder = input.encoder;
    this.#tuning = input.tuning;
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
    return this.textBytes + this.#encodingBytes;
  }

  override pass(segment: Uint8Array): boolean {
    if (this.#state !== 'idle' || this.isBlocked || this.textBytes > 0) return false;
    const { length } = segment;
    try {
      const block = this.#encodeText(segment, false);
      // Bound: a function that is made here takes memory at each call, whether it is made or not.
      if (isThenable(block)) {
        this.#state = 'encoding';
        this.inScope(this.#receive.bind(this, block, length, false));
      } else if (this.below.pass(block)) this.report(length, block.length);
      else this.inScope(this.#pass.bind(this, length, block, false));
    } catch (error) {
      this.fail(error);
    }
    return true;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (chunk !== undefined) this.take(chunk, encoding);
    this.#end = { callback };
    if (this.#state === 'idle' || this.#state === 'scheduled') this.#encode(true);
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
    this.written.add(this.#underway);
    for (const callbacks of [this.written, this.#flushing, this.#flushed]) callbacks?.close();
  }

  protected override tickEnded(): void {
    if (this.#state === 'scheduled') this.#encode(false);
  }

  protected override encodeSoon(): void {
    if (this.textBytes > 0) this.#schedule();
    // An empty write, with nothing before it to wait for.
    else if (this.bufferedBytes === 0 && this.#state === 'idle') this.written.settle();
  }

  #schedule(): void {
    if (this.#state !== 'idle' || this.isBlocked) return;
    // A segment is all of a tick, whenever it comes.
    if (isTickOver() || this.holdsSegment) {
      this.#encode(false);
      return;
    }
    this.#state = 'scheduled';
    atTickEnd(this);
  }

  #encode(last: boolean): void {
    this.#underway = this.written.take();
    const flushed = this.#flushed?.take();
    if (flushed) (this.#flushing ??= new Callbacks()).add(flushed);
    const text = this.takeText();
    const { length } = text;
    this.#state = last ? 'ending' : 'encoding';
    try {
      // A tick is in that scope already, and comes a thousand times as often as an end.
      const block = last ? this.inScope(this.#encodeText.bind(this, text, true)) : this.#encodeText(text, false);
      if (isThenable(block)) this.#receive(block, length, last);
      else this.#pass(length, block, last);
    } catch (error) {
      this.fail(error);
    }
  }

  #receive(block: Promise<Uint8Array>, length: number, last: boolean): void {
    this.#encodingBytes = length;
    this.receive(block, length, (bytes) => {
      this.#encodingBytes = 0;
      this.#pass(length, bytes, last);
    });
  }

  #encodeText(text: Uint8Array, last: boolean): ReturnType<BlockEncoder['encode']> {
    const encoder = this.#encoder;
    if (this.#tuning) encoder.retune?.(this.#tuning());
    return encoder.encode(text, last);
  }

  #pass(length: number, block: Uint8Array, last: boolean): void {
    this.report(length, block.length);
    if (last) this.#passLast(block);
    else this.#passBlock(block);
  }

  #passBlock(block: Uint8Array): void {
    const callback = this.#underway;
    this.#underway = undefined;
    this.#state = 'idle';
    if (block.length > 0) this.isBlocked = !this.below.write(block, undefined, callback);
    else callback?.();
    const flushed = this.#flushing?.take();
    if (flushed) this.below.flush(flushed);
    this.#goOn();
  }

  #passLast(block: Uint8Array): void {
    const callback = this.#underway;
    this.#underway = undefined;
    const flushed = this.#flushing?.take();
    // A write of its own only where one has a callback.
    if (callback) this.below.write(block, undefined, callback);
    this.below.end(callback ? undefined : block, undefined, this.#end?.callback);
    this.#finish();
    if (flushed) this.below.flush(flushed);
  }

  #goOn(): void {
    if (this.#state !== 'idle') return;
    if (this.#end) {
      this.#encode(true);
      return;
    }
    if (this.textBytes > 0) this.#schedule();
    else this.written.settle();
    this.recover();
  }

  #finish(): void {
    this.#state = 'over';
    this.inScope(() => this.#encoder.close());
    this.input.release();
  }
}
