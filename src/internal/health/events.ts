import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import { warnUnheard } from '../unheard.ts';
import type { ConnectionEnd, ConnectionStateChange } from './connection-info.ts';

const states = channel('sluice:heartbeat:state');
const ends = channel('sluice:heartbeat:end');
const errors = channel('sluice:heartbeat:error');
const log = debug('sluice:heartbeat');

/** Message on `sluice:heartbeat:error`: an error that no caller could be told of. */
export interface HeartbeatErrorMessage {
  readonly error: unknown;
}

/** Tells observers of a step. */
export function reportHealth(change: ConnectionStateChange): void {
  log('%s %s after %s', change.connection.id, change.state, change.previous);
  if (states.hasSubscribers) states.publish(change);
}

/** Whether anybody hears of ends. */
export function hasEndObservers(): boolean {
  return ends.hasSubscribers || log.enabled;
}

/** Tells observers of an end. */
export function reportEnd(end: ConnectionEnd): void {
  log('%s ended: %s', end.connection.id, end.reason);
  if (ends.hasSubscribers) ends.publish(end);
}

/** Makes an error seen that has no caller to be thrown at. */
export function reportHeartbeatError(error: unknown): void {
  log('%O', error);
  if (errors.hasSubscribers) errors.publish({ error } satisfies HeartbeatErrorMessage);
  else
    warnUnheard(error, {
      cure: 'To handle such errors, subscribe to the diagnostics channel `sluice:heartbeat:error`.',
    });
}
