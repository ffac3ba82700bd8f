import { InvalidOptionError } from '../../errors.ts';
import { longestDelay } from '../time/clock.ts';
import { type Fields, readFields } from '../http/headers.ts';
import type { HttpRequest } from '../http/message.ts';
import {
  type Duration,
  readBag,
  readBoolean,
  readDuration,
  readFunction,
  readOneOf,
  readSize,
  type Size,
} from '../option.ts';
import type { Overflow } from './policy/overflow.ts';

/** What to do with a request whose `Accept` excludes the stream's media type. */
export type Negotiation = 'ignore' | 'next' | 'strict';

/** Tells which items may take each other's place; `undefined` for one that may not. */
export type KeyOf<Item> = (item: Item) => string | undefined;

/** Makes the item that stands where others are missing; `undefined` for none. */
export type GapOf<AnyItem> = (dropped: number) => AnyItem | undefined;

/**
 * Options that event streams and record streams have in common. `AnyItem`: whatever can be framed, also where `Item`
 * says what is sent.
 */
export interface StreamOptions<Item, AnyItem> {
  /**
   * Called with an error of the handler or its source that `next(error)` cannot take: the head is sent, the stream is
   * closed, or there is no `next` (the answer is then 500 without a body). Also with the error of a `send` or `pipe`
   * that nothing waits for. Client aborts are not errors. Without it, such errors are published on the diagnostics
   * channel `sluice:stream:error` and the debug namespace `sluice:stream`; without a subscriber of the channel, they
   * are process warnings `SLUICE_UNHANDLED`.
   */
  onError?: (error: unknown, req: HttpRequest) => void;
  /**
   * Bytes that may wait for a client that does not read, counted over the stream's own queue, encoders and Node's
   * queue. What a send does that finds more than that waiting, `overflow` says. One item may be larger: only what waits
   * before it counts. One sender that awaits each `send` never gets there. `Infinity`: no bound.
   * @defaultValue `'1mb'`
   */
  maxBuffered?: Size;
  /**
   * What happens to a client for which more than `maxBuffered` waits. `'close'`: the stream is closed with reason
   * `slow-consumer`. `'drop'`: the item is dropped, and `gap` says so. `'latest'`: while the client lags only the
   * newest item of each `key` waits; the stream is closed when those alone are more than `maxBuffered`.
   * @defaultValue `'close'`
   */
  overflow?: Overflow;
  /**
   * With `'latest'`: items with the same key may take each other's place. `undefined`: this item may not. Only asked
   * while the client lags. If it throws, the error is reported and the item keeps its place.
   */
  key?: KeyOf<Item>;
  /**
   * With `'drop'`: makes the item that is sent where others are missing, from the number of them; `undefined` for none.
   * If it throws, or makes what cannot be framed, the error is reported and the default is sent.
   */
  gap?: GapOf<AnyItem>;
  /**
   * Response fields to set, over the stream's own. A `Cache-Control` given here, or set on `res` before, is used as it
   * is: without `no-transform` a compressing middleware or proxy may then compress.
   */
  headers?: Fields;
  /**
   * A request whose `Accept` excludes the media type: `'ignore'` streams all the same, since many clients that want a
   * stream say something else, such as SDKs for language models that always send `application/json`. `'next'` leaves it
   * to the next handler of the route, `'strict'` answers 406.
   * @defaultValue `'ignore'`
   */
  negotiate?: Negotiation;
  /**
   * How long a close without an end (an error, `reconnect`) may take to hand over what is queued. Milliseconds or a
   * string for `ms`; after it the connection is cut.
   * @defaultValue `'5s'`
   */
  closeTimeout?: Duration;
  /**
   * Frame chunks here and write them to the socket in one piece, where that is provably the same as `res.write`
   * (HTTP/1.1, `res.write` not patched below). About half the CPU per event. `false` always goes through Node.
   * @defaultValue `true`
   */
  directChunks?: boolean;
}

/** `StreamOptions` with every default filled in. */
export interface ResolvedStreamOptions {
  readonly onError: ((error: unknown, req: HttpRequest) => void) | undefined;
  readonly maxBuffered: number;
  readonly overflow: Overflow;
  readonly headers: Fields;
  readonly negotiate: Negotiation;
  readonly closeTimeout: number;
  readonly directChunks: boolean;
}

/** `StreamOptions` with every default filled in. */
export interface ResolvedItemOptions<Item, AnyItem> extends ResolvedStreamOptions {
  /** There with `'latest'`. */
  readonly key: KeyOf<Item> | undefined;
  readonly gap: GapOf<AnyItem> | undefined;
}

/**
 * Fills in defaults and checks. Throws `InvalidOptionError`.
 * @param owner - the factory's name, for error messages
 */
export function resolveStreamOptions<Item, AnyItem>(
  owner: string,
  given: StreamOptions<Item, AnyItem> | undefined,
  defaultKey?: KeyOf<Item>,
): ResolvedItemOptions<Item, AnyItem> {
  const options = readBag(owner, given);
  const overflow = readOneOf(`${owner}.overflow`, options.overflow ?? 'close', ['close', 'drop', 'latest']);
  return {
    onError: readFunction(`${owner}.onError`, options.onError),
    maxBuffered: readSize(`${owner}.maxBuffered`, options.maxBuffered ?? '1mb', { max: Infinity }),
    overflow,
    key: readKey(`${owner}.key`, options.key ?? defaultKey, overflow),
    gap: readFunction(`${owner}.gap`, options.gap),
    headers: readFields(`${owner}.headers`, options.headers),
    negotiate: readOneOf(`${owner}.negotiate`, options.negotiate ?? 'ignore', ['ignore', 'next', 'strict']),
    closeTimeout: readDuration(`${owner}.closeTimeout`, options.closeTimeout ?? '5s', { max: longestDelay }),
    directChunks: readBoolean(`${owner}.directChunks`, options.directChunks ?? true),
  };
}

function readKey<Item>(option: string, value: KeyOf<Item> | undefined, overflow: Overflow): KeyOf<Item> | undefined {
  const key = readFunction(option, value);
  if (overflow !== 'latest') return undefined;
  if (!key) throw new InvalidOptionError(option, 'a function, for overflow "latest"', value);
  return (item) => {
    const found: unknown = key(item);
    // Nothing is coerced: as text, all objects would be one key, and all but the last one lost.
    if (found !== undefined && typeof found !== 'string')
      throw new InvalidOptionError(option, 'a function that returns a string or undefined', found);
    return found;
  };
}
