import { DeadlineExceededError } from '../../errors.ts';

/** How a request failed before its response could begin. */
export type FailureKind =
  /** The upstream could not be reached, or broke off. 502. */
  | 'unreachable'
  /** One of the clocks ran out. 504. */
  | 'timeout'
  /** No upstream takes requests. 503. */
  | 'unavailable'
  /** The request itself cannot be passed on. 400. */
  | 'bad-request'
  /** The client left first. 499, which is only counted: there is no one to answer. */
  | 'client-closed'
  /** The application's own code failed: a route, a rewrite. 500. */
  | 'internal';

const statuses: Readonly<Record<FailureKind, number>> = {
  unreachable: 502,
  timeout: 504,
  unavailable: 503,
  'bad-request': 400,
  'client-closed': 499,
  internal: 500,
};

export function statusOf(kind: FailureKind): number {
  return statuses[kind];
}

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);

/** What an error of the transport means. */
export function kindOfError(error: unknown): FailureKind {
  if (error instanceof DeadlineExceededError) return 'timeout';
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code === 'string' && timeoutCodes.has(code)) return 'timeout';
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'bad-request';
  return 'unreachable';
}
