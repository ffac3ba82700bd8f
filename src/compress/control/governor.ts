import { longestDelay } from '../../internal/time/clock.ts';
import { InvalidOptionError } from '../../errors.ts';
import { Listeners } from '../../internal/listeners.ts';
import {
  type Duration,
  type OptionNames,
  readDuration,
  readFunction,
  readOneOf,
  readOptions,
  requireFunction,
} from '../../internal/option.ts';
import { LoadMeter } from './load.ts';
import type { Tier } from '../codec.ts';
import { reportCompressError, compressEvents, type TierChange } from '../events.ts';
import { initialTier, nextTier, type Thresholds, type TierPolicy, type TierState } from '../policy/tier.ts';

/** Options of `createGovernor`. */
export interface GovernorOptions {
  /** How often the load is sampled. Milliseconds or a string for `ms`, at least 1. @defaultValue `'1s'` */
  interval?: Duration | undefined;
  /**
   * The loads at which the tiers 1, 2 and 3 begin: three ascending numbers over 0, where 0 is idle and 1 saturated.
   * Load over 1 is work that waits, so a threshold may be over 1 too. `Infinity`: that tier is never reached.
   * @defaultValue `[0.45, 0.75, 0.95]`
   */
  thresholds?: Thresholds | undefined;
  /**
   * How far the load must fall below the threshold of its tier before the tier is left. A load, 0 or more and less than
   * the first threshold.
   * @defaultValue `0.1`, or half the first threshold where that is less
   */
  hysteresis?: number | undefined;
  /**
   * How long it must stay there; each tier on the way down has a dwell of its own. Milliseconds or a string for `ms`.
   * `0`: the next sample decides. `Infinity`: the tier only goes up.
   * @defaultValue `'5s'`
   */
  dwell?: Duration | undefined;
  /**
   * The load since the last call, 0 (idle) to 1 (saturated) or more, in place of the built-in one: the worst of the
   * process's CPU time over the cores it may use, the event loop's utilisation and what `observe` is told. When it
   * throws, or returns anything else, the tier stays, and the error is published on the diagnostics channel
   * `sluice:compress:error`.
   * @defaultValue the built-in one
   */
  sample?: (() => number) | undefined;
}

/** Watches the load, and says how much CPU compression may take. */
export interface Governor {
  /** 0 hardly loaded, 1 somewhat, 2 busy, 3 nothing new is compressed. Starts at 0. */
  readonly tier: Tier;
  /** The load that decides it, smoothed over about a second: 0 idle, 1 saturated, more where work waits. */
  readonly load: number;
  /**
   * Calls `listener` after each change of the tier. Returns the undo. What a listener throws is published on the
   * diagnostics channel `sluice:compress:error`. Throws `InvalidOptionError`.
   */
  on(event: 'tier', listener: (change: TierChange) => void): () => void;
  /**
   * Tells it how long an encode in another thread took, from the call to the result: 25 ms on average is a load of 1.
   * Meant for pieces up to about 64 kB: with larger ones, time says more about the size than about the wait.
   * @param latency - milliseconds, 0 or more; anything else is left out, as is every call when there is a `sample`
   */
  observe(latency: number): void;
  /** Stops sampling. The tier stays as it is, and no listener is called any more. */
  close(): void;
}

/** `GovernorOptions` with every default filled in. */
export interface ResolvedGovernorOptions extends TierPolicy {
  readonly interval: number;
  readonly sample: (() => number) | undefined;
}

const defaultThresholds: Thresholds = [0.45, 0.75, 0.95];

// A change of tier changes the load that it answers: the cheaper level takes a part of the CPU time off again. Where
// that is more than the hysteresis, the tier swings, once per dwell. Too wide is the safe side: it only keeps the
// cheaper level for longer.
const defaultHysteresis = 0.1;

