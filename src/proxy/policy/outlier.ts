import type { HealthState } from '../../internal/health/policy/liveness.ts';

/** What is known of the health of one upstream. */
export interface OutlierState {
  /** Failures since the last success. */
  readonly failures: number;
  /** What the last ejection was multiplied by; see `eject`. 0: none yet. */
  readonly ejections: number;
  /** No requests before this time, in ms of the clock. */
  readonly ejectedUntil: number;
  /** Whether a request succeeded since it was last ejected; `true`: it never was. */
  readonly isProven: boolean;
  /** The last success, in ms of the clock; `-Infinity`: none yet. */
  readonly succeededAt: number;
  /** Failed health probes since the last good one. */
  readonly probeFailures: number;
  /** Whether the probes have found it dead. */
  readonly isDown: boolean;
}

export interface OutlierPolicy {
  /** Failures in a row that eject. `Infinity`: never. */
  readonly failures: number;
  /** How long the first ejection lasts, in ms. The nth lasts n times as long. Forgotten one by one, in as long each. */
  readonly ejection: number;
  readonly maxEjection: number;
  /** Failed probes in a row that take it out, if there was also no success for `grace` ms. */
  readonly probeFailures: number;
  readonly grace: number;
}

/** What a request or a probe has shown; `evicted`: the application takes it out. */
export type OutlierEvidence = 'success' | 'failure' | 'probe-success' | 'probe-failure' | 'evicted';

export const healthy: OutlierState = {
  failures: 0,
  ejections: 0,
  ejectedUntil: -Infinity,
  isProven: true,
  succeededAt: -Infinity,
  probeFailures: 0,
  isDown: false,
};

/**
 * The state after a piece of evidence.
 *
 * | evidence      | effect                                                                          |
 * | ------------- | ------------------------------------------------------------------------------- |
 * | success       | failures in a row end                                                           |
 * | failure       | one more; the last that the policy bears ejects, unless it is ejected           |
 * | probe-success | failed probes in a row end; one that was down is back                           |
 * | probe-failure | one more; down after those of the policy, and no success for the grace time     |
 * | evicted       | ejected, as after failures                                                      |
 */
export function noteOutlier(
  state: OutlierState,
  evidence: OutlierEvidence,
  policy: OutlierPolicy,
  now: number,
): OutlierState {
  switch (evidence) {
    case 'success':
      // One that answers while it is ejected was asked because there was no other.
      return { ...state, failures: 0, isProven: state.isProven || now >= state.ejectedUntil, succeededAt: now };
    case 'failure': {
      const failures = state.failures + 1;
      return failures < policy.failures || now < state.ejectedUntil
        ? { ...state, failures }
        : eject(state, policy, now);
    }
    case 'probe-success':
      return { ...state, probeFailures: 0, isDown: false, succeededAt: now };
    case 'probe-failure': {
      const probeFailures = state.probeFailures + 1;
      const isDown = probeFailures >= policy.probeFailures && now - state.succeededAt >= policy.grace;
      return { ...state, probeFailures, isDown: state.isDown || isDown };
    }
    case 'evicted':
      return eject(state, policy, now);
  }
}

/**
 * Ejects for n times as long as the first time. Of the n one is forgotten for each `ejection` ms that it was in: a
 * success alone says little of an upstream that fails every other request.
 */
function eject(state: OutlierState, { ejection, maxEjection }: OutlierPolicy, now: number): OutlierState {
  const forgotten = Math.floor(Math.max(0, now - state.ejectedUntil) / ejection);
  const ejections = Math.min(Math.max(0, state.ejections - forgotten) + 1, Math.ceil(maxEjection / ejection));
  const ejectedUntil = now + Math.min(ejection * ejections, maxEjection);
  return { ...state, failures: 0, ejections, ejectedUntil, isProven: false };
}

/** `ejected`: it gets no requests for a while. `down`: until a probe is answered. */
export type Standing = 'up' | 'ejected' | 'down';

/** Whether it gets requests. The last one of a pool does all the same: see `choose`. */
export function standingOf({ isDown, ejectedUntil }: OutlierState, now: number): Standing {
  if (isDown) return 'down';
  return now < ejectedUntil ? 'ejected' : 'up';
}

/** Its health as that of a connection: one that has failed is late until it succeeds; without requests it is dead. */
export function healthOf(state: OutlierState, now: number): HealthState {
  if (standingOf(state, now) !== 'up') return 'dead';
  return state.failures > 0 || state.probeFailures > 0 || !state.isProven ? 'read-late' : 'healthy';
}
