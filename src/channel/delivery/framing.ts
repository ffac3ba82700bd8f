import { formatEvent } from '../../internal/format/event-stream.ts';
import { ndjsonFormat } from '../../internal/format/records.ts';
import type { ChannelEntry, NewEntry } from '../log/backplane.ts';
import { type AnswerFraming, frameAnswer, hasCursor } from '../policy/answer.ts';

/** How the events of a channel look on the wire. */
export type Framing = 'sse' | 'ndjson' | AnswerFraming;

/** The text of an entry, without an id. */
type Body = Pick<NewEntry, 'event' | 'data' | 'isJson' | 'isEnd'>;

/** The text of an entry. `''` for an end without an event. */
export function frame(framing: Framing, id: string | undefined, body: Body): string {
  if (body.event === undefined && body.data === undefined) return '';
  const text = frameBody(framing, body);
  return id === undefined ? text : withId(framing, id, text);
}

function frameBody(framing: Framing, body: Body): string {
  if (framing === 'sse') return frameEvent(body);
  return framing === 'ndjson' ? frameRecord(body) : frameAnswer(framing, body);
}

// As long as the log keeps an entry: a thousand clients that come back at once get the same texts.
const keptTexts = new WeakMap<ChannelEntry, Partial<Record<Framing, string>>>();

/** The text of an entry of the log, which is made once for all clients. @param id - that a client is sent with it */
export function frameKept(framing: Framing, id: string, entry: ChannelEntry): string {
  let texts = keptTexts.get(entry);
  if (!texts) keptTexts.set(entry, (texts = {}));
  return withId(framing, id, (texts[framing] ??= frame(framing, undefined, entry)));
}

/** @param text - without an id */
function withId(framing: Framing, id: string, text: string): string {
  if (text === '' || !hasCursor(framing)) return text;
  return framing === 'ndjson' ? `{"id":${JSON.stringify(id)},${text.slice(1)}` : `id: ${id}\n${text}`;
}

/** The text of entries with their own ids. */
export function frameAll(framing: Framing, entries: readonly ChannelEntry[]): string {
  let text = '';
  for (const entry of entries) text += frame(framing, entry.id, entry);
  return text;
}

function frameEvent({ event, data }: Body): string {
  // JSON text has no line break of its own, so it goes as any text.
  return formatEvent(data === undefined ? { event } : { event, data });
}

function frameRecord({ event, data, isJson }: Body): string {
  const name = event === undefined ? '' : `"event":${JSON.stringify(event)},`;
  const value = data === undefined ? '""' : isJson === true ? data : JSON.stringify(data);
  return `{${name}"data":${value}}${ndjsonFormat.after}`;
}

/** The text that tells a client of something that is no event of the channel. */
export function frameNotice(framing: Framing, id: string | undefined, event: string, data: object): string {
  return frame(framing, id, { event, data: JSON.stringify(data), isJson: true });
}

/** A record that says how many are missing, in the form of the others. */
export function gapRecord(dropped: number): unknown {
  return { event: 'sluice.gap', data: { dropped } };
}
