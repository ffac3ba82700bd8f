import { InvalidOptionError } from '../errors.ts';
import type { Hook, RoutedRequest } from '../internal/http/framework.ts';
import {
  type OptionAdvice,
  type OptionNames,
  readFunction,
  readOneOf,
  readOptions,
  refuseWhen,
} from '../internal/option.ts';
import { streamAdvice } from '../internal/writer/options.ts';
import type { Overflow } from '../internal/writer/policy/overflow.ts';
import { type RecordOptions, resolveRecordOptions, type ResolvedRecordOptions } from '../records/options.ts';
import type { AnyEvents } from '../sse/event-map.ts';
import { type ResolvedSseOptions, resolveSseOptions, type SseOptions } from '../sse/options.ts';
import type { AnyChannelEvent, AnyChannelInput, ChannelEvent } from './delivery/event.ts';
import { gapRecord } from './delivery/framing.ts';
import type { AnswerFraming } from './policy/answer.ts';

/** What `authorize` says of a client that may subscribe. */
export interface Authorization {
  /**
   * When the right ends: the stream is then told to reconnect, and the next request is asked again. Milliseconds since
   * the epoch, or a `Date`. One that has passed is refused. @defaultValue never
   */
  until?: number | Date | undefined;
  /** Who it is: shown by `subscribers()` and to listeners. @defaultValue `undefined` */
  identity?: unknown;
}

/** Where a client begins that comes for the first time, or that has to begin anew. */
export type ChannelStart = 'now' | 'earliest' | 'latest' | number;

/** What `filter` sees: an event with its id. */
export type FilterOf<M extends object> = Hook<[event: ChannelEvent<M>, req: RoutedRequest], boolean>;

/** Makes another event of an event. The id stays. */
export type MapOf<M extends object> = Hook<[event: ChannelEvent<M>, req: RoutedRequest], AnyChannelInput>;

/**
 * Options of `subscribe`: those of `sse`, and how clients begin and what they get. `drain` is always `'resumable'`. The
 * `key` of an event is the one that it was published with.
 */
export interface SubscribeOptions<M extends object = AnyEvents> extends Omit<SseOptions, 'key' | 'drain' | 'overflow'> {
  /**
   * Where a client begins that comes for the first time, or whose place is lost. `'now'`: with what is published next.
   * `'earliest'`: with the oldest event that is kept. A number: with so many of the newest. `'latest'`: with the newest
   * event of each key that is kept. @defaultValue `'now'`
   */
  from?: ChannelStart | undefined;
  /**
   * Whether the client gets an event. Runs in the async context of its request. What it throws closes this client with
   * the reason `error`. @defaultValue all events
   */
  filter?: FilterOf<M> | undefined;
  /**
   * Makes what the client gets of an event: `{ event, data }`, or the event itself where nothing is to change. The id
   * stays. Runs and fails as `filter` does. @defaultValue none
   */
  map?: MapOf<M> | undefined;
  /**
   * Finds the id of the last event that a client has seen. Asked only without a `Last-Event-ID` header. May return a
   * promise. @defaultValue the query parameter `lastEventId`, or `starting_after`
   */
  cursor?: Hook<[req: RoutedRequest], string | undefined | PromiseLike<string | undefined>> | undefined;
  /**
   * Decides who may subscribe, before anything is sent. `false`: 403. `true` or an object: may. May return a promise.
   * What it throws goes to `next`. @defaultValue everyone
   */
  authorize?: Hook<[req: RoutedRequest], Authorization | boolean | PromiseLike<Authorization | boolean>> | undefined;
  /**
   * The form. `'ndjson'`: a JSON object a line, with `id`, `event` if it has one, and `data`. @defaultValue `'sse'`
   */
  as?: 'sse' | 'ndjson' | undefined;
  /**
   * What happens to a client for which more than `maxBuffered` waits. `'close'`: it is closed with the reason
   * `slow-consumer`, and resumes when it is back. `'drop'`: it misses events, and `gap` says how many. `'latest'`: it
   * gets the newest event of each key. @defaultValue the channel's `overflow`
   */
  overflow?: Overflow | undefined;
}

