import { background, type Context, requireContext, type RequestContext } from '../internal/context/context.ts';
import { contextFor, contextHere, contextIn, runIn, setContext } from '../internal/context/request-context.ts';
import { DeadlineQueue } from '../internal/time/deadline-queue.ts';
import { type HttpRequest, type HttpResponse, type Next, requireRequest } from '../internal/http/message.ts';
import { mountings } from '../internal/mounting.ts';
import { requireFunction } from '../internal/option.ts';
import { decideDeadline } from './policy/decide.ts';
import { type DeadlineOptions, resolveDeadlineOptions } from './options.ts';
import { type DeadlineSettings, RequestDeadline } from './request-deadline.ts';
import { readTimeout } from './policy/source.ts';

export { ClientClosedError, DeadlineExceededError, DrainingError, IdleTimeoutError } from '../errors.ts';
export type { ChildContext, ChildOptions, RequestContext } from '../internal/context/context.ts';
export { contextFetch, type ContextFetch, type ContextFetchInit, type FetchFunction } from './context-fetch.ts';
export { type DeadlineDispatchOptions, deadlineInterceptor, type DispatchFunction } from './interceptor.ts';
export type { DeadlineOptions } from './options.ts';
export { propagate, type PropagateOptions } from './propagate.ts';
export type { DeadlineExpiredMessage, DeadlineLateMessage } from './events.ts';
export type { DeadlineSource } from './policy/source.ts';
export type { TimeoutField } from './policy/timeout-field.ts';

/** The middleware that `deadline` makes. */
export interface Deadline {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** How many calls of handlers came after the deadline had answered. Each did nothing. */
  readonly lateCalls: number;
}

/**
 * Gives each request a context with one deadline and one AbortSignal. The deadline is the shortest of what the client
 * asks for and what the options allow. The signal aborts at the deadline, or when the client leaves.
 *
 * A deadline that passes before the headers are sent answers 504. After that, it closes a stream with the reason
 * `deadline`, and cuts any other body. Later calls of the handler on the response do nothing and throw nothing.
 *
 * A second mount can only shorten the deadline. Throws `InvalidOptionError`.
 */
export function deadline(given?: DeadlineOptions): Deadline {
  const options = resolveDeadlineOptions(given);
  let lateCalls = 0;
  mountings.deadline.noteMade();
  const settings: DeadlineSettings = { options, queue: new DeadlineQueue(), onLate: () => void (lateCalls += 1) };
  function deadline(req: HttpRequest, res: HttpResponse, next: Next): void {
    mountings.deadline.notePassed(req, res);
    const context = openContext(settings, req, res);
    if (!context) return;
    if (options.asyncContext) runIn(context, next);
    else next();
  }
  return Object.defineProperties(deadline, {
    lateCalls: { get: () => lateCalls, enumerable: true },
  }) as unknown as Deadline;
}

/**
 * Returns the context of a request. Without `deadline` or `lifecycle` before it, the context has no deadline and never
 * aborts. Throws `InvalidOptionError` for what is no request.
 */
export function contextOf(req: HttpRequest): RequestContext {
  const context = contextFor(req);
  if (!context) requireRequest('contextOf.req', req);
  return context ?? background;
}

/**
 * Returns the context of the request whose handler runs, also after an `await`. In a stream's handler it is the
 * stream's. Outside requests, and in listeners of objects older than the request, it has no deadline and never aborts.
 */
export function currentContext(): RequestContext {
  return contextHere() ?? background;
}

/**
 * Calls a function in a context, with everything that it awaits. Use a request's context where it got lost, such as in
 * an event listener. Use `backgroundContext` for work that goes on after the request. Throws `InvalidOptionError`.
 */
export function runInContext<T>(context: RequestContext, call: () => T): T {
  requireFunction('runInContext.call', call);
  return runIn(requireContext('runInContext.context', context), call);
}

/** The context of work that belongs to no request. It has no deadline and never aborts. */
export const backgroundContext: RequestContext = background;

/** `undefined`: the deadline had passed on arrival, and the request is answered; or the client has left. */
function openContext(settings: DeadlineSettings, req: HttpRequest, res: HttpResponse): Context | undefined {
  const { options } = settings;
  const asked = options.trusts(req) ? readTimeout(req.headers, options.sources) : Infinity;
  const { total, hard } = decideDeadline(options, asked);
  const context = new RequestDeadline(contextIn(req), settings, total, req, res);
  setContext(req, res, context);
  context.begin(total, hard);
  return context.isLive ? context : undefined;
}
