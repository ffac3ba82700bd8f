import {
  type Chunk,
  type Head,
  type HeadOutcome,
  keep,
  Layer,
  type LayerKind,
  type Rank,
  type WriteCallback,
} from '../../src/internal/seam/layer.ts';
import type { Seam } from '../../src/internal/seam/response.ts';

/** Watches and changes nothing. */
export class Watcher extends Layer {
  override readonly rank: Rank;
  readonly name: string;
  readonly log: string[];

  constructor(rank: Rank, name: string, log: string[]) {
    super();
    this.rank = rank;
    this.name = name;
    this.log = log;
  }

  override head({ res }: Head): HeadOutcome {
    this.log.push(`${this.name} head ${res.statusCode}`);
    return keep;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    this.log.push(`${this.name} write ${chunk.length}`);
    return super.write(chunk, encoding, callback);
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    this.log.push(`${this.name} end`);
    super.end(chunk, encoding, callback);
  }

  override flush(callback: (() => void) | undefined): void {
    this.log.push(`${this.name} flush`);
    super.flush(callback);
  }

  override close(): void {
    this.log.push(`${this.name} close`);
  }
}

/** May transform, and passes everything on at once. */
export class Glass extends Layer {
  override readonly rank: Rank = 2;
  override readonly kind: LayerKind = 'encoder';

  override head(): HeadOutcome {
    return keep;
  }
}

/** Passes everything on at once, and says that it is full until it is told otherwise. */
export class Eager extends Layer {
  override readonly rank: Rank = 2;
  override readonly kind: LayerKind = 'buffer';
  isFull = true;

  override get needDrain(): boolean {
    return this.isFull;
  }

  override head(): HeadOutcome {
    return keep;
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    return super.write(chunk, encoding, callback) && !this.isFull;
  }
}

interface Held {
  readonly chunk: Chunk;
  readonly encoding: BufferEncoding | undefined;
  readonly callback: WriteCallback | undefined;
}

/** Transforms as an encoder does: takes up to `mark` bytes, works on them later, in capitals, and passes them on. */
export class Slow extends Layer {
  override readonly rank: Rank = 2;
  override readonly kind: LayerKind = 'buffer';
  readonly mark: number;
  closed = false;
  #seam: Seam;
  #held: Held[] = [];
  #length = 0;
  #full = false;
  #working = false;
  #blocked = false;
  #end: ((() => void) | undefined)[] | undefined;

  constructor(seam: Seam, mark: number) {
    super();
    this.#seam = seam;
    this.mark = mark;
  }

  override get bufferedBytes(): number {
    return this.#length;
  }

  override get needDrain(): boolean {
    return this.#full;
  }

  override head({ res }: Head): HeadOutcome {
    res.removeHeader('content-length');
    return { kind: 'become', layer: this };
  }

  override write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    this.#held.push({ chunk, encoding, callback });
    this.#length += chunk.length;
    this.#full ||= this.#length >= this.mark;
    this.#work();
    return !this.#full;
  }

  override end(
    chunk: Chunk | undefined,
    encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    if (chunk !== undefined) this.write(chunk, encoding, undefined);
    this.#end = [callback];
    this.#work();
  }

  override drained(): void {
    this.#blocked = false;
    this.#work();
  }

  override close(): void {
    this.closed = true;
    for (const { callback } of this.#held.splice(0)) callback?.(new Error('the response is closed'));
  }

  #work(): void {
    if (this.#working || this.#blocked || this.closed) return;
    this.#working = true;
    setTimeout(() => {
      this.#working = false;
      this.#step();
    }, 1);
  }

  #step(): void {
    const next = this.closed ? undefined : this.#held.shift();
    if (next) {
      this.#length -= next.chunk.length;
      this.#blocked = !this.below.write(Buffer.from(next.chunk.toString().toUpperCase()), undefined, next.callback);
      this.#work();
    } else if (this.#end && !this.closed) {
      const [callback] = this.#end;
      this.#end = undefined;
      this.below.end(undefined, undefined, callback);
    }
    if (this.#full && this.#length === 0 && !this.#blocked) {
      this.#full = false;
      this.#seam.state.layerDrained();
    }
  }
}
