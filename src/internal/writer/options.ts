import { InvalidOptionError } from '../../errors.ts';
import { longestDelay } from '../time/clock.ts';
import { type Fields, type FieldsInit, readFields } from '../http/headers.ts';
import type { Hook, RoutedRequest } from '../http/framework.ts';
import {
  type Duration,
  type OptionNames,
  readBoolean,
  readDuration,
  readFunction,
  readOneOf,
  readSize,
  refuseWhen,
  type Resolved,
  type Size,
} from '../option.ts';
import type { Overflow } from './policy/overflow.ts';

/** What to do with a request whose `Accept` excludes the stream's media type. */
export type Negotiation = 'ignore' | 'next' | 'strict';

/** Tells which items may supersede each other: those of the same key. `undefined` for an item that may not. */
export type KeyOf<Item> = (item: Item) => string | undefined;

/** Makes the item that stands where others are missing; `undefined` for none. */
export type GapOf<AnyItem> = (dropped: number) => AnyItem | undefined;

/**
 * Options that event streams and record streams have in common. `Item` is what the application says that it sends,
 * `AnyItem` everything that can be framed.
 */
export interface StreamOptions<Item, AnyItem> {
  /**
   * Called with an error of the handler or its source that `next(error)` cannot take: the head is sent, the stream is
   * closed, or there is no `next` (the answer is then 500 without a body). Also called with the error of a `send` or
   * `pipe` whose promise is not handled. Client aborts are not errors.
   *
   * Without it, such errors are published on the diagnostics channel `sluice:stream:error` and the debug namespace
   * `sluice:stream`. If the channel has no subscriber, they are process warnings `SLUICE_UNHANDLED`.
   * @defaultValue none
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Express types the error of an error handler
  onError?: Hook<[error: any, req: RoutedRequest]> | undefined;
  /**
   * Bytes that may wait for a client that does not read, counted over the stream's own queue, encoders and Node's
   * queue. `overflow` decides what happens to an item when more than that waits before it. So one item may be larger,
   * and a sender that awaits each `send` never gets there. `Infinity`: no bound.
   * @defaultValue `'1mb'`
   */
  maxBuffered?: Size | undefined;
  /**
   * What happens to a client for which more than `maxBuffered` waits. `'close'`: the stream is closed with reason
   * `slow-consumer`. `'drop'`: the item is dropped, and `gap` says so. `'latest'`: while the client lags only the
   * newest item of each `key` waits; the stream is closed when those alone are more than `maxBuffered`.
   * @defaultValue `'close'`
   */
  overflow?: Overflow | undefined;
  /**
   * With `'latest'`: of the items with the same key only the newest waits. An item whose key is `undefined` is not
   * superseded. Called only while the client lags. If it throws, the error is reported and the item is not superseded.
   * @defaultValue for event streams the name of the event; record streams need one
   */
  key?: KeyOf<Item> | undefined;
  /**
   * With `'drop'`: makes the item that is sent where others are missing, from their number; `undefined` for none. If it
   * throws, or returns what cannot be framed, the error is reported and the default is sent.
   * @defaultValue an event, or a record, `sluice.gap` with the number
   */
  gap?: GapOf<AnyItem> | undefined;
  /**
   * Response headers to set, over the stream's own. A `Cache-Control` given here, or set on `res` before, is used as it
   * is: without `no-transform` a compressing middleware or proxy may then compress.
   * @defaultValue none
   */
  headers?: FieldsInit | undefined;
  /**
   * What to do with a request whose `Accept` excludes the media type. `'ignore'` streams all the same: many clients
   * that want a stream ask for something else, such as SDKs for language models that always send `application/json`.
   * `'next'` passes it to the next handler of the route, `'strict'` answers 406.
   * @defaultValue `'ignore'`
   */
  negotiate?: Negotiation | undefined;
  /**
   * How long a close without an end (an error, `reconnect`) may take to send what is queued. Milliseconds or a string
   * for `ms`; after it the connection is cut.
   * @defaultValue `'5s'`
   */
  closeTimeout?: Duration | undefined;
  /**
   * Frame chunks here and write them to the socket in one piece, where that is provably the same as `res.write`
   * (HTTP/1.1, `res.write` not patched below). About half the CPU per event. `false` always goes through Node.
   * @defaultValue `true`
   */
  directChunks?: boolean | undefined;
}

