import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import { warnUnheard } from '../internal/unheard.ts';
import type { LifecycleState } from './policy/phase.ts';
import type { DrainReport } from './policy/counters.ts';

const drains = channel('sluice:lifecycle:drain');
const states = channel('sluice:lifecycle:state');
const errors = channel('sluice:lifecycle:error');
const log = debug('sluice:lifecycle');

/** A step of a lifecycle; the message on `sluice:lifecycle:state`. */
export interface LifecycleChange {
  readonly state: LifecycleState;
  readonly previous: LifecycleState;
}

/** Message on `sluice:lifecycle:error`: an error that no caller could be told of. */
export interface LifecycleErrorMessage {
  readonly error: unknown;
}

/** Tells observers that a drain is over. */
export function reportDrain(report: DrainReport): void {
  log('drained: %o', report);
  if (drains.hasSubscribers) drains.publish(report);
}

/** Tells observers of a step. */
export function reportState(change: LifecycleChange): void {
  log('%s after %s', change.state, change.previous);
  if (states.hasSubscribers) states.publish(change);
}

/** Makes an error seen that has no caller to be thrown at. */
export function reportLifecycleError(error: unknown): void {
  log('%O', error);
  if (errors.hasSubscribers) errors.publish({ error } satisfies LifecycleErrorMessage);
  else
    warnUnheard(error, {
      cure: 'To handle such errors, subscribe to the diagnostics channel `sluice:lifecycle:error`.',
    });
}
