import type { Phase } from './phase.ts';

/** The timers of a drain, in ms since it began. */
export interface Plan {
  readonly preDrain: number;
  /** `Infinity`: time cuts nothing. */
  readonly drainTimeout: number;
}

/** How far a drain is. */
export interface Progress {
  readonly phase: Phase;
  /** Milliseconds since it began. */
  readonly elapsed: number;
  /** When the last client was asked to reconnect, in ms since the drain began. `undefined`: none was. */
  readonly toldAt: number | undefined;
}

/**
 * What a drain does next. `last-call`: asks all clients at once that are still to be asked. `wait`: does nothing before
 * `until`, in ms since the drain began.
 */
export type DrainStep =
  { readonly kind: 'leave' | 'last-call' | 'cut' } | { readonly kind: 'wait'; readonly until: number };

// The share of the time before the cut in which clients are asked to reconnect. The last ones need the rest for their
// last bytes.
const tellingPart = 0.8;

// How long a cut waits, at most, for the last bytes of a client that was asked late. The library writes a retry hint
// at once, and closes the connection some 50 ms later.
const longestFarewell = 1000;

const wait = (until: number): DrainStep => ({ kind: 'wait', until });

/**
 * The one decision about time in a drain. A step depends on the phase, and not on the clock alone. A late timer, of a
 * process that was stopped or busy, makes steps late and skips none. So a drain cuts nothing before it has asked all
 * clients that it has to ask.
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

/** The window, from now on, in which clients are asked to reconnect. */
export function tellingWindow({ drainTimeout }: Plan, elapsed: number, wanted: number): number {
  return Math.max(0, Math.min(wanted, (drainTimeout - elapsed) * tellingPart));
}

// How long a restart in development takes at most, in ms.
const restartTimeout = 500;

/** What a process knows of its surroundings when a drain begins. */
export interface Surroundings {
  /** A probe came: something outside watches the process. */
  readonly isProbed: boolean;
  /** Nothing is open. */
  readonly isEmpty: boolean;
  /** `node --watch` restarts the process. */
  readonly isWatched: boolean;
}

/**
 * The timers of this drain. `preDrain` is for load balancers, which learn late. It is 0 where no probe ever came and
 * nothing is open. Under `node --watch` nothing waits: `preDrain` is 0, and what is open is told and cut within half a
 * second.
 */
export function effectivePlan<P extends Plan>(plan: P, { isProbed, isEmpty, isWatched }: Surroundings): P {
  if (isWatched) return { ...plan, preDrain: 0, drainTimeout: Math.min(plan.drainTimeout, restartTimeout) };
  return isProbed || !isEmpty ? plan : { ...plan, preDrain: 0 };
}

/** At most the share of the time kept for it: a drain whose timers are on time ends at `drainTimeout`. */
function farewellTime({ preDrain, drainTimeout }: Plan): number {
  return Math.min(longestFarewell, (drainTimeout - preDrain) * (1 - tellingPart));
}

/**
 * When each of `count` clients leaves, in ms since a window began, ascending. Each gets a random moment in its own
 * equal part of the window. So no part is crowded, and two processes that begin to drain together do not keep step.
 */
export function departureTimes(count: number, window: number, random: () => number): number[] {
  const part = window / count;
  return Array.from({ length: count }, (_, index) => (index + random()) * part);
}
