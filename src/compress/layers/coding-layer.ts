import { captureScope } from '../../internal/context/async-scope.ts';
import { Layer, type LayerKind, type Rank, rank } from '../../internal/seam/layer.ts';
import type { Seam } from '../../internal/seam/response.ts';
import { reportCompressError } from '../events.ts';

/** A layer that encodes what is written, for as long as the response and its encoder are well. */
export abstract class CodingLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly kind: LayerKind = 'buffer';
  protected readonly seam: Seam;
  /** The async context of the code that sent the head. */
  readonly #scope = captureScope();

  constructor(seam: Seam) {
    super();
    this.seam = seam;
  }

  /** Whether all is passed on, or given up. */
  protected abstract get isOver(): boolean;

  abstract override close(): void;

  /**
   * Calls the encoder, whose code may be the application's, in the async context of the response: the caller may be at
   * work for another request, as one that broadcasts.
   */
  protected inScope<T>(call: () => T): T {
    return this.#scope.runInAsyncScope(call);
  }

  /** The same, where nobody could catch what the encoder throws. */
  protected step(call: () => unknown): void {
    this.attempt(() => this.inScope(call));
  }

  /** Below, somebody's patch of `res` may throw, and here nobody could catch it. */
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
    this.inScope(() => failResponse(this.seam, error));
  }
}

/** Ends a response whose encoder failed: it is cut, since a body that cannot go on must not look complete. */
export function failResponse(seam: Seam, error: unknown): void {
  reportCompressError(error, seam.res.req);
  seam.abort(error);
}
