import type { Tier } from '../codec.ts';
import { InvalidOptionError } from '../../errors.ts';
import { type Range, readInteger } from '../../internal/option.ts';

/** The loads at which the tiers 1, 2 and 3 begin. */
export type Thresholds = readonly [number, number, number];

/** What decides between tiers. Not checked here: `resolveGovernorOptions` does that. */
export interface TierPolicy {
  /** Ascending, over 0. `Infinity`: that tier is never reached. */
  readonly thresholds: Thresholds;
  /**
   * How far below the threshold of its tier the load has to fall before it counts as gone; less than the first
   * threshold.
   */
  readonly hysteresis: number;
  /** Milliseconds that it has to stay there. */
  readonly dwell: number;
}

/** Where the machine is. */
export interface TierState {
  readonly tier: Tier;
  /** The smoothed load. */
  readonly load: number;
  /** When that was, in milliseconds. */
  readonly at: number;
  /** Since when the load is low enough for the tier below; `undefined` while it is not. */
  readonly calmSince: number | undefined;
}

// A load of 1 that comes out of nothing passes .45 after 0.6 s, .75 after 1.4 s and .95 after 3 s: one busy second
// costs one tier and not all. Shorter, and a single sample decides; longer, and a saturated machine queues for longer
// before it gets relief.
const smoothingTime = 1000;

// The average never quite arrives: without this, a load that stays at a threshold would be below it for ever. A load
// half a percent higher or lower is the same load.
const resolution = 0.005;

/** The state before the first load. */
export function initialTier(now: number): TierState {
  return { tier: 0, load: 0, at: now, calmSince: undefined };
}

/**
 * The one transition.
 *
 * ```
 *            load ≥ threshold of a higher tier: to that tier, at once
 *          ┌──────────────────────────────────────────────────────────┐
 *          │            ┌──────────────┬──────────────┐               │
 *     ┌────┴───┐   ┌────┴───┐     ┌────┴───┐     ┌────▼───┐           │
 *     │ tier 0 │◄──┤ tier 1 │◄────┤ tier 2 │◄────┤ tier 3 │◄──────────┘
 *     └────────┘   └────────┘     └────────┘     └────────┘
 *       load < threshold of the tier − hysteresis, for the whole dwell: one tier, and the dwell begins anew
 * ```
 *
 * @param sample - the load since the last call: 0 idle, 1 saturated; not `NaN`
 * @param now - milliseconds of a clock that does not go back
 */
export function nextTier(policy: TierPolicy, state: TierState, sample: number, now: number): TierState {
  const load = smoothedLoad(policy, state, sample, now);
  const reached = tierAt(policy, load);
  if (reached > state.tier) return { tier: reached, load, at: now, calmSince: undefined };
  if (!isCalm(policy, state.tier, load)) return { tier: state.tier, load, at: now, calmSince: undefined };
  const calmSince = state.calmSince ?? now;
  if (now - calmSince < policy.dwell) return { tier: state.tier, load, at: now, calmSince };
  const below = (state.tier - 1) as Tier;
  return { tier: below, load, at: now, calmSince: isCalm(policy, below, load) ? now : undefined };
}

// Weighted by time and not by sample: the same at any interval.
function smoothedLoad({ thresholds }: TierPolicy, state: TierState, sample: number, now: number): number {
  const bounded = Math.min(Math.max(sample, 0), highestLoad(thresholds));
  const weight = 1 - Math.exp(-Math.max(now - state.at, 0) / smoothingTime);
  const load = state.load + (bounded - state.load) * weight;
  return Math.abs(bounded - load) < resolution ? bounded : load;
}

// More than twice too much says nothing more, and would be remembered for longer.
function highestLoad(thresholds: Thresholds): number {
  return 2 * Math.max(1, ...thresholds.filter(Number.isFinite));
}

function tierAt({ thresholds }: TierPolicy, load: number): Tier {
  return thresholds.filter((threshold) => load >= threshold).length as Tier;
}

function isCalm({ thresholds, hysteresis }: TierPolicy, tier: Tier, load: number): boolean {
  return tier > 0 && load < (thresholds[tier - 1] ?? 0) - hysteresis;
}

/** Levels for the tiers 0, 1 and 2. */
export type TierLevels = readonly [number, number, number];

/** The level at a tier. What is open at tier 3 goes on as cheaply as it can. */
export function levelAt(levels: TierLevels, tier: Tier): number {
  return levels[tier === 3 ? 2 : tier];
}

/**
 * The levels of a codec: three are one for each tier, one is the highest that any tier uses.
 * Throws `InvalidOptionError`.
 */
export function readTierLevels(
  option: string,
  value: number | TierLevels | undefined,
  defaults: TierLevels,
  range: Range,
): TierLevels {
  if (value === undefined) return defaults;
  if (!Array.isArray(value)) {
    const level = readInteger(option, value, range);
    return [level, Math.min(level, defaults[1]), Math.min(level, defaults[2])];
  }
  if (value.length !== 3)
    throw new InvalidOptionError(option, 'one level, or three: one for each of the tiers 0 to 2', value);
  return value.map((level, tier) => readInteger(`${option}[${tier}]`, level, range)) as unknown as TierLevels;
}
