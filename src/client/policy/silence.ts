// One heartbeat may be late, or lost with a packet that is sent again. A second one that is missing is no accident.
const patience = 2.5;

/** What the watchdog sees when its timer fires. All times in milliseconds since 1970. */
export interface SilenceFacts {
  readonly now: number;
  /** When something last came, or the wait for it began. */
  readonly heardAt: number;
  /** When the timer was to fire. */
  readonly dueAt: number;
  /** Milliseconds between two heartbeats of the server. */
  readonly heartbeat: number;
  /** Whether a timer was late before, and nothing came since. */
  readonly wasLate: boolean;
}

/** `dead`: it is lost · `wait`: look again after `delay` ms · `late`: the same, and the timer was late. */
export type Verdict = { readonly kind: 'dead' } | { readonly kind: 'wait' | 'late'; readonly delay: number };

/** How long a connection may be silent, in milliseconds. */
export function silenceLimit(heartbeat: number): number {
  return patience * heartbeat;
}

/**
 * What the watchdog makes of silence. It looks twice in a heartbeat, to notice when the tab or the machine is frozen.
 *
 * A timer that is late by more than half a heartbeat was frozen. So was the code that reads, and what came meanwhile
 * may wait to be read: it gets one heartbeat, once. In a hidden tab every timer may be late.
 */
export function judgeSilence({ now, heardAt, dueAt, heartbeat, wasLate }: SilenceFacts): Verdict {
  // The same for a clock that was set back.
  if (!wasLate && (now < heardAt || now - dueAt > heartbeat / 2)) return { kind: 'late', delay: heartbeat };
  const left = heardAt + silenceLimit(heartbeat) - now;
  return left > 0 ? { kind: 'wait', delay: Math.min(left, heartbeat / 2) } : { kind: 'dead' };
}
