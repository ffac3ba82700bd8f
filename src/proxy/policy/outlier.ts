/** What is known of the health of one upstream. */
export interface OutlierState {
  /** Failures since the last success. */
  readonly failures: number;
  /** How often in a row it was ejected. */
  readonly ejections: number;
  /** No requests before this time, in ms of the clock. */
  readonly ejectedUntil: number;
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
  /** How long the first ejection lasts, in ms. The nth lasts n times as long. */
  readonly ejection: number;
  readonly maxEjection: number;
  /** Failed probes in a row that take it out, if there was also no success for `grace` ms. */
  readonly probeFailures: number;
  readonly grace: number;
}

export type OutlierEvidence = 'success' | 'failure' | 'probe-success' | 'probe-failure';

export const healthy: OutlierState = {
  failures: 0,
  ejections: 0,
  ejectedUntil: -Infinity,
  succeededAt: -Infinity,
  probeFailures: 0,
  isDown: false,
};

/** The state after a piece of evidence. */
export function noteOutlier(
  state: OutlierState,
  evidence: OutlierEvidence,
  policy: OutlierPolicy,
  now: number,
): OutlierState {
  switch (evidence) {
    case 'success':
      // One that answers while it is ejected was asked because there was no other.
      return state.failures === 0 && state.ejections === 0 && !state.isDown
        ? { ...state, succeededAt: now }
        : { ...state, failures: 0, ejections: now < state.ejectedUntil ? state.ejections : 0, succeededAt: now };
    case 'failure': {
      const failures = state.failures + 1;
      if (failures < policy.failures || now < state.ejectedUntil) return { ...state, failures };
      const ejections = state.ejections + 1;
      const ejectedUntil = now + Math.min(policy.ejection * ejections, policy.maxEjection);
      return { ...state, failures: 0, ejections, ejectedUntil };
    }
    case 'probe-success':
      return { ...state, probeFailures: 0, isDown: false, succeededAt: now };
    case 'probe-failure': {
      const probeFailures = state.probeFailures + 1;
      const isDown = probeFailures >= policy.probeFailures && now - state.succeededAt >= policy.grace;
      return { ...state, probeFailures, isDown: state.isDown || isDown };
    }
  }
}

/** Whether it gets requests. The last one of a pool does all the same: see `choose`. */
export function isAvailable(state: OutlierState, now: number): boolean {
  return !state.isDown && now >= state.ejectedUntil;
}