const names: OptionNames<GovernorOptions> = {
  interval: true,
  thresholds: true,
  hysteresis: true,
  dwell: true,
  sample: true,
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveGovernorOptions(given: GovernorOptions | undefined): ResolvedGovernorOptions {
  const options = readOptions('governor', given, names, { call: 'compress({ governor: createGovernor() })' });
  const thresholds = readThresholds('governor.thresholds', options.thresholds ?? defaultThresholds);
  return {
    interval: readDuration('governor.interval', options.interval ?? '1s', { min: 1, max: longestDelay }),
    thresholds,
    hysteresis: readHysteresis('governor.hysteresis', options.hysteresis, thresholds[0]),
    dwell: readDuration('governor.dwell', options.dwell ?? '5s', { max: Infinity }),
    sample: readFunction('governor.sample', options.sample),
  };
}

/**
 * Makes a governor, which samples the load from now on. Its timer does not keep the process alive, but keeps the
 * governor: `close()` it where it is not for the life of the process. Throws `InvalidOptionError`.
 */
export function createGovernor(options?: GovernorOptions): Governor {
  return new SamplingGovernor(resolveGovernorOptions(options));
}

class SamplingGovernor implements Governor {
  readonly #policy: TierPolicy;
  readonly #sample: () => number;
  readonly #meter: LoadMeter | undefined;
  readonly #listeners = new Listeners<TierChange>(reportCompressError);
  #timer: NodeJS.Timeout | undefined;
  #state: TierState = initialTier(performance.now());

  constructor(options: ResolvedGovernorOptions) {
    this.#policy = options;
    this.#meter = options.sample ? undefined : new LoadMeter();
    this.#sample = options.sample ?? (() => this.#meter?.read() ?? 0);
    this.#timer = setInterval(() => this.#takeSample(), options.interval).unref();
  }

  get tier(): Tier {
    return this.#state.tier;
  }

  get load(): number {
    return this.#state.load;
  }

  on(event: 'tier', listener: (change: TierChange) => void): () => void {
    readOneOf('governor.on', event, ['tier']);
    requireFunction('governor.on.listener', listener);
    return this.#listeners.add(listener);
  }

  observe(latency: number): void {
    if (latency >= 0) this.#meter?.observe(latency);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
  }

  #takeSample(): void {
    let load: number;
    try {
      load = readLoad(this.#sample());
    } catch (error) {
      reportCompressError(error);
      return;
    }
    // The sample may have closed it.
    if (this.#timer !== undefined) this.#moveTo(nextTier(this.#policy, this.#state, load, performance.now()));
  }

  #moveTo(state: TierState): void {
    const previous = this.#state.tier;
    this.#state = state;
    if (state.tier === previous) return;
    const change = { tier: state.tier, previous, load: state.load };
    compressEvents.tier.publish(change);
    this.#listeners.emit(change);
  }
}

function readLoad(value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0))
    throw new InvalidOptionError('governor.sample', 'a function that returns a load, 0 or more', value);
  return value;
}

function readThresholds(option: string, value: Thresholds): Thresholds {
  if (!ascends(value)) throw new InvalidOptionError(option, 'three ascending numbers over 0', value);
  return [value[0], value[1], value[2]];
}

function ascends(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 3) return false;
  const numbers: unknown[] = [0, ...(value as unknown[])];
  return numbers.every((each, index) => index === 0 || isAbove(each, numbers[index - 1]));
}

// Infinity may come again after itself: neither of the tiers is reached.
function isAbove(value: unknown, last: unknown): boolean {
  return typeof value === 'number' && (value > Number(last) || value === Infinity);
}

function readHysteresis(option: string, value: unknown, first: number): number {
  if (value === undefined) return Math.min(defaultHysteresis, first / 2);
  if (typeof value !== 'number' || !(value >= 0 && value < first)) {
    throw new InvalidOptionError(option, `a number, 0 or more and less than the first threshold, ${first}`, value);
  }
  return value;
}