/** What one kind of subscriber needs to know. */
export type ResolvedSubscribeOptions = {
  readonly from: ChannelStart;
  readonly filter: ((event: AnyChannelEvent, req: RoutedRequest) => unknown) | undefined;
  readonly map: ((event: AnyChannelEvent, req: RoutedRequest) => unknown) | undefined;
  readonly cursor: ((req: RoutedRequest) => unknown) | undefined;
  readonly authorize: ((req: RoutedRequest) => unknown) | undefined;
  readonly overflow: Overflow;
} & (
  | { readonly as: 'sse' | AnswerFraming; readonly stream: ResolvedSseOptions }
  | { readonly as: 'ndjson'; readonly stream: ResolvedRecordOptions<unknown> }
);

const names: OptionNames<SubscribeOptions> = {
  onError: true,
  maxBuffered: true,
  overflow: true,
  gap: true,
  headers: true,
  negotiate: true,
  closeTimeout: true,
  directChunks: true,
  retry: true,
  prelude: true,
  comments: true,
  reconnectDelay: true,
  from: true,
  filter: true,
  map: true,
  cursor: true,
  authorize: true,
  as: true,
};

const advice: OptionAdvice = {
  call: "app.get('/ticks', channel.subscribe())",
  instead: {
    ...streamAdvice,
    key: 'Give an event its key where it is published: `publish(event, { key })`.',
    drain: 'A client of a channel is always told to reconnect.',
    format: 'as',
    since: 'from',
    start: 'from',
    auth: 'authorize',
    lastEventId: 'cursor',
    history: 'The history belongs to the channel: `createChannel({ history })`.',
    replay: 'from',
    limit: 'from',
  },
};

/** Options that event streams alone have. */
const sseOnly = ['retry', 'prelude', 'comments', 'reconnectDelay'] as const;

/** Fills in defaults and checks. Throws `InvalidOptionError`. @param overflow - the default of the channel */
export function resolveSubscribeOptions<M extends object>(
  given: SubscribeOptions<M> | undefined,
  overflow: Overflow,
): ResolvedSubscribeOptions {
  const options = readOptions('subscribe', given as SubscribeOptions | undefined, names, advice);
  const { from, filter, map, cursor, authorize, as, ...rest } = options;
  const stream = { ...rest, overflow: rest.overflow ?? overflow };
  const shared = {
    from: readStart('subscribe.from', from ?? 'now'),
    filter: readFunction('subscribe.filter', filter),
    map: readFunction('subscribe.map', map),
    cursor: readFunction('subscribe.cursor', cursor),
    authorize: readFunction('subscribe.authorize', authorize),
    overflow: stream.overflow,
  };
  const form = readOneOf('subscribe.as', as ?? 'sse', ['sse', 'ndjson']);
  if (form === 'sse') {
    const resolved = resolveSseOptions({ ...stream, drain: 'resumable' }, 'subscribe');
    return { ...shared, as: form, stream: resolved };
  }
  for (const name of sseOnly)
    refuseWhen(options[name] !== undefined, `subscribe.${name}`, "has an effect with `as: 'sse'` only.");
  return { ...shared, as: form, stream: resolveRecordOptions<unknown>('subscribe', recordOptions(stream)) };
}

function recordOptions(stream: SubscribeOptions & { overflow: Overflow }): RecordOptions<unknown> {
  const options = { ...stream, drain: 'resumable' as const };
  // Records say in the form of the others that some are missing; and each comes with its key.
  if (stream.overflow === 'drop') return { gap: gapRecord, ...options };
  return stream.overflow === 'latest' ? { ...options, key: () => undefined } : options;
}

function readStart(option: string, value: unknown): ChannelStart {
  const isStart =
    value === 'now' ||
    value === 'earliest' ||
    value === 'latest' ||
    (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0);
  if (!isStart)
    throw new InvalidOptionError(option, '"now", "earliest", "latest" or a number of events, 0 or more', value);
  return value;
}
