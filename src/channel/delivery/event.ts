import { InvalidEventError } from '../../errors.ts';
import { formatEvent } from '../../internal/format/event-stream.ts';
import { toJson } from '../../internal/format/json.ts';
import type { TextOf } from '../../sse/event-map.ts';
import type { ChannelEntry, NewEntry } from '../log/backplane.ts';

/** The name is optional for `message` alone: clients dispatch an event without a name as `message`. */
type Named<K extends string> = K extends 'message' ? { event?: K | undefined } : { event: K };

/** What is published, where no type says what that is. */
export interface AnyChannelInput {
  /** The event's name; the client's default is `message`. No CR, LF or NUL. */
  event?: string | undefined;
  /** The payload. A string goes as it is, anything else as JSON. */
  data?: unknown;
}

/** An event that can be published on a channel with this map. A bare string is the data of a `message`. */
export type Publishable<M extends object> =
  | (string extends keyof M
      ? AnyChannelInput
      : { [K in keyof M & string]: Named<K> & { data: M[K] } }[keyof M & string])
  | TextOf<M>;

/** What `filter` and `map` know of an event besides its name and data. */
interface Published {
  /** The id that the channel gave it. */
  readonly id: string;
  /** The key that it was published with, or its name. */
  readonly key: string | undefined;
}

/** What it carries. */
interface Payload<Name extends string | undefined, Data> {
  /** Its name; `undefined` for a `message` without one. */
  readonly event: Name;
  /** Its data as clients read them: a text, or what `JSON.parse` makes of it. */
  readonly data: Data;
}

/** An event of a channel, as `filter` and `map` see it. */
export type ChannelEvent<M extends object> = string extends keyof M
  ? // eslint-disable-next-line @typescript-eslint/no-explicit-any -- where no type says what is published
    Published & Payload<string | undefined, any>
  : { [K in keyof M & string]: Published & Payload<K extends 'message' ? K | undefined : K, M[K]> }[keyof M & string];

/** An event of a channel without types. */
export type AnyChannelEvent = Published & Payload<string | undefined, unknown>;

/** Names of fields that a channel, or each stream, fills in itself. */
const ownFields = {
  id: 'is made by the channel',
  retry: 'belongs to the stream: `subscribe({ retry })`',
  comment: 'is not kept. Send it as data, or leave it out',
} as const;

/** What is kept of an event. Throws `InvalidEventError` for one that cannot be framed. */
export function toEntry(event: unknown, key: string | undefined): NewEntry {
  const input = checkInput(event);
  const name = input.event;
  const shared = { event: name, key: key ?? (name === undefined || name === '' ? 'message' : name) };
  if (!('data' in input)) return shared;
  const { data } = input;
  if (typeof data === 'string') return { ...shared, data };
  return { ...shared, data: toJson(data, invalidData), isJson: true };
}

function invalidData(message: string, options?: { cause?: unknown }): InvalidEventError {
  return new InvalidEventError('data', message, options);
}

/** The event as an object. Throws for one that an event stream could not carry. */
function checkInput(event: unknown): AnyChannelInput {
  if (typeof event === 'string') return { data: event };
  if (typeof event !== 'object' || event === null || ArrayBuffer.isView(event))
    throw new InvalidEventError('event', 'must be an object with `event` and `data`, or a string of data');
  if (Object.keys(event).length === 0)
    throw new InvalidEventError('event', 'has neither `event` nor `data`. A value alone is `{ data: value }`');
  for (const [field, why] of Object.entries(ownFields))
    if ((event as Record<string, unknown>)[field] !== undefined) throw new InvalidEventError(field, why);
  // Throws for all that is wrong. The text is made anew where it goes out: it may be in another process.
  formatEvent(event);
  return event;
}

/** What is kept of what `map` made. A copy of the event has its id, which stays. Throws `InvalidEventError`. */
export function toMapped(mapped: unknown, { id, data }: AnyChannelEvent): NewEntry {
  if (typeof mapped !== 'object' || mapped === null) return toEntry(mapped, undefined);
  const fields: { id?: unknown; data?: unknown } = { ...mapped };
  if (fields.id === id) delete fields.id;
  if (data === undefined && fields.data === undefined) delete fields.data;
  return toEntry(fields, undefined);
}

/** The event as it may be published once more. Its data are those that clients get. */
export function toInput(entry: NewEntry): AnyChannelInput {
  const { event } = entry;
  return entry.data === undefined ? { event } : { event, data: dataOf(entry) };
}

/** The event as an application sees it. Its data are those that clients get. */
export function toEvent(entry: ChannelEntry): AnyChannelEvent {
  const { id, event, key } = entry;
  return { id, event, key, data: dataOf(entry) };
}

function dataOf({ data, isJson }: NewEntry): unknown {
  return isJson === true && data !== undefined ? (JSON.parse(data) as unknown) : data;
}
