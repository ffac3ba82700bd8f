/** When an alert fires. */
export interface AlertRule {
  /** The number that must not pass the threshold. `null` is none, and passes nothing. */
  readonly name: string;
  readonly above: number;
  /** How long it must be above, in ms. */
  readonly for: number;
}

/** What is known of one alert: not above, above since a moment, or firing since one. */
export type AlertState =
  | { readonly kind: 'quiet' }
  | { readonly kind: 'pending'; readonly since: number }
  | { readonly kind: 'firing'; readonly since: number };

export const quiet: AlertState = { kind: 'quiet' };

/**
 * The next state of an alert:
 *
 *     quiet ──above──▶ pending ──above for long enough──▶ firing
 *       ▲                 │                                 │
 *       └───not above─────┴────────────not above────────────┘
 *
 * @param now - ms
 */
export function nextAlert(rule: AlertRule, state: AlertState, value: number | null, now: number): AlertState {
  if (value === null || !(value > rule.above)) return quiet;
  if (state.kind === 'firing') return state;
  const since = state.kind === 'pending' ? state.since : now;
  return now - since >= rule.for ? { kind: 'firing', since: now } : { kind: 'pending', since };
}
