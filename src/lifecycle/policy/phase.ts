/** What others see of a lifecycle. Only ever forward. */
export type LifecycleState = 'active' | 'draining' | 'dead';

/**
 * Where a lifecycle is. `announcing`: still serving, while load balancers learn of it; `leaving`: nothing new, and what
 * is there goes; `parting`: the time is over and everyone has been told, the last bytes are on their way.
 *
 *     active ──drain──▶ announcing ──announced──▶ leaving ──overdue──▶ parting ──emptied, cut──▶ dead
 *                           └──────────cut───────────┴────emptied, cut──────────────────────────▲
 */
export type Phase = 'active' | 'announcing' | 'leaving' | 'parting' | 'dead';

/** What moves it. `cut`: whatever is left was ended by force. */
export type PhaseEvent = 'drain' | 'announced' | 'overdue' | 'emptied' | 'cut';

const moves: Readonly<Record<Phase, Readonly<Partial<Record<PhaseEvent, Phase>>>>> = {
  active: { drain: 'announcing' },
  announcing: { announced: 'leaving', cut: 'dead' },
  leaving: { overdue: 'parting', emptied: 'dead', cut: 'dead' },
  parting: { emptied: 'dead', cut: 'dead' },
  dead: {},
};

/** The one transition function. An event that means nothing in a phase leaves it as it is. */
export function nextPhase(phase: Phase, event: PhaseEvent): Phase {
  return moves[phase][event] ?? phase;
}

/** What others see of a phase. */
export function stateOf(phase: Phase): LifecycleState {
  return phase === 'active' || phase === 'dead' ? phase : 'draining';
}

/** Whether what is there goes, and nothing new may come. */
export function isLeaving(phase: Phase): boolean {
  return phase === 'leaving' || phase === 'parting';
}

/** Whether new requests are refused. */
export function isRefusing(phase: Phase): boolean {
  return isLeaving(phase) || phase === 'dead';
}
