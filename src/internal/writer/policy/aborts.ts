import { closeError, StreamClosedError } from '../../../errors.ts';
import { handled } from '../../deferred.ts';

/** Whether an error only says that its result is not wanted any more: the code that throws it has not failed. */
export function isAbort(error: unknown): boolean {
  return (
    error instanceof StreamClosedError ||
    (typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError')
  );
}

// Of Node, undici and axios: the connection or the call was cut.
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
 * Whether an error that comes after a close may be a consequence of it. By code or class name, since SDKs have classes
 * of their own, such as `APIUserAbortError`.
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

/** A rejection for an item that comes too late. Handled already: its sender may not wait. */
export function refused(closedError: StreamClosedError | undefined): Promise<never> {
  const cause = closedError ?? closeError('ended');
  return handled(Promise.reject(new StreamClosedError(cause.reason, undefined, { cause })));
}
