import { formatRecord, jsonSeqFormat, ndjsonFormat } from './records.ts';
import { type CommentStyle, formatComment, formatEvent } from './event-stream.ts';

/** A format that has something a client skips. */
export type StreamFormat = 'event-stream' | 'ndjson' | 'json-seq';

/** A format of records, in which only a record can be seen by a client. */
export type RecordStreamFormat = Exclude<StreamFormat, 'event-stream'>;

/** How a heartbeat looks. */
export interface BeatOptions {
  /**
   * Further bytes, for proxies that hold small pieces back: an integer, 0 or more. A beat with `event` gets 2 more than
   * that.
   */
  readonly padding: number;
  /**
   * Event streams only: the name of an event with empty data, which clients see. `undefined` is a comment, which they
   * skip.
   */
  readonly event?: string | undefined;
  /** Event streams only: how a comment is written. @defaultValue `'line'` */
  readonly comments?: CommentStyle;
}

// A map, and no object: media types come from anywhere, and `constructor` is none.
const formats: ReadonlyMap<string, StreamFormat> = new Map([
  ['text/event-stream', 'event-stream'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['application/x-jsonlines', 'ndjson'],
  ['application/stream+json', 'ndjson'],
  ['application/json-seq', 'json-seq'],
]);

const recordFormats = { ndjson: ndjsonFormat, 'json-seq': jsonSeqFormat } as const;

// Spaces in one comment line. Clients read an event stream line by line, and some have little room for one.
const longestPaddingLine = 1024;

/**
 * The format of a stream that can carry heartbeats; `undefined` for any other body.
 * @param mediaType - in lower case and without parameters, as `mediaTypeOf` gives it
 */
export function formatOf(mediaType: string): StreamFormat | undefined {
  return formats.get(mediaType);
}

/**
 * A heartbeat. May be written only where the `BoundaryTracker` of the format says so. Throws `InvalidEventError` for an
 * event name that cannot be framed.
 *
 * - `event-stream`: a comment line (WHATWG HTML 9.2.5), or an event with its blank line; padding is spaces in comment
 *   lines
 * - `ndjson`: an empty line, which readers of JSON lines skip; padding is more of them
 * - `json-seq`: RS LF; RFC 7464 2.1 lets a reader go on after an element that holds no JSON text; padding is spaces
 *   between
 */
export function formatBeat(format: StreamFormat, options: BeatOptions): string {
  const { padding, event, comments } = options;
  switch (format) {
    case 'event-stream':
      return event === undefined ? formatComment(paddingText(padding), comments) : formatEventBeat(event, padding);
    case 'ndjson':
      return '\n'.repeat(1 + padding);
    case 'json-seq':
      return `${jsonSeqFormat.before}${' '.repeat(padding)}${jsonSeqFormat.after}`;
  }
}

/** A heartbeat that clients see: a record. Throws `InvalidRecordError` for a value that JSON cannot hold. */
export function formatVisible(format: RecordStreamFormat, value: unknown): string {
  return formatRecord(recordFormats[format], value);
}

function formatEventBeat(event: string, padding: number): string {
  return formatEvent(padding === 0 ? { event } : { event, comment: paddingText(padding) });
}

/** The text of a comment that is `padding` bytes longer, framed, than an empty one. */
function paddingText(padding: number): string {
  // Each line after the first costs 2 bytes of its own: its colon and the LF before it.
  const lines = Math.ceil((padding + 2) / (longestPaddingLine + 2));
  let spaces = padding - 2 * (lines - 1);
  const texts: string[] = [];
  for (let line = 0; line < lines; line++) {
    const length = Math.min(spaces, longestPaddingLine);
    texts.push(' '.repeat(length));
    spaces -= length;
  }
  return texts.join('\n');
}
