/** An event, as it came. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- without a map, data have no type
export interface ClientEvent<Type extends string = string, Data = any> {
  /** The event's name; `message` for one that has none. */
  readonly type: Type;
  /** The payload as text. */
  readonly data: string;
  /** The last event id at this event: its own, or that of an event before it; `''` for none. */
  readonly id: string;
  /** Parses `data` as JSON, which `sse` makes of everything but strings. Throws `SyntaxError`. */
  json(): Data;
}

/** The events of a map from names to the types of their data: `{ tick: Tick }`. Without a map: any event. */
export type ClientEventOf<M extends object> = string extends keyof M
  ? ClientEvent
  : { [K in keyof M & string]: ClientEvent<K, M[K]> }[keyof M & string];
