import { type Duration, type OptionNames, readDuration, readOptions } from '../../internal/option.ts';
import { longestDelay } from '../../internal/time/clock.ts';
import type { AnyChannelInput } from '../delivery/event.ts';
import type { CoalesceOptions } from '../options.ts';
import { deltaOf, keyOf } from './policy/merge-deltas.ts';

/** Options of `mergeDeltas`. */
export interface MergeDeltasOptions {
  /**
   * How long a piece of text waits for others, at most. Milliseconds or a string for `ms`, at least 1.
   * @defaultValue `40`
   */
  ms?: Duration | undefined;
}

const names: OptionNames<MergeDeltasOptions> = { ms: true };
const advice = { single: 'ms', call: 'mergeDeltas({ ms: 40 })', instead: { delay: 'ms', every: 'ms', interval: 'ms' } };

/**
 * Joins the pieces of text that a language model yields, for the option `coalesce` of `resumable` and of channels:
 * strings, parts `text-delta`, `reasoning-delta` and `tool-input-delta` of the AI SDK, and chunks of OpenAI that add
 * nothing but `content`. Two are joined if they are alike but for the text. Anything else goes out at once, behind the
 * text before it. Throws `InvalidOptionError`.
 */
export function mergeDeltas(options?: MergeDeltasOptions): CoalesceOptions {
  const { ms = 40 } = readOptions('mergeDeltas', options, names, advice);
  return {
    ms: readDuration('mergeDeltas.ms', ms, { min: 1, max: longestDelay }),
    key: keyOf,
    merge: (earlier: AnyChannelInput, later: AnyChannelInput) => {
      const [first, second] = [deltaOf(earlier), deltaOf(later)];
      // `key` has seen both.
      return first && second ? first.with(first.text + second.text) : later;
    },
  };
}