/** `key` is there with `overflow: 'latest'`, and only then. */
export type ResolvedItemOptions<Item, AnyItem> = Resolved<StreamOptions<Item, AnyItem>, 'onError' | 'key' | 'gap'> & {
  readonly headers: Fields;
};

/** Without the options that depend on the items. */
export type ResolvedStreamOptions = Omit<ResolvedItemOptions<never, never>, 'key' | 'gap'>;

/** The options that all streams have. */
export const streamNames: OptionNames<StreamOptions<unknown, unknown>> = {
  onError: true,
  maxBuffered: true,
  overflow: true,
  key: true,
  gap: true,
  headers: true,
  negotiate: true,
  closeTimeout: true,
  directChunks: true,
};

/** What other names are called here. */
export const streamAdvice: Readonly<Record<string, string>> = {
  status: 'A stream is always answered with 200.',
  statusCode: 'A stream is always answered with 200.',
  highWaterMark: 'maxBuffered',
  maxQueue: 'maxBuffered',
  bufferSize: 'maxBuffered',
  limit: 'maxBuffered',
  backpressure: 'overflow',
  timeout: 'Limit the time of a stream by a middleware: `app.use(deadline({ max }))`.',
  maxAge: 'Limit the age of streams by a middleware: `app.use(heartbeat({ maxAge }))`.',
  onClose: 'Call `stream.onClose(listener)` in the handler.',
  signal: 'Use `stream.signal` in the handler, and `stream.destroy()` to close.',
};

/**
 * Fills in defaults and checks values, but not names. Throws `InvalidOptionError`.
 * @param owner - the factory's name, for error messages
 */
export function resolveStreamOptions<Item, AnyItem>(
  owner: string,
  options: StreamOptions<Item, AnyItem>,
  defaultKey?: KeyOf<Item>,
): ResolvedItemOptions<Item, AnyItem> {
  const overflow = readOneOf(`${owner}.overflow`, options.overflow ?? 'close', ['close', 'drop', 'latest']);
  const maxBuffered = readSize(`${owner}.maxBuffered`, options.maxBuffered ?? '1mb', { max: Infinity });
  refuseWhen(
    maxBuffered === Infinity && overflow === 'drop',
    `${owner}.overflow`,
    `has no effect with an infinite \`maxBuffered\`: nothing overflows.`,
  );
  return {
    onError: readFunction(`${owner}.onError`, options.onError),
    maxBuffered,
    overflow,
    key: readKey(`${owner}.key`, options.key, overflow, defaultKey),
    gap: refuseWithout(`${owner}.gap`, readFunction(`${owner}.gap`, options.gap), overflow, 'drop'),
    headers: readFields(`${owner}.headers`, options.headers),
    negotiate: readOneOf(`${owner}.negotiate`, options.negotiate ?? 'ignore', ['ignore', 'next', 'strict']),
    closeTimeout: readDuration(`${owner}.closeTimeout`, options.closeTimeout ?? '5s', { max: longestDelay }),
    directChunks: readBoolean(`${owner}.directChunks`, options.directChunks ?? true),
  };
}

function refuseWithout<T>(option: string, value: T, overflow: Overflow, needed: Overflow): T {
  const isUnused = value !== undefined && overflow !== needed;
  refuseWhen(isUnused, option, `has an effect with \`overflow: '${needed}'\` only.`);
  return value;
}

function readKey<Item>(
  option: string,
  value: KeyOf<Item> | undefined,
  overflow: Overflow,
  defaultKey: KeyOf<Item> | undefined,
): KeyOf<Item> | undefined {
  const key = refuseWithout(option, readFunction(option, value), overflow, 'latest') ?? defaultKey;
  if (overflow !== 'latest') return undefined;
  if (!key) throw new InvalidOptionError(option, 'a function, for overflow "latest"', value);
  return (item) => {
    const found: unknown = key(item);
    // Not coerced to a string: then all objects would have one key, and all but the last would be lost.
    if (found !== undefined && typeof found !== 'string')
      throw new InvalidOptionError(option, 'a function that returns a string or undefined', found);
    return found;
  };
}
