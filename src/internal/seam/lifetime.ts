import type { ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import onFinished from 'on-finished';
import { callEach } from '../listeners.ts';
import { reportError } from '../events.ts';
import { type HttpResponse, isGone, isHttp2 } from '../http/message.ts';
import { useDictionaryMode } from './dictionary-mode.ts';

/** Called with the response that it was registered for. */
type OverListener = (res: HttpResponse) => void;

interface Wait {
  readonly res: HttpResponse;
  /** `undefined` once it was removed. */
  listener: OverListener | undefined;
}

const lifetimeKey = Symbol('sluice.lifetime');

type Living = HttpResponse & { [lifetimeKey]?: Lifetime };

/**
 * Calls a listener once, when the life of a response is over: all of it is with the kernel, or its connection is gone.
 * Soon, if it is over already. Returns the undo.
 *
 * However many wait, one registration with `on-finished` serves them. It is called after the response's `'close'`, at
 * which encoders are freed.
 */
export function whenOver(res: HttpResponse, listener: OverListener): () => void {
  return (lifetimeOf(res) ?? startLifetime(res)).add({ res, listener });
}

/**
 * Calls back when a connection dies before a response had its turn on it. And ends an HTTP/2 stream that its client has
 * reset without an error, so that its response emits `'close'`.
 */
export function watchSilentClose(res: HttpResponse, onClose: () => void): void {
  if (isHttp2(res)) watchReset(res.stream);
  else if (!res.socket) watchPipelined(res, onClose);
}

/** The listeners that wait for the end of one response. */
class Lifetime {
  readonly #res: HttpResponse;
  #waits: Wait[] = [];
  #isOver = false;

  constructor(res: HttpResponse) {
    this.#res = res;
  }

  add(wait: Wait): () => void {
    this.#waits.push(wait);
    if (this.#isOver) setImmediate(() => this.end());
    return () => {
      wait.listener = undefined;
      this.#waits = this.#waits.filter((other) => other !== wait);
    };
  }

  watch(): void {
    const res = this.#res;
    if (isClosed(res)) {
      setImmediate(() => this.end());
      return;
    }
    // Later than at once, for the encoders on the same connection to be first.
    if (!res.socket || isHttp2(res)) watchSilentClose(res, () => process.nextTick(() => this.end()));
    // on-finished registers for four events, which costs as much as all else here. In the next tick most handlers have
    // ended the response, and one event is left to wait for.
    process.nextTick(lifetimeOnNextTick, this);
  }

  awaitEnd(): void {
    const res = this.#res;
    try {
      if (res.writableEnded || hasClosed(res)) this.finished();
      else onFinished(res as ServerResponse, responseOnFinished);
    } catch (error) {
      // Both read what the application may have replaced.
      reportError(res.req, error);
      this.#awaitClose();
    }
  }

  /** on-finished has called back, or would at once. */
  finished(): void {
    if (isClosed(this.#res)) this.end();
    // It does so at the 'error' of a connection too, and it takes a response that was ended for one that is sent.
    else this.#awaitClose();
  }

  #awaitClose(): void {
    (this.#res as ServerResponse).on('close', responseOnClose);
  }

  end(): void {
    this.#isOver = true;
    const waits = this.#waits;
    this.#waits = [];
    callEach(
      waits,
      ({ res, listener }) => listener?.(res),
      (error) => reportError(this.#res.req, error),
    );
  }
}

/** Whether it has emitted `'close'`. */
function hasClosed(res: HttpResponse): boolean {
  // The HTTP/2 response has no `closed`, and is without a socket from its 'close' on.
  return isHttp2(res) ? (res.socket as Socket | undefined) === undefined : res.closed;
}

/** Whether it has emitted `'close'`, or never will. */
export function isClosed(res: HttpResponse): boolean {
  return hasClosed(res) || (!isHttp2(res) && !res.socket && isGone(res));
}

function lifetimeOf(res: HttpResponse): Lifetime | undefined {
  return (res as Living)[lifetimeKey];
}

function startLifetime(res: HttpResponse): Lifetime {
  // For two properties: that of on-finished is the other.
  useDictionaryMode(res);
  const lifetime = ((res as Living)[lifetimeKey] = new Lifetime(res));
  lifetime.watch();
  return lifetime;
}

function lifetimeOnNextTick(lifetime: Lifetime): void {
  lifetime.awaitEnd();
}

function responseOnClose(this: HttpResponse): void {
  lifetimeOf(this)?.end();
}

// on-finished calls back at 'finish', when the kernel has all, or at the 'error' or the 'close' of the connection.
// After 'finish', the response's own 'close' follows in this tick.
function responseOnFinished(_error: Error | null, res: HttpResponse): void {
  process.nextTick(lifetimeOnFinished, lifetimeOf(res));
}

function lifetimeOnFinished(lifetime: Lifetime | undefined): void {
  lifetime?.finished();
}

function watchReset(stream: ServerHttp2Stream): void {
  if (!stream.listeners('aborted').includes(streamOnAborted)) stream.on('aborted', streamOnAborted);
}

// After a client's reset without an error Node destroys the stream when its writes are done, which they never are.
// (A reset of our own comes by here too, with an error code.)
function streamOnAborted(this: ServerHttp2Stream): void {
  // Not at once: in the middle of a `close` of the application, Node 20 would never return.
  if (this.rstCode === 0) process.nextTick(() => this.destroy());
}

// Of responses that wait behind others on their connection.
interface Pipelined {
  readonly res: ServerResponse;
  readonly onClose: () => void;
}

const pipelined = new WeakMap<Socket, Set<Pipelined>>();

// Before Node 24 a pipelined response whose connection dies before its turn never emits 'close'. One listener for all
// of a connection: a client may send as many requests as it likes.
function watchPipelined(res: ServerResponse, onClose: () => void): void {
  const socket = (res.req as typeof res.req | undefined)?.socket;
  if (!socket) return;
  let waiting = pipelined.get(socket);
  if (!waiting) {
    pipelined.set(socket, (waiting = new Set()));
    socket.on('close', socketOnClose);
  }
  const entry = { res, onClose };
  waiting.add(entry);
  // It is its turn: from here on the response emits 'close'.
  res.once('socket', () => pipelined.get(socket)?.delete(entry));
}

function socketOnClose(this: Socket): void {
  callEach(
    pipelined.get(this) ?? [],
    ({ onClose }) => onClose(),
    (error, { res }) => reportError(res.req, error),
  );
  pipelined.delete(this);
}
