import { defineEvents, type Events } from '../internal/events.ts';
import type { RoutedRequest } from '../internal/http/framework.ts';
import { requestLabel } from '../internal/http/message.ts';

/** Message on `sluice:deadline:expired`: a request ran out of time. */
export interface DeadlineExpiredMessage {
  /** The request that ran out of time. */
  readonly req: RoutedRequest;
  /** Why: `DeadlineExceededError` or `IdleTimeoutError`. */
  readonly reason: Error;
  /** What happened to the response: answered with a status, cut, or closed by the stream that it carried. */
  readonly outcome: 'answer' | 'cut' | 'stream';
}

/** Message on `sluice:deadline:late`: a handler used its response after the deadline had answered it. No effect. */
export interface DeadlineLateMessage {
  /** The request whose handler was late. */
  readonly req: RoutedRequest;
  /** The method of the response that was called. */
  readonly method: string;
}

interface DeadlineEvents {
  readonly expired: DeadlineExpiredMessage;
  readonly late: DeadlineLateMessage;
}

export const deadlineEvents: Events<DeadlineEvents> = defineEvents<DeadlineEvents>('deadline', {
  expired: ({ req, outcome, reason }) => ['%s %s: %s', requestLabel(req), outcome, reason.message],
  late: ({ req, method }) => ['%s called %s too late', requestLabel(req), method],
});
