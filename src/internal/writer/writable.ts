import type { EventEmitter } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { ClientClosedError, closeError, DeadlineExceededError } from '../../errors.ts';
import { reportError } from '../events.ts';
import { type HttpResponse, isGone, isHttp2, needsDrain } from '../http/message.ts';
import { callEach } from '../listeners.ts';
import { type OptionNames, readOptions, readSignal } from '../option.ts';
import { startTimer } from '../time/clock.ts';

/** What ends a wait besides the response. */
export interface WaitOptions {
  /** Rejects the wait with `signal.reason`. @defaultValue none */
  readonly signal?: AbortSignal | undefined;
  /**
   * A point in time, in ms since the epoch or as a `Date`, after which the wait rejects with `DeadlineExceededError`.
   * @defaultValue none
   */
  readonly deadline?: number | Date | undefined;
}

const names: OptionNames<WaitOptions> = { signal: true, deadline: true };
const advice = { instead: { timeout: 'Give the point in time: `{ deadline: Date.now() + 5000 }`.' } };

/**
 * Resolves when `res` takes more bytes: at once if it does already, else at its next `'drain'`.
 *
 * Rejects with `StreamClosedError` when the response is closed or ended, also if that was long before the call. Rejects
 * with the error that the response emits, with `signal.reason` on abort, and with `DeadlineExceededError` at the
 * deadline. When it settles, all its listeners and its timer are gone.
 *
 * Behind `compression`, `res` says that it has room while the encoder is full. Only the return value of `res.write` is
 * true then.
 */
export async function waitWritable(res: HttpResponse, given?: WaitOptions): Promise<void> {
  const options = readOptions('waitWritable', given, names, advice);
  readSignal('waitWritable.signal', options.signal)?.throwIfAborted();
  if (isGone(res)) throw new ClientClosedError();
  if (res.writableEnded) throw closeError('ended');
  if (needsDrain(res)) await waitForDrain(res, options);
}

/**
 * Waits for the next `'drain'` whatever `res` says: for a caller whose write returned `false`. Rejects as
 * `waitWritable`.
 */
export async function waitForDrain(res: HttpResponse, options: WaitOptions = {}): Promise<void> {
  const { signal } = options;
  if (isGone(res)) throw new ClientClosedError();
  const remaining = options.deadline === undefined ? undefined : Number(options.deadline) - Date.now();
  if (remaining !== undefined && !(remaining > 0)) throw new DeadlineExceededError();
  await new Promise<void>((resolve, reject) => {
    const undo = [
      listenForDrain(res, () => settle(resolve)),
      listen(res, 'close', () =>
        settle(() => reject(res.writableEnded ? closeError('ended') : new ClientClosedError())),
      ),
      // After a reset without an error the stream closes only when its writes are done, and they wait for the client.
      isHttp2(res) ? listen(res.stream, 'aborted', () => settle(() => reject(new ClientClosedError()))) : undefined,
      listen(res, 'error', (error) => settle(() => reject(error))),
      signal && onAbort(signal, () => settle(() => reject(signal.reason as Error))),
      remaining === undefined
        ? undefined
        : startTimer(remaining, () => settle(() => reject(new DeadlineExceededError()))),
    ];
    function settle(finish: () => void): void {
      finish();
      for (const step of undo) step?.();
    }
  });
}

function listen(
  emitter: HttpResponse | ServerHttp2Stream,
  event: string,
  listener: (value: unknown) => void,
): () => void {
  (emitter as EventEmitter).on(event, listener);
  return () => (emitter as EventEmitter).off(event, listener);
}

function onAbort(signal: AbortSignal, listener: () => void): () => void {
  signal.addEventListener('abort', listener);
  return () => {
    signal.removeEventListener('abort', listener);
  };
}

// The waits for the 'drain' of a response whose `on` is patched.
const hubs = new WeakMap<HttpResponse, Set<() => void>>();

/**
 * `compression` reroutes `on('drain')` to its encoder, where `off` does not reach: every wait would leave a listener
 * behind (expressjs/compression#58, #135, #152). On such a response one listener serves all waits.
 */
function listenForDrain(res: HttpResponse, listener: () => void): () => void {
  if (!Object.hasOwn(res, 'on')) return listen(res, 'drain', listener);
  let waiting = hubs.get(res);
  if (!waiting) {
    const created = (waiting = new Set<() => void>());
    hubs.set(res, created);
    listen(res, 'drain', () => {
      callEach(
        [...created],
        (each) => each(),
        (error) => reportError(res.req, error),
      );
    });
  }
  waiting.add(listener);
  return () => {
    hubs.get(res)?.delete(listener);
  };
}
