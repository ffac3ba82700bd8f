import type { Governor, Tier } from '../../src/compress/index.ts';

/** A governor that is where it is told to be. */
export class HandGovernor implements Governor {
  tier: Tier = 0;
  readonly load = 0;
  readonly on = (): (() => void) => () => undefined;
  readonly observe = (): void => undefined;
  readonly close = (): void => undefined;
}
