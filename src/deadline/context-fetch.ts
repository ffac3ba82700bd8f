import { finished } from 'node:stream';
import { InvalidOptionError } from '../errors.ts';
import { background, Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { contextHere } from '../internal/context/request-context.ts';
import { type Duration, readDuration, readFunction } from '../internal/option.ts';
import { type PropagateOptions, resolvePropagateOptions, writeTimeout } from './propagate.ts';

/** Options of `contextFetch`. */
export type ContextFetchOptions = PropagateOptions;

/** What `init` takes beside what the wrapped `fetch` takes. */
export interface ContextFetchInit {
  /**
   * The context to call for; `backgroundContext` for work that outlives the request. @defaultValue `currentContext()`
   */
  context?: RequestContext;
  /**
   * The most that the call may take, its body included: milliseconds or a string for `ms`. It never outlives the
   * context. @defaultValue `Infinity`
   */
  timeout?: Duration;
}

/** A function like `fetch`: of Node, of `undici`, or one that wraps it. */
export type FetchFunction = (input: never, init?: never) => Promise<{ readonly body?: unknown }>;

/** The same function, with `context` and `timeout` in `init`. */
export type ContextFetch<F extends FetchFunction> = (
  input: Parameters<F>[0],
  init?: InitOf<F> & ContextFetchInit,
) => ReturnType<F>;

type InitOf<F extends FetchFunction> = Exclude<Parameters<F>[1], null | undefined>;

/** Of a `Request`, whoever made it. */
type RequestLike = Pick<Request, 'headers' | 'signal' | 'referrer' | 'referrerPolicy'>;

interface SignalSource {
  readonly signal: AbortSignal;
}

/** What of `init` matters here. */
interface Init extends ContextFetchInit {
  headers?: ConstructorParameters<typeof Headers>[0];
  signal?: AbortSignal | null;
}

/**
 * Wraps `fetch` so that a call ends when nobody waits for it any more. It carries what is left of the deadline, as
 * `propagate` writes it; it is aborted, its body included, with the context or with the signal that it was given, and
 * rejects with that reason. On a context that is aborted or expired `fetch` is not called at all.
 *
 * The response is the one of `fetch`. What watches the call is let go when its body was read or cancelled, and with the
 * context at the latest.
 *
 * @param fetch - @defaultValue `globalThis.fetch`, at the time of the call
 *
 * Throws `InvalidOptionError`; the function that it returns rejects with it.
 */
export function contextFetch(fetch?: undefined, options?: ContextFetchOptions): ContextFetch<typeof globalThis.fetch>;
export function contextFetch<F extends FetchFunction>(fetch: F, options?: ContextFetchOptions): ContextFetch<F>;
export function contextFetch(fetch?: FetchFunction, options?: ContextFetchOptions): unknown {
  const wrapped = readFunction('contextFetch.fetch', fetch);
  const propagation = resolvePropagateOptions('contextFetch', options);

  async function contextFetch(input: unknown, given?: Init): Promise<{ readonly body?: unknown }> {
    const { context, timeout, ...init } = given ?? {};
    const request = isRequest(input) ? input : undefined;
    const source = signalSource(request, init);
    const call = openCall(context, timeout);
    const unfollow = source && follow(call, source);
    const close = (): void => {
      unfollow?.();
      call.dispose();
    };
    try {
      const headers = new Headers(init.headers ?? request?.headers);
      writeTimeout(call, headers, propagation);
      const response = await (wrapped ?? globalThis.fetch)(
        input as never,
        { ...referrerOf(request), ...init, headers, signal: call.signal } as never,
      );
      whenRead(response.body, close);
      return response;
    } catch (error) {
      const reason: unknown = call.signal.aborted ? call.signal.reason : error;
      close();
      throw reason;
    }
  }

  return contextFetch;
}

function openCall(context: RequestContext | undefined, timeout: Duration = Infinity): Context {
  const parent =
    context === undefined ? (contextHere() ?? background) : requireContext('contextFetch.context', context);
  return new Context(parent, timeout === Infinity ? Infinity : readDuration('contextFetch.timeout', timeout));
}

function isRequest(input: unknown): input is RequestLike {
  return typeof input === 'object' && input !== null && 'headers' in input && 'signal' in input;
}

/**
 * Whose signal counts: the one of `init`, also when it says that there is none, before the one of a `Request`. Throws
 * `InvalidOptionError`.
 */
function signalSource(request: RequestLike | undefined, init: Init): SignalSource | undefined {
  const source = init.signal === undefined ? request : init;
  const signal = source?.signal;
  if (signal == null) return undefined;
  if (typeof (signal as Partial<AbortSignal>).addEventListener !== 'function')
    throw new InvalidOptionError('contextFetch.signal', 'an AbortSignal', signal);
  return source as SignalSource;
}

/**
 * Aborts a call with a signal, by one listener, gone when the call is over. Returns the undo. The source is held, and
 * not its signal alone: it is the `Request` that keeps alive what makes its signal follow the one that it was made
 * with.
 */
function follow(call: Context, source: SignalSource): () => void {
  const sourceOnAbort = (): void => call.abort(source.signal.reason);
  const unfollow = (): void => source.signal.removeEventListener('abort', sourceOnAbort);
  if (source.signal.aborted) sourceOnAbort();
  else source.signal.addEventListener('abort', sourceOnAbort);
  call.onAbort(unfollow);
  return unfollow;
}

/** A `Request` loses them to any `init`. */
function referrerOf(request: RequestLike | undefined): Partial<RequestLike> {
  return request ? { referrer: request.referrer, referrerPolicy: request.referrerPolicy } : {};
}

/**
 * Bodies that nobody can read any more, for what watches them. Node's own `fetch` cancels such a body; other makers of
 * a `Response` do not.
 */
const dropped = new FinalizationRegistry<() => void>((callback) => callback());

/** Calls back when a body was read to its end, cancelled or dropped. */
function whenRead(body: unknown, callback: () => void): void {
  if (typeof body !== 'object' || body === null) {
    // Of something else than a stream the end cannot be seen: the context's end is the call's.
    if (body == null) callback();
    return;
  }
  dropped.register(body, callback, callback);
  try {
    // Watches also a stream that is not locked, and locks nothing.
    finished(body as NodeJS.ReadableStream, () => {
      dropped.unregister(callback);
      callback();
    });
  } catch {
    // Not a stream of Node's.
  }
}
