import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readBoolean,
  readDuration,
  readOneOf,
  readOptions,
  type Resolved,
} from '../internal/option.ts';
import {
  type KeyOf,
  resolveStreamOptions,
  streamAdvice,
  streamNames,
  type StreamOptions,
} from '../internal/writer/options.ts';
import type { Fields } from '../internal/http/headers.ts';
import type { AnyEvent } from './event-map.ts';
import { type CommentStyle, commentStyles, type EventInput } from '../internal/format/event-stream.ts';

/**
 * Options of `sse` and `openEventStream`. `Item` is what is sent on the stream: `Sendable<M>` for a stream with a map
 * `M`.
 *
 * With `overflow: 'latest'`, the default `key` is the name of the event, `message` for none. A `key` of your own gets a
 * bare string as `{ data }`. Comments, a lone id and a lone retry hint never have a key: no client dispatches them.
 * With `overflow: 'drop'`, the default `gap` is an event `sluice.gap` with data `{"dropped":N}` and no id.
 */
export interface SseOptions<Item extends EventInput | string = AnyEvent | string> extends StreamOptions<
  Exclude<Item, string>,
  EventInput | string
> {
  /**
   * A `retry:` sent with the head: how long the client waits before it reconnects. Milliseconds or a string for `ms`.
   * @defaultValue none; browsers then wait about 3 s
   */
  retry?: Duration | undefined;
  /**
   * Whether the body begins with the comment `:ok`: some HTTP/2 proxies hold the head back until the first byte of the
   * body. `false`: the body begins with the first event, or with the hint of `retry`.
   * @defaultValue `true`
   */
  prelude?: boolean | undefined;
  /**
   * How comments and lone retry hints are sent. `'line'`: as lines, without a blank line, which some clients take for a
   * message. `'block'`: with a blank line behind each, for readers that split the stream at blank lines.
   * @defaultValue `'line'`
   */
  comments?: CommentStyle | undefined;
  /**
   * The default retry hint of `reconnect()`, spread evenly between half and one and a half times this: the clients of a
   * closing process do not all reconnect at once. Milliseconds or a string for `ms`, at least 1.
   * @defaultValue `'2s'`
   */
  reconnectDelay?: Duration | undefined;
  /**
   * Whether the client can go on at another process where it stopped here. When the process drains, `lifecycle` tells
   * the client of a `'resumable'` stream to reconnect, and lets a `'finite'` one run to its end. `'auto'`: resumable
   * after the first event with an id, or if the request has a `Last-Event-ID`.
   * @defaultValue `'auto'`
   */
  drain?: 'auto' | 'resumable' | 'finite' | undefined;
}

export interface ResolvedSseOptions extends Omit<
  Resolved<SseOptions<never>, 'onError' | 'gap' | 'retry'>,
  'key' | 'headers'
> {
  readonly key: KeyOf<EventInput | string> | undefined;
  readonly headers: Fields;
}

const names: OptionNames<SseOptions> = {
  ...streamNames,
  retry: true,
  prelude: true,
  comments: true,
  reconnectDelay: true,
  drain: true,
};

const heartbeats = "Heartbeats come from a middleware: `app.use(heartbeat({ every: '15s' }))`.";

const advice: OptionAdvice = {
  instead: {
    ...streamAdvice,
    keepAlive: heartbeats,
    keepAliveInterval: heartbeats,
    pingInterval: heartbeats,
    heartbeat: heartbeats,
    every: heartbeats,
    trustClientEventId: '`stream.lastEventId` is the id that the client sent.',
    serializer: 'Send strings: they go as they are.',
    initialRetry: 'retry',
    reconnect: 'reconnectDelay',
  },
};

/**
 * Fills in defaults and checks. Throws `InvalidOptionError`.
 * @param owner - the factory's name, for error messages
 */
export function resolveSseOptions(given: SseOptions<never> | undefined, owner = 'sse'): ResolvedSseOptions {
  const options = readOptions(owner, given, names, advice) as StreamOptions<EventInput, EventInput | string> &
    SseOptions<never>;
  const resolved = resolveStreamOptions<EventInput, EventInput | string>(owner, options, dispatchedType);
  return {
    ...resolved,
    key: resolved.key && ifDispatched(resolved.key),
    retry: options.retry === undefined ? undefined : Math.round(readDuration(`${owner}.retry`, options.retry)),
    prelude: readBoolean(`${owner}.prelude`, options.prelude ?? true),
    comments: readOneOf(`${owner}.comments`, options.comments ?? 'line', commentStyles),
    reconnectDelay: readDuration(`${owner}.reconnectDelay`, options.reconnectDelay ?? '2s', { min: 1 }),
    drain: readOneOf(`${owner}.drain`, options.drain ?? 'auto', ['auto', 'resumable', 'finite']),
  };
}

/**
 * The type under which a client dispatches an event; `undefined` for what it does not dispatch: comments, a lone id or
 * retry hint.
 */
export function dispatchedType(event: EventInput | string): string | undefined {
  if (typeof event === 'string') return 'message';
  // WHATWG HTML 9.2.6: an event type buffer that has "a value other than the empty string" is the type.
  if (event.event) return event.event;
  return event.event === '' || 'data' in event ? 'message' : undefined;
}

/**
 * The application's key, for events that clients dispatch. It is not called for comments, ids and retry hints. It gets
 * a bare string as the event that this is.
 */
export function ifDispatched(key: KeyOf<EventInput>): KeyOf<EventInput | string> {
  return (event) => {
    if (typeof event === 'string') return key({ data: event });
    return dispatchedType(event) === undefined ? undefined : key(event);
  };
}
