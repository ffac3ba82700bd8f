import { type Chunk, Layer, type Rank, rank } from '../internal/layer.ts';
import { abortResponse } from '../internal/message.ts';
import type { Seam } from '../internal/response.ts';
import { reportCompressError } from './report.ts';

/** What a body layer is given. */
export interface BodyLayerInput {
  readonly seam: Seam;
  /** The body as it will be sent, from another thread. */
  readonly body: Promise<Uint8Array>;
  /** Bytes that wait meanwhile. */
  readonly size: number;
  /** Completes the head, just before it goes out. Returns the body to send after it. */
  readonly completeHead: (body: Uint8Array) => Uint8Array;
  /** Gives back what the encoder was counted with. */
  readonly release: () => void;
}

/** Waits with head and end for a complete body that is encoded in another thread: its length goes into the head. */
export class BodyLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly transforms: boolean = true;
  override readonly holds: boolean = true;
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
        this.#fail(error);
      },
    );
  }

  override get bufferedBytes(): number {
    return this.#waiting ? this.#input.size : 0;
  }

  override end(_chunk: Chunk | undefined, _encoding: BufferEncoding | undefined, callback: (() => void) | undefined): void {
    this.#endCallback = callback;
  }

  override close(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#input.release();
  }

  #send(body: Uint8Array): void {
    if (!this.#waiting) return;
    this.close();
    const { seam, completeHead } = this.#input;
    try {
      const sent = completeHead(body);
      seam.sendHead();
      this.below.end(sent, undefined, this.#endCallback);
    } catch (error) {
      // Somebody's patch of `res` threw, and there is nobody to catch it.
      reportCompressError(error);
      abortResponse(seam.res);
    }
  }

  #fail(error: unknown): void {
    if (!this.#waiting) return;
    this.close();
    reportCompressError(error);
    abortResponse(this.#input.seam.res);
  }
}
