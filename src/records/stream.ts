import type { FiniteReason } from '../internal/seam/layer.ts';
import { type ItemStream, OutItemStream } from '../internal/writer/item-stream.ts';
import type { OutStream } from '../internal/writer/stream.ts';
import type { ResolvedItemOptions } from '../internal/writer/options.ts';
import { formatRecord, type RecordFormat } from '../internal/format/records.ts';

/** An open stream of JSON records: one client. `T` is the type of a record; `send(value)` takes any JSON value. */
export type RecordStream<T = unknown> = ItemStream<T>;

/** Options of a record stream with every default filled in. */
export interface ResolvedRecordOptions<T> extends ResolvedItemOptions<T, unknown> {
  readonly drain: 'resumable' | 'finite';
}

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

  /** A clean end would say that this was all. */
  override leave(): Promise<void> {
    return this.out.leave('draining');
  }

  protected override format(value: unknown): string {
    return formatRecord(this.#format, value);
  }

  protected override defaultGap(dropped: number): unknown {
    return { 'sluice.gap': { dropped } };
  }
}
