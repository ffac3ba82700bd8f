import { onTestFinished, vi } from 'vitest';
import { SharedText } from '../../src/internal/seam/segment.ts';

/** All shared texts that get something from now on, until the test is over. */
export class SharedTextWatch {
  readonly texts: Set<SharedText> = new Set();

  constructor() {
    const { texts } = this;
    const { append } = SharedText.prototype;
    const spy = vi.spyOn(SharedText.prototype, 'append').mockImplementation(function (this: SharedText, text) {
      texts.add(this);
      return append.call(this, text);
    });
    onTestFinished(() => spy.mockRestore());
  }

  /** How often something was compressed for readers of shared texts. */
  get compressions(): number {
    return [...this.texts].reduce((sum, text) => sum + text.compressions, 0);
  }
}
