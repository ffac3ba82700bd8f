/** How a try of a request ended without an answer for the client. */
export type TryFailure =
  /** The request never left: no connection, or none that could be used. Safe for every method. */
  | { readonly kind: 'unsent' }
  /** It may have been processed. */
  | { readonly kind: 'failed' }
  /** The upstream answered that it cannot answer now. @property retryAfter - ms, if it said */
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter: number | undefined };

export interface RetryFacts {
  readonly method: string;
  /** Tries so far, this one included. */
  readonly tries: number;
  /** Whether the body can be sent again: there is none, or all that was sent of it is kept. */
  readonly isReplayable: boolean;
  /** Whether something went to the client. */
  readonly hasAnswered: boolean;
  /** ms to the deadline; `Infinity` without one. */
  readonly remaining: number;
}

export interface RetryPolicy {
  /** How many tries follow the first. */
  readonly limit: number;
  readonly statuses: ReadonlySet<number>;
  readonly minDelay: number;
  readonly maxDelay: number;
}

export type RetryDecision =
  | { readonly kind: 'retry'; readonly delay: number }
  | { readonly kind: 'give-up'; readonly why: 'answered' | 'limit' | 'body' | 'method' | 'status' | 'deadline' };

// RFC 9110 9.2.2: a proxy must not repeat other methods by itself.
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** Decides whether a request is tried again, and when. The budget is asked after this. */
export function decideRetry(
  failure: TryFailure,
  facts: RetryFacts,
  policy: RetryPolicy,
  random: () => number,
): RetryDecision {
  if (facts.hasAnswered) return giveUp('answered');
  if (facts.tries > policy.limit) return giveUp('limit');
  if (!facts.isReplayable) return giveUp('body');
  if (failure.kind !== 'unsent' && !idempotent.has(facts.method)) return giveUp('method');
  if (failure.kind === 'status' && !isRetried(failure, policy)) return giveUp('status');
  const asked = failure.kind === 'status' ? failure.retryAfter : undefined;
  const delay = asked ?? fullJitter(facts.tries, policy, random);
  return delay < facts.remaining && (asked === undefined || asked <= maxAsked)
    ? { kind: 'retry', delay }
    : giveUp('deadline');
}

// The client waits all that time. Longer than this it can wait by itself: it gets the answer with its Retry-After.
const maxAsked = 5_000;

function isRetried({ status, retryAfter }: TryFailure & { kind: 'status' }, policy: RetryPolicy): boolean {
  // RFC 6585 4: a client that is over its limit is asked to slow down, so only at the time that the upstream names.
  return policy.statuses.has(status) || (status === 429 && retryAfter !== undefined);
}

function fullJitter(tries: number, { minDelay, maxDelay }: RetryPolicy, random: () => number): number {
  return Math.round(random() * Math.min(maxDelay, minDelay * 2 ** (tries - 1)));
}

function giveUp(why: (RetryDecision & { kind: 'give-up' })['why']): RetryDecision {
  return { kind: 'give-up', why };
}

/**
 * Reads `Retry-After` (RFC 9110 10.2.3) as ms from now: whole seconds, or a date. Anything else is `undefined`.
 * @param now - ms since the epoch
 */
export function parseRetryAfter(field: string | null | undefined, now: number): number | undefined {
  if (field == null) return undefined;
  const text = field.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // IMF-fixdate and the two obsolete forms all begin with the name of a day.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)/i.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
