import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../internal/events.ts';
import type { DrainReport } from './policy/counters.ts';
import type { LifecycleState } from './policy/phase.ts';

/** A change of state; the message on `sluice:lifecycle:state`. */
export interface LifecycleChange {
  /** The state from now on. */
  readonly state: LifecycleState;
  /** The state before. */
  readonly previous: LifecycleState;
}

/** Message on `sluice:lifecycle:error`: an error that no caller could be told of. */
export type LifecycleErrorMessage = ErrorMessage;

interface LifecycleEvents {
  readonly state: LifecycleChange;
  readonly drain: DrainReport;
}

export const lifecycleEvents: Events<LifecycleEvents> = defineEvents<LifecycleEvents>('lifecycle', {
  state: ({ state, previous }) => ['%s after %s', state, previous],
  drain: (report) => ['drained: %o', report],
});

export const lifecycleErrors: ErrorEvent = defineErrors('lifecycle');

/** Reports an error that has no caller. */
export function reportLifecycleError(error: unknown): void {
  lifecycleErrors.report({ error, req: undefined });
}
