/**
 * What an error of the transport means.
 *
 * - `unreachable`: the upstream could not be reached, or broke off
 * - `timeout`: one of the clocks ran out
 * - `bad-request`: the request itself cannot be passed on
 */
export type FailureKind = 'unreachable' | 'timeout' | 'bad-request';

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);

export function kindOfError(error: unknown): FailureKind {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code === 'string' && timeoutCodes.has(code)) return 'timeout';
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED') return 'bad-request';
  return 'unreachable';
}
