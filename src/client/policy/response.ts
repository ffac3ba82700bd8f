import { ClientError } from '../client-error.ts';
import type { Outcome } from './outcome.ts';

/** What decides what a response means. */
export interface ResponseFacts {
  readonly status: number;
  readonly contentType: string | null;
  readonly retryAfter: string | null;
  /** Whether this connection has been open before. */
  readonly hasBeenOpen: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
}

// Statuses of a client's fault that pass by themselves: a timeout, an early request, too many requests.
const passing = [408, 425, 429];

/**
 * The outcome of a response that is no event stream; `undefined`: it is one.
 *
 * | status | media type | outcome |
 * |---|---|---|
 * | 200 | `text/event-stream` | – |
 * | 200 | another | failed; lost, once it has been open: a proxy says that it is busy, a network wants a log-in |
 * | 204 | | stopped (WHATWG HTML 9.2.3) |
 * | 408, 425, 429, 5xx | | lost, with `Retry-After` |
 * | any other | | failed |
 */
export function decideResponse(facts: ResponseFacts): Outcome | undefined {
  const { status, contentType } = facts;
  if (status === 204) return { kind: 'stopped' };
  if (status === 200) {
    if (isEventStream(contentType)) return undefined;
    const message = `Expected text/event-stream, got ${contentType}`;
    const error = new ClientError('ERR_SLUICE_CLIENT_CONTENT_TYPE', message, { status });
    return { kind: facts.hasBeenOpen ? 'lost' : 'failed', error };
  }
  const error = new ClientError('ERR_SLUICE_CLIENT_REFUSED', `The server answered ${status}`, { status });
  if (status < 500 && !passing.includes(status)) return { kind: 'failed', error };
  return { kind: 'lost', error, after: parseRetryAfter(facts.retryAfter, facts.now) };
}

function isEventStream(contentType: string | null): boolean {
  return /^\s*text\/event-stream\s*(;|$)/i.test(contentType ?? '');
}

/** RFC 9110 10.2.3: whole seconds, or a date. Milliseconds from now; `undefined` for anything else. */
export function parseRetryAfter(value: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // A date begins with the name of a day. `Date.parse` alone reads `-1` as the year 2001.
  const at = /^[A-Z][a-z]+/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
