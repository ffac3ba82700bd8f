import type { Fields } from '../internal/http/headers.ts';
import { type OptionNames, readOneOf, readOptions, type Resolved } from '../internal/option.ts';
import { resolveStreamOptions, streamAdvice, streamNames, type StreamOptions } from '../internal/writer/options.ts';

/**
 * Options of `ndjson`, `jsonSeq` and their `open…` forms, for records of type `T`. `overflow: 'latest'` needs a `key`.
 * With `overflow: 'drop'`, the default `gap` is a record `{"sluice.gap":{"dropped":N}}`.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- what a `key` reads, where no type says what is sent
export interface RecordOptions<T = any> extends StreamOptions<T, unknown> {
  /**
   * Whether the client can go on at another process where it stopped here. When the process drains, `lifecycle` closes
   * a `'resumable'` stream without an end, and lets a `'finite'` one run to its end.
   * @defaultValue `'finite'`
   */
  drain?: 'resumable' | 'finite' | undefined;
}

export type ResolvedRecordOptions<T> = Resolved<RecordOptions<T>, 'onError' | 'key' | 'gap'> & {
  readonly headers: Fields;
};

const names: OptionNames<RecordOptions> = { ...streamNames, drain: true };

/**
 * Fills in defaults and checks. Throws `InvalidOptionError`.
 * @param owner - the factory's name, for error messages
 */
export function resolveRecordOptions<T>(owner: string, given: RecordOptions<T> | undefined): ResolvedRecordOptions<T> {
  const options = readOptions(owner, given, names, { instead: streamAdvice });
  return {
    ...resolveStreamOptions<T, unknown>(owner, options),
    drain: readOneOf(`${owner}.drain`, options.drain ?? 'finite', ['resumable', 'finite']),
  };
}
