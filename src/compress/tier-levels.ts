import { InvalidOptionError } from '../errors.ts';
import { type Range, readInteger } from '../internal/option.ts';
import type { Tier } from './negotiate.ts';

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
