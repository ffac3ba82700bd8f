import type { AsyncResource } from 'node:async_hooks';
import { captureScope } from '../internal/context/async-scope.ts';
import { background, type Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { contextHere, runIn } from '../internal/context/request-context.ts';
import {
  type PropagateOptions,
  resolvePropagateOptions,
  type ResolvedPropagateOptions,
  writeTimeout,
} from './propagate.ts';

/** Options of `deadlineInterceptor`. */
export type DeadlineInterceptorOptions = PropagateOptions;

/** What the options of a dispatch take beside those of `undici`. */
export interface DeadlineDispatchOptions {
  /**
   * The context of the call. `backgroundContext`: for work that outlives the request. @defaultValue `currentContext()`
   */
  context?: RequestContext | undefined;
}

/** The `dispatch` of `undici`. The library does not import `undici`: the application has its own. */
export type DispatchFunction = (options: never, handler: never) => boolean;

/** What `compose` of a dispatcher takes. */
export type DeadlineInterceptor = <D extends DispatchFunction>(dispatch: D) => D;

interface DispatchOptions extends DeadlineDispatchOptions {
  headers?: unknown;
}

type Dispatch = (options: DispatchOptions, handler: DispatchHandler) => boolean;

interface DispatchController {
  abort(reason: unknown): void;
  pause(): void;
  resume(): void;
  readonly aborted: boolean;
  readonly paused: boolean;
  readonly reason: unknown;
  readonly rawHeaders?: unknown;
  readonly rawTrailers?: unknown;
}

interface DispatchHandler {
  onRequestStart?(controller: DispatchController, context: unknown): unknown;
  onBodySent?(chunk: unknown): unknown;
  onRequestSent?(): unknown;
  onResponseStarted?(): unknown;
  onRequestUpgrade?(controller: DispatchController, status: number, headers: unknown, socket: unknown): unknown;
  onResponseStart?(controller: DispatchController, status: number, headers: unknown, statusText: unknown): unknown;
  onResponseData?(controller: DispatchController, chunk: unknown): unknown;
  onResponseEnd?(controller: DispatchController, trailers: unknown): unknown;
  onResponseError?(controller: DispatchController, error: unknown): unknown;
}

/**
 * Makes an interceptor for `undici` 7 and 8: `new Agent().compose(deadlineInterceptor())`. Each call carries the
 * remaining time of the current context, as `propagate` writes it, and aborts with the context, even in the middle of a
 * body. If the context is aborted or out of time, nothing is dispatched. Compose it before `retry`, so that each
 * attempt carries the time that remains then.
 *
 * Throws `InvalidOptionError`.
 */
export function deadlineInterceptor(options?: DeadlineInterceptorOptions): DeadlineInterceptor {
  const propagation = resolvePropagateOptions('deadlineInterceptor', options);
  return function deadlineInterceptor<D extends DispatchFunction>(dispatch: D): D {
    return interceptDispatch(dispatch as unknown as Dispatch, propagation) as unknown as D;
  };
}

function interceptDispatch(dispatch: Dispatch, propagation: ResolvedPropagateOptions): Dispatch {
  return function dispatchInContext(options, handler) {
    let context: Context;
    let headers: unknown;
    try {
      context =
        options.context === undefined
          ? (contextHere() ?? background)
          : requireContext('dispatch.context', options.context);
      headers = withTimeout(context, options.headers, propagation);
    } catch (reason) {
      handler.onResponseError?.(refusedController(reason), reason);
      return true;
    }
    const call = new CallHandler(handler, context);
    try {
      return dispatch({ ...options, headers }, call);
    } catch (error) {
      call.close();
      throw error;
    }
  };
}

/**
 * Stands between `undici` and the handler of one call.
 *
 *     queued ──onRequestStart──▶ started ──end, error, upgrade──▶ done
 *       └─────────────── context aborted ────────────────────────▶ done
 *
 * The handler runs in the async context of the call. A callback of a pooled socket runs in that of the call that opened
 * the socket, so a retry that starts there would belong to another request.
 */
class CallHandler implements DispatchHandler {
  /** `undefined` once the call is done. */
  #handler: DispatchHandler | undefined;
  /** The async context of the dispatch, with the context of the call as the current one. */
  readonly #scope: AsyncResource;
  #call: Context;
  /** `undefined` while the call is queued. */
  #controller: DispatchController | undefined;

  constructor(handler: DispatchHandler, context: Context) {
    this.#handler = handler;
    this.#scope = runIn(context, captureScope);
    this.#call = context.child();
    this.#call.onAbort((reason) => this.#abort(reason));
  }

  /** Releases the handler and the context. */
  close(): void {
    this.#handler = this.#controller = undefined;
    this.#call.dispose();
  }

  onRequestStart(controller: DispatchController, context: unknown): void {
    if (!this.#handler) {
      // Its context aborted while the call waited for its turn, or for another attempt.
      controller.abort(this.#call.reason);
      return;
    }
    this.#controller = controller;
    this.#callHandler((handler) => handler.onRequestStart?.(controller, context));
  }

  onBodySent(chunk: unknown): void {
    this.#callHandler((handler) => handler.onBodySent?.(chunk));
  }

  onRequestSent(): void {
    this.#callHandler((handler) => handler.onRequestSent?.());
  }

  onResponseStarted(): void {
    this.#callHandler((handler) => handler.onResponseStarted?.());
  }

  onRequestUpgrade(controller: DispatchController, status: number, headers: unknown, socket: unknown): unknown {
    return this.#callLast((handler) => handler.onRequestUpgrade?.(controller, status, headers, socket));
  }

  onResponseStart(controller: DispatchController, status: number, headers: unknown, statusText: unknown): unknown {
    return this.#callHandler((handler) => handler.onResponseStart?.(controller, status, headers, statusText));
  }

  onResponseData(controller: DispatchController, chunk: unknown): unknown {
    return this.#callHandler((handler) => handler.onResponseData?.(controller, chunk));
  }

  onResponseEnd(controller: DispatchController, trailers: unknown): void {
    this.#callLast((handler) => handler.onResponseEnd?.(controller, trailers));
  }

  onResponseError(controller: DispatchController, error: unknown): void {
    const handler = this.#handler;
    this.close();
    if (handler) this.#scope.runInAsyncScope(() => handler.onResponseError?.(controller, error));
  }

  #abort(reason: unknown): void {
    const controller = this.#controller;
    controller?.abort(reason);
    // `undici` has told the handler, unless it has no connection yet, or an interceptor waits before another attempt.
    this.onResponseError(controller ?? refusedController(reason), reason);
  }

  #callHandler(call: (handler: DispatchHandler) => unknown): unknown {
    const handler = this.#handler;
    return handler && this.#scope.runInAsyncScope(call, undefined, handler);
  }

  #callLast(call: (handler: DispatchHandler) => unknown): unknown {
    const handler = this.#handler;
    if (!handler) return undefined;
    this.#handler = undefined;
    try {
      const result = this.#scope.runInAsyncScope(call, undefined, handler);
      this.close();
      return result;
    } catch (error) {
      // It was not the last call: `undici` passes the error to the handler. Its retry works so after a bad status.
      this.#handler = handler;
      throw error;
    }
  }
}

