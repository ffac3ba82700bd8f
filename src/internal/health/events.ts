import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../events.ts';
import type { ConnectionEnd, ConnectionOpen, ConnectionStateChange, RoundTrip } from './connection-info.ts';

/** Message on `sluice:heartbeat:error`: an error that no caller could be told of. */
export type HeartbeatErrorMessage = ErrorMessage;

interface HealthEvents {
  readonly open: ConnectionOpen;
  readonly 'round-trip': RoundTrip;
  readonly state: ConnectionStateChange;
  readonly end: ConnectionEnd;
}

export const healthEvents: Events<HealthEvents> = defineEvents<HealthEvents>('heartbeat', {
  open: ({ connection }) => ['%s opened', connection.id],
  'round-trip': ({ connection, roundTrip }) => ['%s answered after %d ms', connection.id, roundTrip],
  state: ({ connection, state, previous }) => ['%s %s after %s', connection.id, state, previous],
  end: ({ connection, reason }) => ['%s ended: %s', connection.id, reason],
});

export const heartbeatErrors: ErrorEvent = defineErrors('heartbeat');

/** Reports an error that has no caller. */
export function reportHeartbeatError(error: unknown): void {
  heartbeatErrors.report({ error, req: undefined });
}
