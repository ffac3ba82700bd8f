/** What is allowed: durations in ms from the arrival of the request, `Infinity` for none. */
export interface DeadlineBounds {
  readonly default: number;
  readonly max: number;
  readonly idle: number;
}

/** The deadlines of a request, in ms from its arrival. */
export interface DeadlineDecision {
  /** The whole of it. */
  readonly total: number;
  /** What still holds when a response that comes in pieces has traded `default` for an idle deadline. */
  readonly hard: number;
}

/**
 * The one decision about the deadline of a request. It only shrinks. @param asked - by the client: ms from now,
 * `Infinity` for nothing
 */
export function decideDeadline({ default: usual, max, idle }: DeadlineBounds, asked: number): DeadlineDecision {
  const hard = Math.min(asked, max);
  const total = Math.min(hard, usual);
  return { total, hard: idle === Infinity ? total : hard };
}

/** What a response is like when its context is aborted. */
export interface ExpiryFacts {
  /** The connection is gone. */
  readonly gone: boolean;
  /** The handler has ended it: it answered in time, and delivering takes what it takes. */
  readonly ended: boolean;
  readonly headersSent: boolean;
  /** A stream of this library is on it, which closes by rules of its own. */
  readonly streamed: boolean;
}

/**
 * `answer` it with a status, `cut` it, since a body that cannot go on must not look complete, or leave it to its
 * `stream`.
 */
export type ExpiryOutcome = 'nothing' | 'answer' | 'cut' | 'stream';

/** What to do with a response whose time is over. */
export function decideExpiry({ gone, ended, headersSent, streamed }: ExpiryFacts): ExpiryOutcome {
  if (gone || ended) return 'nothing';
  if (!headersSent) return 'answer';
  return streamed ? 'stream' : 'cut';
}
