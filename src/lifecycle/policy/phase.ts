/** The public state of a lifecycle. It only moves forward. */
export type LifecycleState = 'active' | 'draining' | 'dead';

/**
 * The phase of a lifecycle.
 *
 * - `announcing`: serves everything, while load balancers learn of the drain
 * - `leaving`: takes nothing new; what is open ends
 * - `parting`: time is up and every client was asked to reconnect; the last bytes are on their way
 *
 *     active ──drain──▶ announcing ──announced──▶ leaving ──overdue──▶ parting ──emptied, cut──▶ dead
 *                           └──────────cut───────────┴────emptied, cut──────────────────────────▲
 */
export type Phase = 'active' | 'announcing' | 'leaving' | 'parting' | 'dead';

/** What moves it. `cut`: the rest was ended by force. */
export type PhaseEvent = 'drain' | 'announced' | 'overdue' | 'emptied' | 'cut';

const moves: Readonly<Record<Phase, Readonly<Partial<Record<PhaseEvent, Phase>>>>> = {
  active: { drain: 'announcing' },
  announcing: { announced: 'leaving', cut: 'dead' },
  leaving: { overdue: 'parting', emptied: 'dead', cut: 'dead' },
  parting: { emptied: 'dead', cut: 'dead' },
  dead: {},
};

/** The one transition function. Ignores an event that means nothing in the phase. */
export function nextPhase(phase: Phase, event: PhaseEvent): Phase {
  return moves[phase][event] ?? phase;
}

/** The public state of a phase. */
export function stateOf(phase: Phase): LifecycleState {
  return phase === 'active' || phase === 'dead' ? phase : 'draining';
}

/** Whether the process takes nothing new, and ends what is open. */
export function isLeaving(phase: Phase): boolean {
  return phase === 'leaving' || phase === 'parting';
}

/** Whether new requests are refused. */
export function isRefusing(phase: Phase): boolean {
  return isLeaving(phase) || phase === 'dead';
}
