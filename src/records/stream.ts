import { type ItemStream, OutItemStream } from '../internal/item-stream.ts';
import type { OutStream } from '../internal/stream.ts';
import { formatRecord, type RecordFormat } from './record.ts';

/** An open stream of JSON records: one client. `T` is the type of a record; `send(value)` takes any JSON value. */
export type RecordStream<T = unknown> = ItemStream<T>;

/** `RecordStream` over a response. */
export class OutRecordStream<T> extends OutItemStream<T> {
  #format: RecordFormat;

  constructor(out: OutStream, format: RecordFormat) {
    super(out);
    this.#format = format;
  }

  protected override format(value: T): string {
    return formatRecord(this.#format, value);
  }
}
