import { background, type Context, requireContext, type RequestContext } from '../internal/context/context.ts';
import { contextFor, contextHere, contextIn, runIn, setContext } from '../internal/context/request-context.ts';
import { DeadlineQueue } from '../internal/time/deadline-queue.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { requireFunction } from '../internal/option.ts';
import { decideDeadline } from './policy/decide.ts';
import { type DeadlineOptions, resolveDeadlineOptions } from './options.ts';
import { type DeadlineSettings, Scope } from './scope.ts';
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
  /** Calls that handlers made on responses that were taken from them: each did nothing. */
  readonly lateCalls: number;
}

/**
 * Gives each request a context: one deadline, the shortest of what its client asks for and what the options allow, and
 * one signal, which aborts at the deadline or when the client leaves. When the deadline passes before the head, the
 * request is answered 504; after it, a stream closes with the reason `deadline` and any other body is cut. The
 * handler's later calls on the response do nothing and throw nothing.
 *
 * Mounted again, further in, it can only shorten. Throws `InvalidOptionError`.
 */
export function deadline(given?: DeadlineOptions): Deadline {
  const options = resolveDeadlineOptions(given);
  let lateCalls = 0;
  const settings: DeadlineSettings = { options, queue: new DeadlineQueue(), onLate: () => void (lateCalls += 1) };
  function deadline(req: HttpRequest, res: HttpResponse, next: Next): void {
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
 * The context of a request. Without `deadline` or `lifecycle` before it, one that has no deadline and never aborts.
 */
export function contextOf(req: HttpRequest): RequestContext {
  return contextFor(req) ?? background;
}

/**
 * The context of the request whose handler is running, also behind an `await`; in a stream's handler that of the
 * stream. Outside of requests, and in listeners of something that is older than the request, one that has no deadline
 * and never aborts.
 */
export function currentContext(): RequestContext {
  return contextHere() ?? background;
}

/**
 * Calls a function, and all that it waits for, in a context: in that of a request where it got lost, such as in an
 * event listener; or in `backgroundContext`, for work that goes on when the request is over. Throws
 * `InvalidOptionError`.
 */
export function runInContext<T>(context: RequestContext, call: () => T): T {
  requireFunction('runInContext.call', call);
  return runIn(requireContext('runInContext.context', context), call);
}

/** The context of work that belongs to no request: without a deadline, and never aborted. */
export const backgroundContext: RequestContext = background;

/** `undefined` for a request that came too late, and is answered, or whose client has left. */
function openContext(settings: DeadlineSettings, req: HttpRequest, res: HttpResponse): Context | undefined {
  const { options } = settings;
  const asked = options.trusts(req) ? readTimeout(req.headers, options.sources) : Infinity;
  const { total, hard } = decideDeadline(options, asked);
  const scope = new Scope(contextIn(req), settings, total, req, res);
  setContext(req, res, scope);
  scope.begin(total, hard);
  return scope.isLive ? scope : undefined;
}
