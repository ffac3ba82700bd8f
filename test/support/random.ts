import { onTestFinished, vi } from 'vitest';

/** Takes the place of `Math.random` until the end of the test, or until the next call. */
export function useRandom(random: () => number): void {
  if (vi.isMockFunction(Math.random)) {
    vi.mocked(Math.random).mockImplementation(random);
    return;
  }
  const spy = vi.spyOn(Math, 'random').mockImplementation(random);
  onTestFinished(() => void spy.mockRestore());
}
