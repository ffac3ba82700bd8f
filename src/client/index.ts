import { type EventConnection, openConnection } from './connection.ts';
import { environment } from './environment.ts';
import { type ClientOptions, resolveClientOptions, resolveUrl } from './options.ts';

export { ClientError, type ClientErrorCode } from './client-error.ts';
export type { ClientState, ClientStateChange, EventConnection } from './connection.ts';
export type { ClientEvent, ClientEventOf } from './event-map.ts';
export type { ClientOptions, ClientRetryOptions } from './options.ts';
export type { ReconnectMode } from './policy/next.ts';

/**
 * Opens an event stream, and keeps it: `for await (const event of connect('/ticks')) …`. Runs in browsers and in Node.
 *
 * A connection that is lost, or silent for 2.5 heartbeats, is opened again, with the id of the last event. Nothing is
 * read while the loop is behind. `break` closes the connection. `M` maps names of events to the types of their data.
 *
 * Throws `ClientError` for a wrong option. The loop throws it for what another try cannot mend.
 */
export function connect<M extends object = Record<string, unknown>>(
  url: string | URL,
  options?: ClientOptions,
): EventConnection<M> {
  return openConnection<M>(resolveUrl(url), resolveClientOptions(options), environment);
}