/** The controller of a call that was not made. */
function refusedController(reason: unknown): DispatchController {
  const ignore = (): void => undefined;
  return {
    abort: ignore,
    pause: ignore,
    resume: ignore,
    aborted: true,
    paused: false,
    reason,
    rawHeaders: null,
    rawTrailers: null,
  };
}

/** Headers of any shape that `undici` takes, as an object with the timeout in it. Other shapes are left to `undici`. */
function withTimeout(context: Context, headers: unknown, propagation: ResolvedPropagateOptions): unknown {
  const record = recordOf(headers);
  writeTimeout(context, record ?? {}, propagation);
  return record ?? headers;
}

function recordOf(headers: unknown): Record<string, unknown> | undefined {
  if (headers == null) return {};
  if (typeof headers !== 'object') return undefined;
  const fields = new Map<string, unknown>();
  for (const pair of pairsOf(headers)) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') return undefined;
    const [name, value] = pair as [string, unknown];
    fields.set(name, fields.has(name) ? [fields.get(name), value].flat() : value);
  }
  return Object.fromEntries(fields);
}

function pairsOf(headers: object): Iterable<unknown> {
  if (!Array.isArray(headers))
    return Symbol.iterator in headers ? (headers as Iterable<unknown>) : Object.entries(headers);
  const list: unknown[] = headers;
  if (Array.isArray(list[0])) return list;
  return Array.from({ length: Math.ceil(list.length / 2) }, (_, pair) => list.slice(2 * pair, 2 * pair + 2));
}
