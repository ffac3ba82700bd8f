import { formatEvent } from '../../internal/format/event-stream.ts';
import { ndjsonFormat } from '../../internal/format/records.ts';
import type { ChannelEntry, NewEntry } from '../log/backplane.ts';
import { type AnswerFraming, frameAnswer } from '../policy/answer.ts';

/** How the events of a channel look on the wire. */
export type Framing = 'sse' | 'ndjson' | AnswerFraming;

/** The text of an entry, without an id. */
type Body = Pick<NewEntry, 'event' | 'data' | 'isJson' | 'isEnd'>;

/** The text of an entry. `''` for an end without an event. */
export function frame(framing: Framing, id: string | undefined, body: Body): string {
  if (body.event === undefined && body.data === undefined) return '';
  if (framing === 'sse') return frameEvent(id, body);
  return framing === 'ndjson' ? frameRecord(id, body) : frameAnswer(framing, id, body);
}

/** The text of entries with their own ids. */
export function frameAll(framing: Framing, entries: readonly ChannelEntry[]): string {
  let text = '';
  for (const entry of entries) text += frame(framing, entry.id, entry);
  return text;
}

function frameEvent(id: string | undefined, { event, data }: Body): string {
  // JSON text has no line break of its own, so it goes as any text.
  const fields = data === undefined ? { event } : { event, data };
  return id === undefined ? formatEvent(fields) : `id: ${id}\n${formatEvent(fields)}`;
}

function frameRecord(id: string | undefined, { event, data, isJson }: Body): string {
  const name = event === undefined ? '' : `"event":${JSON.stringify(event)},`;
  const value = data === undefined ? '""' : isJson === true ? data : JSON.stringify(data);
  const mark = id === undefined ? '' : `"id":${JSON.stringify(id)},`;
  return `{${mark}${name}"data":${value}}${ndjsonFormat.after}`;
}

/** The text that tells a client of something that is no event of the channel. */
export function frameNotice(framing: Framing, id: string | undefined, event: string, data: object): string {
  return frame(framing, id, { event, data: JSON.stringify(data), isJson: true });
}

/** A record that says how many are missing, in the form of the others. */
export function gapRecord(dropped: number): unknown {
  return { event: 'sluice.gap', data: { dropped } };
}
