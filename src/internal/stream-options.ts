import { longestDelay } from './clock.ts';
import { type Fields, readFields } from './fields.ts';
import type { HttpRequest } from './message.ts';
import { type Duration, readBag, readBoolean, readDuration, readFunction, readOneOf, readSize, type Size } from './option.ts';

/** What to do with a request whose `Accept` excludes the stream's media type. */
export type Negotiation = 'respond' | 'next' | 'ignore';

/** Options that event streams and record streams have in common. */
export interface StreamOptions {
  /**
   * Called with an error of the handler or its source that `next(error)` cannot take: the head is sent, the stream is
   * closed, or there is no `next` (the answer is then 500 without a body). Client aborts are not errors. Without it, such
   * errors are only published on the diagnostics channel `sluice:stream:error` and the debug namespace `sluice:stream`.
   */
  onError?: (error: unknown, req: HttpRequest) => void;
  /**
   * Bytes that may wait for a client that does not read, counted over the stream's own queue and Node's. A send that
   * finds more than that waiting closes the stream with reason `slow-consumer`. One event may be larger: only what
   * waits before it counts. A sender that awaits `send` never gets there. `Infinity`: no bound.
   * @defaultValue `'1mb'`
   */
  maxBuffered?: Size;
  /**
   * Response fields to set, over the stream's own. A `Cache-Control` given here, or set on `res` before, is used as it
   * is: without `no-transform` a compressing middleware or proxy may then compress.
   */
  headers?: Fields;
  /**
   * A request whose `Accept` excludes the media type: `'respond'` answers 406, `'next'` leaves it to the next handler of
   * the route, `'ignore'` streams all the same.
   * @defaultValue `'respond'`
   */
  negotiate?: Negotiation;
  /**
   * How long a close without an end (an error, `reconnect`) may take to hand over what is queued. Milliseconds or a
   * string for `ms`; after it the connection is cut.
   * @defaultValue `'5s'`
   */
  closeTimeout?: Duration;
  /**
   * Frame chunks here and write them to the socket in one piece, where that is provably the same as `res.write` (HTTP/1.1,
   * `res.write` not patched below). About half the CPU per event. `false` always goes through Node.
   * @defaultValue `true`
   */
  directChunks?: boolean;
}

/** `StreamOptions` with every default filled in. */
export interface ResolvedStreamOptions {
  readonly onError: ((error: unknown, req: HttpRequest) => void) | undefined;
  readonly maxBuffered: number;
  readonly headers: Fields;
  readonly negotiate: Negotiation;
  readonly closeTimeout: number;
  readonly directChunks: boolean;
}

/** Fills in defaults and checks. @param owner - the factory's name, for error messages. Throws `InvalidOptionError`. */
export function resolveStreamOptions(owner: string, given: StreamOptions | undefined): ResolvedStreamOptions {
  const options = readBag(owner, given);
  return {
    onError: readFunction(`${owner}.onError`, options.onError),
    maxBuffered: readSize(`${owner}.maxBuffered`, options.maxBuffered ?? '1mb', { max: Infinity }),
    headers: readFields(`${owner}.headers`, options.headers),
    negotiate: readOneOf(`${owner}.negotiate`, options.negotiate ?? 'respond', ['respond', 'next', 'ignore']),
    closeTimeout: readDuration(`${owner}.closeTimeout`, options.closeTimeout ?? '5s', { max: longestDelay }),
    directChunks: readBoolean(`${owner}.directChunks`, options.directChunks ?? true),
  };
}
