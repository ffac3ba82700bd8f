import { type ItemStream, OutItemStream } from '../internal/item-stream.ts';
import type { Departure, OutStream } from '../internal/stream.ts';
import { formatRecord, type RecordFormat } from './record.ts';

/** An open stream of JSON records: one client. `T` is the type of a record; `send(value)` takes any JSON value. */
export type RecordStream<T = unknown> = ItemStream<T>;

/** `RecordStream` over a response. */
export class OutRecordStream<T> extends OutItemStream<T> implements Departure {
  #format: RecordFormat;
  #resumable: boolean;

  constructor(out: OutStream, format: RecordFormat, resumable: boolean) {
    super(out);
    this.#format = format;
    this.#resumable = resumable;
    out.departure = this;
  }

  isResumable(): boolean {
    return this.#resumable;
  }

  /** A clean end would say that this was all. */
  leave(): Promise<void> {
    return this.out.leave('draining');
  }

  protected override format(value: T): string {
    return formatRecord(this.#format, value);
  }
}
