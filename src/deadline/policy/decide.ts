/** The options, in ms since the request arrived. `Infinity`: no limit. */
export interface DeadlineBounds {
  readonly default: number;
  readonly max: number;
  readonly idle: number;
}

/** The deadlines of a request, in ms since it arrived. */
export interface DeadlineDecision {
  /** From arrival to end. */
  readonly total: number;
  /** What still holds once an idle deadline has replaced `default`. */
  readonly hard: number;
}

/**
 * The one decision about the deadline of a request. A client can only shorten it.
 * @param asked - what the client asks for, in ms from now; `Infinity`: nothing
 */
export function decideDeadline({ default: usual, max, idle }: DeadlineBounds, asked: number): DeadlineDecision {
  const hard = Math.min(asked, max);
  const total = Math.min(hard, usual);
  return { total, hard: idle === Infinity ? total : hard };
}

/** The state of a response when its context aborts. */
export interface ExpiryFacts {
  /** The connection has closed. */
  readonly gone: boolean;
  /** The handler has ended it in time. Delivery takes as long as it takes. */
  readonly ended: boolean;
  readonly headersSent: boolean;
  /** It carries a stream of this library, which closes by its own rules. */
  readonly streamed: boolean;
}

/** `answer` with a status; `cut`, as an incomplete body must not look complete; or leave it to the `stream`. */
export type ExpiryOutcome = 'nothing' | 'answer' | 'cut' | 'stream';

/** What to do with a response that is out of time. */
export function decideExpiry({ gone, ended, headersSent, streamed }: ExpiryFacts): ExpiryOutcome {
  if (gone || ended) return 'nothing';
  if (!headersSent) return 'answer';
  return streamed ? 'stream' : 'cut';
}
