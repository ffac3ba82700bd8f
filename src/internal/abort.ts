import { StreamClosedError } from '../errors.ts';

/** Whether an error only says that nothing waits any more: not a failure of the code that throws it. */
export function isAbort(error: unknown): boolean {
  return (
    error instanceof StreamClosedError ||
    (typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError')
  );
}

// Node, undici and axios: what was being read or written has been cut.
const cutCodes: readonly unknown[] = [
  'ABORT_ERR',
  'ERR_CANCELED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_ABORTED',
];

/**
 * Whether an error that comes after a close only follows from it, whatever a source calls that: SDKs have classes of
 * their own, such as `APIUserAbortError`, without a name or a code.
 */
export function followsFromClose(error: unknown): boolean {
  let each = error;
  for (let depth = 0; typeof each === 'object' && each !== null && depth < 5; depth++) {
    const { code, cause } = each as { code?: unknown; cause?: unknown };
    if (isAbort(each) || cutCodes.includes(code) || /abort|cancel/i.test(classOf(each))) return true;
    each = cause;
  }
  return false;
}

/** By its shape: an error may be of another realm, or have no prototype. */
function classOf(error: object): string {
  const { constructor } = error as { constructor?: unknown };
  return typeof constructor === 'function' ? constructor.name : '';
}
