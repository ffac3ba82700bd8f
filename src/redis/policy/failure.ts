/**
 * What to do about a command that failed.
 *
 * - `refused`: Redis has answered, and will answer the same again
 * - `later`: Redis is starting, failing over, or busy: the same connection may do it soon
 * - `elsewhere`: the connection leads to a server that takes no writes: another one may lead to the right server
 * - `unknown`: the connection failed, and the command may have been executed
 */
export type Failure = 'refused' | 'later' | 'elsewhere' | 'unknown';

const passing = new Set(['LOADING', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS']);

// As Redis before 7 says it: `ERR Error running script (call to f_…): @user_script:1: -READONLY You can't write …`
const inScript = /^ERR Error running script.*? -(?=[A-Z]+ )/;

/** Judges by the message: an error of Redis begins with its code, in capitals, and one of a connection does not. */
export function judgeFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message.replace(inScript, '') : '';
  const code = /^-?([A-Z][A-Z0-9]+)\b/.exec(message)?.[1];
  // Codes of Node, such as ECONNRESET, are no answer.
  if (code === undefined || /^E[A-Z]{4,}$/.test(code)) return 'unknown';
  if (passing.has(code)) return 'later';
  return code === 'READONLY' ? 'elsewhere' : 'refused';
}
