/** Bounds of what is held at a time; `Infinity`: no bound. */
export interface EncoderBounds {
  /** Encoders that are open. */
  readonly encoders: number;
  /** Bytes of memory that they hold, by their own estimates. */
  readonly bytes: number;
}

/** Counts open encoders and the memory they hold. Never refuses; callers check `hasRoom` first. */
export class EncoderBudget {
  readonly #bounds: EncoderBounds;
  #encoders = 0;
  #bytes = 0;

  constructor(bounds: EncoderBounds) {
    this.#bounds = bounds;
  }

  /** Encoders that are open. */
  get activeEncoders(): number {
    return this.#encoders;
  }

  /** Bytes of memory that they hold, by their own estimates. */
  get encoderBytes(): number {
    return this.#bytes;
  }

  /** Whether one more encoder, of that many bytes, stays within the bounds. */
  hasRoom(bytes = 0): boolean {
    return this.#encoders < this.#bounds.encoders && this.#bytes + bytes <= this.#bounds.bytes;
  }

  /** Counts one more encoder, of that many bytes. Returns the undo, which may be called more than once. */
  take(estimate: number): () => void {
    // A codec may be the application's: an estimate that is no amount must not spoil the sum.
    const bytes = Number.isFinite(estimate) && estimate > 0 ? estimate : 0;
    this.#encoders += 1;
    this.#bytes += bytes;
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.#encoders -= 1;
      this.#bytes -= bytes;
    };
  }
}
