import { type HttpResponse, isHttp2 } from '../http/message.ts';
import { Writable } from 'node:stream';
import { isUint8Array } from 'node:util/types';

/** The place of a layer between handler and socket. Fixed: no order of `app.use` can corrupt a response. */
export const rank = { writer: 0, heartbeat: 1, compress: 2, counting: 3, bottom: 4 } as const;

export type Rank = (typeof rank)[keyof typeof rank];

export type Chunk = string | Uint8Array;

/** Bytes of a chunk on the wire. */
export function byteLengthOf(chunk: Chunk | undefined, encoding: BufferEncoding | undefined): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : (chunk?.byteLength ?? 0);
}

export type WriteCallback = (error?: Error | null) => void;

/** What a layer sees just before the head is fixed. Header fields are read and changed on `res`. */
export interface Head {
  readonly res: HttpResponse;
  /** The whole body, when the handler gave it in one `end(chunk)` before any head; else `undefined`. */
  readonly complete: { readonly chunk: Chunk | undefined; readonly encoding: BufferEncoding | undefined } | undefined;
}

/**
 * What a layer makes of a head. The seam moves the layers, and moves them back when the head is refused further down:
 * an error page may follow.
 *
 * - `keep`: the layer stays. A complete body gets the `Content-Length` that Node would give it, unless one is set.
 * - `leave`: the layer leaves the response.
 * - `become`: another layer takes its place. Unless that only observes, it frames the body.
 * - `hold`: the same, and the other layer sends the head later, by `ResponseHead.sendHeld`. For a complete body only.
 */
export type HeadOutcome = (
  { readonly kind: 'keep' } | { readonly kind: 'leave' } | { readonly kind: 'become' | 'hold'; readonly layer: Layer }
) & {
  /** Gives back what the layer took for this head: header fields, a place in a budget. Called when it is refused. */
  readonly undo?: (() => void) | undefined;
};

/** The layer stays, and has nothing to give back. */
export const keep: HeadOutcome = Object.freeze({ kind: 'keep' });

/**
 * What a layer may do to the body:
 *
 * | kind | body bytes | the head | `res.flush` |
 * |---|---|---|---|
 * | `observer` | pass unchanged | | |
 * | `injector` | may change | is settled before the first of them | |
 * | `encoder` | may change | is settled before the first of them | is there |
 * | `buffer` | may also stay in the layer for a while | is settled before the first of them | is there |
 *
 * With a `buffer` among the layers when the head is settled, the seam answers `writableLength`, `writableNeedDrain`,
 * `writableEnded` and `'drain'` for all of them.
 */
export type LayerKind = 'observer' | 'injector' | 'encoder' | 'buffer';

/**
 * One floor of a response. By default each verb passes to the floor below, so that stacking loses no capability.
 *
 *     handler        write  end  flush
 *                      │     │     │        ▲ drained
 *     writer           ▼     ▼     ▼        │
 *     heartbeat        ▼     ▼     ▼        │
 *     compress         ▼     ▼     ▼        │
 *     counting         ▼     ▼     ▼        │
 *     bottom           Node, or a patch that came before ours
 */
export abstract class Layer {
  abstract readonly rank: Rank;

  readonly kind: LayerKind = 'observer';

  /** The next floor down; set by the seam. */
  below!: Layer;

  /** Bytes accepted and not yet passed down. */
  get bufferedBytes(): number {
    return 0;
  }

  /** Whether the layer returned `false` from `write` and has not recovered since. */
  get needDrain(): boolean {
    return false;
  }

  /** Whether the layer asks for the close itself, by `watchClose` of the seam: it may be over long before. */
  get asksForClose(): boolean {
    return false;
  }

  /** How its client leaves in a drain, if the layer has an answer. */
  get departure(): Departure | undefined {
    return undefined;
  }

  /** Called once, top down, before the head goes out; again only if that attempt threw. */
  head?(head: Head): HeadOutcome;

  /** @returns whether the writer may go on, as `stream.Writable.write`. */
  write(chunk: Chunk, encoding: BufferEncoding | undefined, callback: WriteCallback | undefined): boolean {
    return this.below.write(chunk, encoding, callback);
  }

  /**
   * Takes a segment of a shared text, which is all of a tick, without any more steps: the same as a write and a flush
   * that find nothing in the way. `false`: it has to be written. Code of the application does not run in it.
   */
  pass(segment: Uint8Array): boolean {
    return this.write === Layer.prototype.write && this.below.pass(segment);
  }

  end(chunk: Chunk | undefined, encoding: BufferEncoding | undefined, callback: (() => void) | undefined): void {
    this.below.end(chunk, encoding, callback);
  }

  /** @param callback - called once everything written before was passed to the bottom. */
  flush(callback: (() => void) | undefined): void {
    this.below.flush(callback);
  }

  /** The floors below have room again; called bottom up. */
  drained?(): void;

  /** The response is closed, finished or not. The layer frees what it owns. */
  close?(): void;
}

/**
 * Why a client is not told to come back:
 *
 * - `finite`: the kind of stream, or an option, says so.
 * - `method`: only the answer to a GET can be asked for again.
 * - `no-id`: no event had an id.
 * - `half-event`: the event that was under way did not end.
 */
export type FiniteReason = 'finite' | 'method' | 'no-id' | 'half-event';

/** How one kind of stream leaves a process that drains. */
export interface Departure {
  /** Why its client cannot resume elsewhere; `undefined`: it can. A stream that cannot be resumed runs to its end. */
  finiteBecause(): FiniteReason | undefined;
  /** Tells the client to come back, and closes. Does not reject. */
  leave(): Promise<void>;
}

// Streams of newer Nodes take any view of bytes, and so do responses over HTTP/2. Those of HTTP/1 take strings and
// `Uint8Array` only.
const streamsTakeViews = takesViews();

function takesViews(): boolean {
  try {
    new Writable({ write: (_chunk, _encoding, callback) => callback() }).write(new DataView(new ArrayBuffer(1)));
    return true;
  } catch {
    return false;
  }
}

/** The bytes of a view that Node takes as a chunk of this response; anything else as it is. */
export function bytesOfView<T extends Chunk | undefined>(res: HttpResponse, chunk: T): T | Uint8Array {
  if (typeof chunk === 'string' || !ArrayBuffer.isView(chunk)) return chunk;
  const view: ArrayBufferView = chunk;
  if (isUint8Array(view) || !streamsTakeViews || !isHttp2(res)) return chunk;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
