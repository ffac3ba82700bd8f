import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../internal/events.ts';
import type { RoutedRequest } from '../internal/http/framework.ts';

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

/** A change that a user of the dashboard asked for; the message on `sluice:monitor:action`. */
export interface DashboardAction {
  /** The request, which `authorize` let pass. What it has put there, such as `req.user`, says who it was. */
  readonly req: RoutedRequest;
  /** What was asked for. */
  readonly action: 'switch' | 'profile' | 'evict' | 'canary' | 'drain';
  /** The id of the connection, or the name of the canary. `undefined`: all of the process. */
  readonly target: string | undefined;
  /** On or off, the name of the profile, or the weights. `undefined`: there is nothing to set. */
  readonly value: boolean | string | Readonly<Record<string, number>> | undefined;
  /** Whether it was done. */
  readonly ok: boolean;
  /** Why not, as the answer has it: `unknown-connection`. `undefined` if it was done. */
  readonly code: string | undefined;
  /** The address of the client, or of the last proxy before this process. `undefined`: the client has left. */
  readonly from: string | undefined;
}

interface MonitorEvents {
  readonly action: DashboardAction;
  readonly alert: AlertChange;
}

export const monitorEvents: Events<MonitorEvents> = defineEvents<MonitorEvents>('monitor', {
  action: ({ action, target = '', from, code = 'done' }) => ['%s %s, from %s: %s', action, target, from, code],
  alert: ({ name, state, value, above }) => ['%s is %s: %d, above %d', name, state, value, above],
});

/** Message on `sluice:monitor:error`: an error that no caller could be told of. */
export type MonitorErrorMessage = ErrorMessage;

export const monitorErrors: ErrorEvent = defineErrors('monitor');
