import type { RunStatus } from '../../policy/answer.ts';

/** How a run ends, as far as it is known. */
export interface RunOutcome {
  readonly status: RunStatus;
  readonly error?: unknown;
  readonly value?: unknown;
}

/**
 * Where a run is, in the process that produces it.
 *
 *     running ──returned, threw──▶ ending ──recorded──▶ ended
 *        └──stop──▶ stopping ──returned, threw──▲
 *     any of these but `ended` ──fenced──▶ fenced
 */
export type RunState =
  | { readonly phase: 'running' }
  /** The generator was told to stop. Nothing that it yields is published any more. */
  | { readonly phase: 'stopping'; readonly outcome: RunOutcome }
  /** The generator is over, and the last entry is on its way. */
  | { readonly phase: 'ending'; readonly outcome: RunOutcome }
  /** The last entry is in the log, and is ours. */
  | { readonly phase: 'ended'; readonly outcome: RunOutcome }
  /** Another process has the run. */
  | { readonly phase: 'fenced' };

/** What happens to a run. */
export type RunEvent =
  | { readonly type: 'returned'; readonly value: unknown }
  | { readonly type: 'threw'; readonly error: unknown }
  /** A reason to stop: a cancel, a deadline, an entry that could not be appended. The first one counts. */
  | { readonly type: 'stop'; readonly status: RunStatus; readonly error: unknown }
  | { readonly type: 'recorded' }
  | { readonly type: 'fenced' };

export const running: RunState = { phase: 'running' };

/** The one place that moves a run. An event that does not fit changes nothing. */
export function moveRun(state: RunState, event: RunEvent): RunState {
  switch (event.type) {
    case 'returned':
      if (state.phase === 'running') return { phase: 'ending', outcome: { status: 'done', value: event.value } };
      // What a generator returns after a stop, such as the usage so far, still counts.
      if (state.phase === 'stopping') return { phase: 'ending', outcome: { ...state.outcome, value: event.value } };
      return state;
    case 'threw':
      if (state.phase === 'running') return { phase: 'ending', outcome: { status: 'failed', error: event.error } };
      // Most often it is the abort, which was our doing.
      return state.phase === 'stopping' ? { phase: 'ending', outcome: state.outcome } : state;
    case 'stop':
      return state.phase === 'running' ? { phase: 'stopping', outcome: outcomeOf(event) } : stopEnding(state, event);
    case 'recorded':
      return state.phase === 'ending' ? { phase: 'ended', outcome: state.outcome } : state;
    case 'fenced':
      return state.phase === 'ended' ? state : { phase: 'fenced' };
  }
}

/** An entry that could not be appended is a hole in an answer that the generator had finished. */
function stopEnding(state: RunState, event: RunEvent & { type: 'stop' }): RunState {
  const isHole = state.phase === 'ending' && state.outcome.status === 'done' && event.status === 'failed';
  return isHole ? { phase: 'ending', outcome: { ...state.outcome, ...outcomeOf(event) } } : state;
}

function outcomeOf({ status, error }: RunEvent & { type: 'stop' }): RunOutcome {
  return { status, error };
}
