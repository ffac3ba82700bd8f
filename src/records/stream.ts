import { InvalidRecordError } from '../errors.ts';
import type { FiniteReason } from '../internal/seam/layer.ts';
import { type ItemStream, OutItemStream } from '../internal/writer/item-stream.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import type { ResolvedRecordOptions } from './options.ts';
import { formatRecord, type RecordFormat } from '../internal/format/records.ts';

/** An open stream of JSON records: one client. `T` is the type of a record; `send(value)` takes any JSON value. */
export type RecordStream<T = unknown> = ItemStream<T>;

/** `RecordStream` over a response. */
export class OutRecordStream<T> extends OutItemStream<T, unknown> {
  #format: RecordFormat;
  #resumable: boolean;

  constructor(out: OutStream, format: RecordFormat, options: ResolvedRecordOptions<T>) {
    super(out, options);
    this.#format = format;
    this.#resumable = options.drain === 'resumable';
  }

  override finiteBecause(): FiniteReason | undefined {
    return this.#resumable ? undefined : 'finite';
  }

  /** Without an end: a clean one would say that the records are complete. */
  override leave(): Promise<void> {
    return this.out.leave('draining');
  }

  protected override format(value: unknown): string {
    return formatRecord(this.#format, value);
  }

  protected override extraError(method: 'send' | 'end'): InvalidRecordError {
    const cure =
      method === 'send' ? '`send` takes one record, and returns a promise' : '`end` takes nothing: send it before';
    return new InvalidRecordError(`Unexpected argument: ${cure}`);
  }

  protected override defaultGap(dropped: number): unknown {
    return { 'sluice.gap': { dropped } };
  }
}
