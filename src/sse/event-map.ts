import type { EventInput } from '../internal/format/event-stream.ts';

/** Any event with any data: the map of a stream without types. */
export type AnyEvents = Record<string, unknown>;

/** Any event, as it is sent and as the application reads it: in a stream without a map, data have no type. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyEvent = EventInput & { data?: any };

/** The fields whose types do not depend on the map. */
type Fields = Omit<EventInput, 'event' | 'data'>;

/** The name is optional for `message` alone: clients dispatch an event without a name as `message`. */
type Named<K extends string> = K extends 'message' ? { event?: K } : { event: K };

/**
 * An event that fits a map from event names to the types of their data, such as `{ tick: Tick; message: string }`. An
 * event without name and data (an id, a retry hint, a comment) fits every map.
 */
export type EventOf<M extends object> = string extends keyof M
  ? AnyEvent
  : | { [K in keyof M & string]: Named<K> & { data: M[K] } & Fields }[keyof M & string]
    | (Fields & { event?: never; data?: never });

/** A bare string is the data of a `message`: allowed where the map has no types or says that messages are strings. */
export type TextOf<M extends object> = string extends keyof M
  ? string
  : M extends { message: string }
    ? M['message']
    : never;

/** What can be sent on a stream with this map. */
export type Sendable<M extends object> = EventOf<M> | TextOf<M>;
