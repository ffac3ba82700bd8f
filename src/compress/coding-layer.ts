import { captureScope } from '../internal/async-scope.ts';
import { Layer, type Rank, rank } from '../internal/layer.ts';
import type { Seam } from '../internal/response.ts';
import { failResponse } from './failure.ts';

/** A layer that encodes what is written, for as long as the response and its encoder are well. */
export abstract class CodingLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly transforms: boolean = true;
  override readonly holds: boolean = true;
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
