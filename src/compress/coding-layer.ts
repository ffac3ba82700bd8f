import { Layer, type Rank, rank } from '../internal/layer.ts';
import type { Seam } from '../internal/response.ts';
import { failResponse } from './failure.ts';

/** A layer that encodes what is written, for as long as the response and its encoder are well. */
export abstract class CodingLayer extends Layer {
  override readonly rank: Rank = rank.compress;
  override readonly transforms: boolean = true;
  override readonly holds: boolean = true;
  protected readonly seam: Seam;

  constructor(seam: Seam) {
    super();
    this.seam = seam;
  }

  /** Whether all is passed on, or given up. */
  protected abstract get isOver(): boolean;

  abstract override close(): void;

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
    failResponse(this.seam, error);
  }
}
