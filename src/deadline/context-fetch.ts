import { finished } from 'node:stream';
import { InvalidOptionError } from '../errors.ts';
import { background, Context, type RequestContext, requireContext } from '../internal/context/context.ts';
import { contextHere } from '../internal/context/request-context.ts';
import { type Duration, readDuration, readFunction } from '../internal/option.ts';
import { type PropagateOptions, resolvePropagateOptions, writeTimeout } from './propagate.ts';

/** Options of `contextFetch`. */
export type ContextFetchOptions = PropagateOptions;

/** What `init` takes beside the options of the wrapped `fetch`. */
export interface ContextFetchInit {
  /**
   * The context of the call. `backgroundContext`: for work that outlives the request. @defaultValue `currentContext()`
   */
  context?: RequestContext | undefined;
  /**
   * How long the call may take, its body included: milliseconds or a string for `ms`. It never outlives the context.
   * @defaultValue `Infinity`
   */
  timeout?: Duration | undefined;
}

/** A function like `fetch`: Node's, that of `undici`, or a wrapper. */
export type FetchFunction = (input: never, init?: never) => Promise<{ readonly body?: unknown }>;

/** The same function, with `context` and `timeout` in `init`. */
export type ContextFetch<F extends FetchFunction> = (
  input: Parameters<F>[0],
  init?: InitOf<F> & ContextFetchInit,
) => ReturnType<F>;

type InitOf<F extends FetchFunction> = Exclude<Parameters<F>[1], null | undefined>;

/** The parts of a `Request` that matter, of any implementation. */
type RequestLike = Pick<Request, 'headers' | 'signal' | 'referrer' | 'referrerPolicy'>;

interface SignalSource {
  readonly signal: AbortSignal;
}

/** The parts of `init` that matter. */
interface Init extends ContextFetchInit {
  headers?: ConstructorParameters<typeof Headers>[0];
  signal?: AbortSignal | null;
}

/**
 * Wraps `fetch` so that a call ends when its context does. The call carries the remaining time, as `propagate` writes
 * it. It aborts, its body included, with the context or with its own signal, and rejects with that reason. If the
 * context is aborted or out of time, it does not call `fetch`.
 *
 * Returns the response of `fetch` unchanged. It frees its listeners once the body is read or cancelled, and with the
 * context at the latest.
 *
 * @param fetch - @defaultValue `globalThis.fetch`, at the time of the call
 *
 * Throws `InvalidOptionError`. The returned function rejects with it.
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

/** The owner of the signal: `init`, even if its signal is null, else the `Request`. Throws `InvalidOptionError`. */
function signalSource(request: RequestLike | undefined, init: Init): SignalSource | undefined {
  const source = init.signal === undefined ? request : init;
  const signal = source?.signal;
  if (signal == null) return undefined;
  if (typeof (signal as Partial<AbortSignal>).addEventListener !== 'function')
    throw new InvalidOptionError('contextFetch.signal', 'an AbortSignal', signal);
  return source as SignalSource;
}

/**
 * Aborts a call with a signal, by one listener that is removed when the call is over. Returns the undo. Keeps the
 * `Request`, and not its signal alone: only the `Request` keeps its signal connected to the signal it was made with.
 */
function follow(call: Context, source: SignalSource): () => void {
  const sourceOnAbort = (): void => call.abort(source.signal.reason);
  const unfollow = (): void => source.signal.removeEventListener('abort', sourceOnAbort);
  if (source.signal.aborted) sourceOnAbort();
  else source.signal.addEventListener('abort', sourceOnAbort);
  call.onAbort(unfollow);
  return unfollow;
}

/** Any `init` makes a `Request` lose them. */
function referrerOf(request: RequestLike | undefined): Partial<RequestLike> {
  return request ? { referrer: request.referrer, referrerPolicy: request.referrerPolicy } : {};
}

/** Ends the watch of bodies that were garbage-collected. Node's `fetch` cancels such a body; others do not. */
const dropped = new FinalizationRegistry<() => void>((callback) => callback());

/** Calls back once a body is read to its end, cancelled or garbage-collected. */
function whenRead(body: unknown, callback: () => void): void {
  if (typeof body !== 'object' || body === null) {
    // The end of a body that is no stream cannot be seen: the call ends with the context.
    if (body == null) callback();
    return;
  }
  dropped.register(body, callback, callback);
  try {
    // Works on a stream that is not locked, and does not lock it.
    finished(body as NodeJS.ReadableStream, () => {
      dropped.unregister(callback);
      callback();
    });
  } catch {
    // Not a stream that Node knows.
  }
}
