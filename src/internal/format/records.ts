import { InvalidRecordError } from '../../errors.ts';
import { toJson } from './json.ts';

/** How one kind of record stream looks on the wire. */
export interface RecordFormat {
  /** Media types by which clients ask for it; the first is the default. */
  readonly mediaTypes: readonly string[];
  readonly before: string;
  readonly after: string;
}

/** Newline-delimited JSON, also known as JSON lines. The type has no registration; these three are in use. */
export const ndjsonFormat: RecordFormat = {
  mediaTypes: ['application/x-ndjson', 'application/ndjson', 'application/jsonl'],
  before: '',
  after: '\n',
};

/** JSON text sequences. RFC 7464 2.2: `RS JSON-text LF`, where the LF tells a number from a truncated one. */
export const jsonSeqFormat: RecordFormat = { mediaTypes: ['application/json-seq'], before: '\u001e', after: '\n' };

/**
 * The bytes of one record. JSON text as `JSON.stringify` writes it holds no line break and no RS. Throws
 * `InvalidRecordError`.
 */
export function formatRecord(format: RecordFormat, value: unknown): string {
  return format.before + toJson(value, invalidRecord) + format.after;
}

function invalidRecord(message: string, options?: { cause?: unknown }): InvalidRecordError {
  return new InvalidRecordError(`The record ${message}`, options);
}
