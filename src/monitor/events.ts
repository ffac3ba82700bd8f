import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../internal/events.ts';

/** An alert began to fire, or is over; the message on `sluice:monitor:alert`. */
export interface AlertChange {
  /** The number: `unresponsive_ratio` or `avg_heartbeat_rt`. */
  readonly name: string;
  /** `firing`: from now on. `resolved`: no more. */
  readonly state: 'firing' | 'resolved';
  /** The number now; `null`: there is none. */
  readonly value: number | null;
  /** The threshold. */
  readonly above: number;
}

interface MonitorEvents {
  readonly alert: AlertChange;
}

export const monitorEvents: Events<MonitorEvents> = defineEvents<MonitorEvents>('monitor', {
  alert: ({ name, state, value, above }) => ['%s is %s: %d, above %d', name, state, value, above],
});

/** Message on `sluice:monitor:error`: an error that no caller could be told of. */
export type MonitorErrorMessage = ErrorMessage;

export const monitorErrors: ErrorEvent = defineErrors('monitor');
