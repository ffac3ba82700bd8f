import { StreamClosedError } from '../errors.ts';

/** Whether an error only says that somebody stopped waiting: not a failure of whoever throws it. */
export function isAbort(error: unknown): boolean {
  return error instanceof StreamClosedError || (typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError');
}
