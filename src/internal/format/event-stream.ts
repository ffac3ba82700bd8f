import { InvalidEventError } from '../../errors.ts';
import { checkEventFields } from './event-fields.ts';
import { toJson } from './json.ts';

/** The last event id of a client that was told to stay away: its next request is answered 204. */
export const stopId = 'sluice.stop';

/**
 * One event, as WHATWG HTML 9.2 has it. At least one field must be there. A field that is `undefined` is
 * absent, except `data`: `data: undefined` is refused, since it is nearly always a value that went missing.
 */
export interface EventInput {
  /** The event's type; the client's default is `message`. No CR, LF or NUL. */
  event?: string | undefined;
  /** What a reconnecting client sends as `Last-Event-ID`; `''` makes it forget. No CR, LF or NUL. */
  id?: string | undefined;
  /**
   * The payload. A string goes as it is, over as many lines as it has; anything else as JSON. Without it the event
   * moves the client's id or retry time and is not dispatched; with `event` alone, it is dispatched with empty data.
   */
  data?: unknown;
  /**
   * Milliseconds after which the client reconnects: an integer, 0 or more. 0 makes clients reconnect in a tight loop.
   */
  retry?: number | undefined;
  /** A comment, which clients skip. May have several lines. */
  comment?: string | undefined;
}

/**
 * How what is no event looks: comments and lone retry hints. `line`: a line each, as WHATWG HTML 9.2.5 allows; they
 * take effect at its end. `block`: with a blank line behind it, for readers that split a stream at blank lines.
 */
export type CommentStyle = 'line' | 'block';

/** The values of `CommentStyle`, the default first. */
export const commentStyles: readonly CommentStyle[] = ['line', 'block'];

// NUL ends nothing, but a client ignores an id that holds one; in an event name it is a mistake.
const breaksField = /[\r\n\0]/;

/**
 * The bytes of an event, ended by its blank line. Comments and a retry hint without an event are lines, in the given
 * style: many clients take each blank line for a message (https://github.com/Azure/fetch-event-source/issues/15).
 * Throws `InvalidEventError`.
 */
export function formatEvent(event: EventInput | string, comments: CommentStyle = 'line'): string {
  if (typeof event === 'string') return `${formatData(event)}\n`;
  if (typeof event !== 'object' || (event as unknown) === null || ArrayBuffer.isView(event)) {
    throw new InvalidEventError('event', 'must be an object with event fields, or a string of data');
  }
  checkEventFields(event);
  const text = formatFields(event);
  if (text === '')
    throw new InvalidEventError(
      'event',
      'has no field: expected one of event, id, data, retry, comment. A value alone is `{ data: value }`',
    );
  return needsBlankLine(event) ? `${text}\n` : ended(text, comments);
}

/** WHATWG HTML 9.2.6: data are dispatched, and an id becomes the last event id, at a blank line. */
function needsBlankLine(event: EventInput): boolean {
  return 'data' in event || event.event !== undefined || event.id !== undefined;
}

function ended(lines: string, comments: CommentStyle): string {
  return comments === 'block' ? `${lines}\n` : lines;
}

function formatFields(event: EventInput): string {
  let text = '';
  if (event.comment !== undefined) text += formatCommentLines(event.comment);
  if (event.event !== undefined) text += `event: ${singleLine('event', event.event)}\n`;
  if (event.id !== undefined) text += formatId(event.id);
  if (event.retry !== undefined) text += formatRetry(event.retry);
  if ('data' in event) text += formatData(event.data);
  // WHATWG HTML 9.2.6: an empty data buffer is not dispatched; an empty line of data is.
  else if (event.event !== undefined) text += 'data:\n';
  return text;
}

/** The bytes of a comment alone. Throws `InvalidEventError`. */
export function formatComment(text: string, comments: CommentStyle = 'line'): string {
  return ended(formatCommentLines(text), comments);
}

/** The bytes of a retry hint alone. Throws `InvalidEventError`. */
export function formatRetryHint(retry: number, comments: CommentStyle = 'line'): string {
  return ended(formatRetry(retry), comments);
}

/**
 * The bytes of an id alone. Without its blank line a client by the letter does not take it over. Throws
 * `InvalidEventError`.
 */
export function formatLoneId(id: string, hasBlankLine: boolean): string {
  return hasBlankLine ? `${formatId(id)}\n` : formatId(id);
}

function formatCommentLines(text: unknown): string {
  if (typeof text !== 'string') throw new InvalidEventError('comment', 'must be a string');
  return formatLines(':', text);
}

function formatId(id: unknown): string {
  // The type says string. Untyped callers number their events, and digits can break nothing.
  const text = typeof id === 'bigint' || Number.isSafeInteger(id) ? String(id) : id;
  return `id: ${singleLine('id', text)}\n`;
}

function formatRetry(retry: unknown): string {
  // WHATWG HTML 9.2.6: ASCII digits only, else the client ignores the field.
  if (!Number.isSafeInteger(retry) || (retry as number) < 0)
    throw new InvalidEventError('retry', 'must be an integer of milliseconds, 0 or more');
  return `retry: ${String(retry)}\n`;
}

function singleLine(field: string, value: unknown): string {
  if (typeof value !== 'string') throw new InvalidEventError(field, 'must be a string');
  if (breaksField.test(value))
    throw new InvalidEventError(field, 'must not hold CR, LF or NUL: it could forge another field');
  return value;
}

function formatData(data: unknown): string {
  // JSON text has no line break of its own.
  if (typeof data !== 'string') return `data: ${toJson(data, invalidData)}\n`;
  return formatLines('data: ', data);
}

/** WHATWG HTML 9.2.5: `end-of-line = ( cr lf / cr / lf )`. All three end a line for the client. */
function formatLines(prefix: string, text: string): string {
  // At one character `split` costs a tenth of what it does at a pattern, and less than `replace` where line breaks are
  // many.
  const lines = text.includes('\r') ? text.split('\r\n').join('\n').split('\r').join('\n') : text;
  return lines.includes('\n') ? `${prefix}${lines.split('\n').join(`\n${prefix}`)}\n` : `${prefix}${text}\n`;
}

function invalidData(message: string, options?: { cause?: unknown }): InvalidEventError {
  return new InvalidEventError('data', message, options);
}
