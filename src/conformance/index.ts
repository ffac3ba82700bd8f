import type { Backplane } from '../channel/log/backplane.ts';
import { liveChecks } from './live-checks.ts';
import { logChecks } from './log-checks.ts';
import { onStage } from './stage.ts';

export type { Backplane } from '../channel/log/backplane.ts';

/** One thing that a backplane must do. */
export interface BackplaneCheck {
  /** A sentence, without its subject: `keeps the order of entries that are appended at once`. */
  readonly name: string;
  /** Checks it. Rejects with an `AssertionError`, or with what the backplane failed with. */
  run(): Promise<void>;
}

/** Options of `backplaneChecks`. */
export interface BackplaneChecksOptions {
  /** How long a check waits for an entry to be told, in ms. @defaultValue `10_000` */
  patience?: number | undefined;
}

/**
 * The checks that every backplane passes, for a test runner of any kind:
 * `for (const { name, run } of backplaneChecks(make)) test(name, run)`.
 *
 * @param make - makes the backplane of one process. Some checks call it twice, with the same `space`: these two share
 *   their logs, and share none with another `space`. Each is closed when the check is over.
 */
export function backplaneChecks(
  make: (space: string) => Backplane | PromiseLike<Backplane>,
  { patience = 10_000 }: BackplaneChecksOptions = {},
): readonly BackplaneCheck[] {
  return Object.entries({ ...logChecks, ...liveChecks }).map(([name, check]) => ({
    name,
    run: () => onStage(make, patience, check),
  }));
}
