import { channel } from 'node:diagnostics_channel';
import debug from 'debug';
import type { HttpRequest } from '../internal/http/message.ts';

const expiries = channel('sluice:deadline:expired');
const lates = channel('sluice:deadline:late');
const log = debug('sluice:deadline');

/** Message on `sluice:deadline:expired`: a request whose time was over before it was done. */
export interface DeadlineExpiredMessage {
  readonly req: HttpRequest;
  /** Why: `DeadlineExceededError` or `IdleTimeoutError`. */
  readonly reason: Error;
  /** What became of the response: answered with a status, cut, or closed by the stream that it carried. */
  readonly outcome: 'answer' | 'cut' | 'stream';
}

/**
 * Message on `sluice:deadline:late`: a handler used its response after that was taken from it. The call did nothing.
 */
export interface DeadlineLateMessage {
  readonly req: HttpRequest;
  /** The method of the response that was called. */
  readonly method: string;
}

/** Tells observers that the time of a request was over. */
export function reportExpired(message: DeadlineExpiredMessage): void {
  log('%s %s %s: %s', message.req.method, message.req.url, message.outcome, message.reason.message);
  if (expiries.hasSubscribers) expiries.publish(message);
}

/** Tells observers of a call that came too late. */
export function reportLate(message: DeadlineLateMessage): void {
  log('%s %s called %s too late', message.req.method, message.req.url, message.method);
  if (lates.hasSubscribers) lates.publish(message);
}
