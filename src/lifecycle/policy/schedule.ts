import type { Phase } from './phase.ts';

/** The clocks of a drain, in ms from its begin. */
export interface Plan {
  readonly preDrain: number;
  /** `Infinity`: nothing is cut by time. */
  readonly drainTimeout: number;
}

/** Where a drain is. */
export interface Progress {
  readonly phase: Phase;
  /** Since its begin, in ms. */
  readonly elapsed: number;
  /** When the last client was told to come back, in ms from the begin; `undefined` where none was. */
  readonly toldAt: number | undefined;
}

/**
 * What a drain does next. `last-call`: tells at once all that are still to be told. `wait`: nothing before `until`, in
 * ms from the begin.
 */
export type DrainStep =
  { readonly kind: 'leave' | 'last-call' | 'cut' } | { readonly kind: 'wait'; readonly until: number };

// Of the time that is left before everything is cut, that in which clients are told: the last ones need some for their
// last bytes.
const tellingPart = 0.8;

// The longest that a cut waits for the last bytes of a client that was told late. A retry hint is written at once, and
// closed behind it within some 50 ms.
const longestFarewell = 1000;

const wait = (until: number): DrainStep => ({ kind: 'wait', until });

/**
 * The one decision about time in a drain. A step depends on the phase before it, and not only on the clock: a timer
 * that comes late, because the process was stopped or busy, makes steps late and skips none. So nothing is cut before
 * those were told that are to be told.
 */
export function decideStep(plan: Plan, { phase, elapsed, toldAt }: Progress): DrainStep {
  switch (phase) {
    case 'announcing':
      return elapsed >= plan.preDrain ? { kind: 'leave' } : wait(plan.preDrain);
    case 'leaving':
      return elapsed >= plan.drainTimeout ? { kind: 'last-call' } : wait(plan.drainTimeout);
    case 'parting': {
      const cutAt = (toldAt ?? -Infinity) + farewellTime(plan);
      return elapsed >= cutAt ? { kind: 'cut' } : wait(cutAt);
    }
    case 'active':
    case 'dead':
      return wait(Infinity);
  }
}

/** The window, from now on, in which clients are told. */
export function tellingWindow({ drainTimeout }: Plan, elapsed: number, wanted: number): number {
  return Math.max(0, Math.min(wanted, (drainTimeout - elapsed) * tellingPart));
}

/**
 * `preDrain`, or nothing where it would help nobody: it is for load balancers that learn late, by probes or by the
 * connections they hold.
 * @param isUnseen - no probe was ever asked, and nothing is open
 */
export function effectivePreDrain(preDrain: number, isUnseen: boolean): number {
  return isUnseen ? 0 : preDrain;
}

/** No more than the part of the time that is kept for it: a drain whose clocks are right ends at `drainTimeout`. */
function farewellTime({ preDrain, drainTimeout }: Plan): number {
  return Math.min(longestFarewell, (drainTimeout - preDrain) * (1 - tellingPart));
}

/**
 * When each of `count` leaves, in ms from the begin of a window, ascending: at a random moment within its own equal
 * part of the window. So no part of it is crowded, and two processes that start to drain together do not keep step.
 */
export function departureTimes(count: number, window: number, random: () => number): number[] {
  const part = window / count;
  return Array.from({ length: count }, (_, index) => (index + random()) * part);
}
