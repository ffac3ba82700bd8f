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
}

/** How long a connection may be silent, in milliseconds. */
export function silenceLimit(heartbeat: number): number {
  return patience * heartbeat;
}

/**
 * Milliseconds until the watchdog has to look again; 0: the connection is dead.
 *
 * A timer that is late by more than a heartbeat was frozen, with the tab or the machine. So was the code that reads,
 * and what came meanwhile may wait to be read. It gets one heartbeat. The same for a clock that was set.
 */
export function judgeSilence({ now, heardAt, dueAt, heartbeat }: SilenceFacts): number {
  if (now < heardAt || now - dueAt > heartbeat) return heartbeat;
  return Math.max(0, heardAt + silenceLimit(heartbeat) - now);
}
