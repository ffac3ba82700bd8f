import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../events.ts';
import type { ConnectionEnd, ConnectionStateChange } from './connection-info.ts';

/** Message on `sluice:heartbeat:error`: an error that no caller could be told of. */
export type HeartbeatErrorMessage = ErrorMessage;

interface HealthEvents {
  readonly state: ConnectionStateChange;
  readonly end: ConnectionEnd;
}

export const healthEvents: Events<HealthEvents> = defineEvents<HealthEvents>('heartbeat', {
  state: ({ connection, state, previous }) => ['%s %s after %s', connection.id, state, previous],
  end: ({ connection, reason }) => ['%s ended: %s', connection.id, reason],
});

export const heartbeatErrors: ErrorEvent = defineErrors('heartbeat');

/** Reports a step of a connection's health. */
export function reportHealth(change: ConnectionStateChange): void {
  healthEvents.state.publish(change);
}

/** Reports the end of a connection. */
export function reportEnd(end: ConnectionEnd): void {
  healthEvents.end.publish(end);
}

/** Whether anything hears of ends. */
export function hasEndObservers(): boolean {
  return healthEvents.end.isHeard;
}

/** Reports an error that has no caller. */
export function reportHeartbeatError(error: unknown): void {
  heartbeatErrors.report({ error, req: undefined });
}
