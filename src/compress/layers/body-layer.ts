import { type Chunk, Layer, type LayerKind, type Rank, rank } from '../../internal/seam/layer.ts';
import type { Seam } from '../../internal/seam/response.ts';
import { failResponse } from './coding-layer.ts';
import { reportCompressError } from '../events.ts';

/** What a body layer is given. */
export interface BodyLayerInput {
  readonly seam: Seam;
  /** The body as it will be sent, from another thread. */
  readonly body: Promise<Uint8Array>;
  /** Bytes that wait meanwhile. */
  readonly size: number;
  /** Gives back what the encoder was counted with. */
  readonly release: () => void;
  /**
   * Completes the head, just before it goes out; without a body the encoder has failed. Returns the body to send after
   * it.
   */
  readonly completeHead: (body: Uint8Array | undefined) => Uint8Array;
}

/** Waits with head and end for a complete body that is encoded in another thread: its length goes into the head. */
export class BodyLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly kind: LayerKind = 'buffer';
  #input: BodyLayerInput;
  #waiting = true;
  #endCallback: (() => void) | undefined;

  constructor(input: BodyLayerInput) {
    super();
    this.#input = input;
    input.body.then(
      (body) => {
        this.#send(body);
      },
      (error: unknown) => {
        reportCompressError(error, input.seam.res.req);
        this.#send(undefined);
      },
    );
  }

  override get bufferedBytes(): number {
    return this.#waiting ? this.#input.size : 0;
  }

  override end(
    _chunk: Chunk | undefined,
    _encoding: BufferEncoding | undefined,
    callback: (() => void) | undefined,
  ): void {
    this.#endCallback = callback;
  }

  override close(): void {
    this.#waiting = false;
    // Here, and not when the other thread is done: it may never be.
    this.#input.release();
  }

  #send(body: Uint8Array | undefined): void {
    if (!this.#waiting) return;
    this.close();
    const { seam, completeHead } = this.#input;
    try {
      let sent: Uint8Array | undefined;
      seam.head.sendHeld(() => {
        sent = completeHead(body);
      });
      this.below.end(sent, undefined, this.#endCallback);
    } catch (error) {
      // A patch of `res` threw, and no caller could catch it.
      failResponse(seam, error);
    }
  }
}
