import { type Duration, readBag, readBoolean, readDuration, readOneOf, type Resolved } from '../internal/option.ts';
import { resolveStreamOptions, type StreamOptions } from '../internal/writer/options.ts';
import { type CommentStyle, commentStyles, type EventInput } from '../internal/format/event-stream.ts';

/**
 * Options of `sse` and `openEventStream`. `Item`: what is sent on the stream, `Sendable<M>` where it has a map `M`.
 *
 * Without `key`, `overflow: 'latest'` goes by the name of the event, `message` for none; what no client dispatches
 * (comments, a lone id or retry hint) never has a key. Without `gap`, `overflow: 'drop'` sends an event `sluice.gap`
 * with data `{"dropped":N}` and no id.
 */
export interface SseOptions<Item extends EventInput | string = EventInput | string> extends StreamOptions<
  Item,
  EventInput | string
> {
  /**
   * A `retry:` sent with the head: how long the client waits before it reconnects. Milliseconds or a string for `ms`.
   * Unset: the client's own, about 3 s in browsers.
   */
  retry?: Duration;
  /**
   * Whether the body begins with the comment `:ok`. Some HTTP/2 hops hold the head back until the first byte of the
   * body. `false`: the body begins with the first event, or with the retry hint of `retry`.
   * @defaultValue `true`
   */
  prelude?: boolean;
  /**
   * How comments and lone retry hints are sent. `'line'`: as lines, so that no blank line comes without an event: some
   * clients take each for a message. `'block'`: with a blank line behind each, for readers that split the stream at
   * blank lines.
   * @defaultValue `'line'`
   */
  comments?: CommentStyle;
  /**
   * The retry hint of `reconnect()` when it is given none, spread evenly between half and one and a half times this, so
   * that the clients of a closing process do not all come at once. Milliseconds or a string for `ms`, at least 1.
   * @defaultValue `'2s'`
   */
  reconnectDelay?: Duration;
  /**
   * Whether the client can go on at another process where it stopped here. What `lifecycle` then does when the process
   * drains: a `'resumable'` stream is told to reconnect, a `'finite'` one runs to its end. `'auto'`: resumable from the
   * first event with an id on, or if the client came with the id of a last event.
   * @defaultValue `'auto'`
   */
  drain?: 'auto' | 'resumable' | 'finite';
}

export type ResolvedSseOptions<Item extends EventInput | string = never> = Resolved<
  SseOptions<Item>,
  'onError' | 'key' | 'gap' | 'retry'
>;

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveSseOptions<Item extends EventInput | string>(
  given: SseOptions<Item> | undefined,
): ResolvedSseOptions<Item> {
  const options = readBag('sse', given);
  const resolved = resolveStreamOptions<Item, EventInput | string>('sse', options, dispatchedType);
  return {
    ...resolved,
    key: resolved.key && ifDispatched(resolved.key),
    retry: options.retry === undefined ? undefined : Math.round(readDuration('sse.retry', options.retry)),
    prelude: readBoolean('sse.prelude', options.prelude ?? true),
    comments: readOneOf('sse.comments', options.comments ?? 'line', commentStyles),
    reconnectDelay: readDuration('sse.reconnectDelay', options.reconnectDelay ?? '2s', { min: 1 }),
    drain: readOneOf('sse.drain', options.drain ?? 'auto', ['auto', 'resumable', 'finite']),
  };
}

/**
 * The type under which a client dispatches an event; `undefined` for one that it does not: comments, a lone id or retry
 * hint.
 */
export function dispatchedType(event: EventInput | string): string | undefined {
  if (typeof event === 'string') return 'message';
  // WHATWG HTML 9.2.6: an event type buffer that has "a value other than the empty string" is the type.
  if (event.event) return event.event;
  return event.event === '' || 'data' in event ? 'message' : undefined;
}

/**
 * A key of the application's, for events alone: it need not know of what only moves the client's id or keeps a
 * connection busy.
 */
export function ifDispatched<Event extends EventInput | string>(
  key: (event: Event) => string | undefined,
): (event: Event) => string | undefined {
  return (event) => (dispatchedType(event) === undefined ? undefined : key(event));
}
