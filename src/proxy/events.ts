import debug from 'debug';
import type { ProxyError } from '../errors.ts';
import { defineErrors, defineEvents, type ErrorEvent, type ErrorMessage, type Events } from '../internal/events.ts';
import { type HttpRequest, type HttpResponse, requestLabel } from '../internal/http/message.ts';
import type { Standing } from './policy/outlier.ts';

/** Message on `sluice:proxy:response`: the headers of an upstream's answer are on their way to the client. */
export interface ProxyResponseMessage {
  /** The request of the client. */
  readonly req: HttpRequest;
  /** The response to the client. */
  readonly res: HttpResponse;
  /** The origin of the upstream. */
  readonly upstream: string;
  /** What `route` said of the request. */
  readonly arm: string | undefined;
  /** The status of the answer. */
  readonly status: number;
  /** How often the request was sent. */
  readonly tries: number;
  /** From the arrival of the request to the headers of the answer, in ms. */
  readonly duration: number;
}

/** Message on `sluice:proxy:failure`: a request got no answer of an upstream, or not all of it. */
export interface ProxyFailureMessage {
  /** The request of the client. */
  readonly req: HttpRequest;
  /** The response to the client. */
  readonly res: HttpResponse;
  /** Why. */
  readonly error: ProxyError;
  /** What `route` said of the request. */
  readonly arm: string | undefined;
  /** How often the request was sent. */
  readonly tries: number;
  /** `true`: the headers were sent, so the connection was cut. `false`: `error.status` was answered. */
  readonly isCut: boolean;
}

/** Message on `sluice:proxy:retry`: a request is sent again. */
export interface ProxyRetryMessage {
  /** The request of the client. */
  readonly req: HttpRequest;
  /** The origin of the upstream that failed. */
  readonly upstream: string;
  /** Why: the try failed, was never sent, or was answered with `status`. */
  readonly reason: 'failed' | 'unsent' | 'status';
  /** The status, where that is the reason. */
  readonly status: number | undefined;
  /** The wait before it is sent again, in ms. */
  readonly delay: number;
}

/**
 * Message on `sluice:proxy:upstream`: an upstream gets no requests for a while, unless there is no other; or gets them
 * again.
 */
export interface ProxyUpstreamMessage {
  /** Its origin. */
  readonly upstream: string;
  /** `ejected`: for a while. `down`: until a probe is answered. `up`: it gets requests again. */
  readonly state: Standing;
  /** How long it is ejected, in ms. Only with `ejected`. */
  readonly duration: number | undefined;
}

interface ProxyEvents {
  readonly response: ProxyResponseMessage;
  readonly failure: ProxyFailureMessage;
  readonly retry: ProxyRetryMessage;
  readonly upstream: ProxyUpstreamMessage;
}

export const proxyEvents: Events<ProxyEvents> = defineEvents<ProxyEvents>('proxy', {
  response: ({ req, upstream, status, tries }) => [
    '%s %s %d from %s, try %d',
    req.method,
    req.url,
    status,
    upstream,
    tries,
  ],
  failure: ({ req, error, isCut }) => ['%s %s %s: %s', req.method, req.url, isCut ? 'cut' : 'answered', error.message],
  retry: ({ req, upstream, reason, delay }) => [
    '%s %s is sent again in %d ms: %s %s',
    req.method,
    req.url,
    delay,
    upstream,
    reason,
  ],
  upstream: ({ upstream, state }) => ['%s is %s', upstream, state],
});

/** Message on `sluice:proxy:error`. */
export type ProxyErrorMessage = ErrorMessage;

/** Errors of the application's own functions that have no caller. */
export const proxyErrors: ErrorEvent = defineErrors('proxy');

const log = debug('sluice:proxy');

/**
 * Tells in the debug log of a request for a WebSocket that came as a plain request: the server has no listener for
 * 'upgrade', and the upstream answers as to any GET.
 */
export function tellUnattached(req: HttpRequest): void {
  if (!log.enabled || req.headers.upgrade?.toLowerCase() !== 'websocket') return;
  log(
    '%s asks for a WebSocket, and is passed on as a plain request. Call `attach(server)` of the proxy.',
    requestLabel(req),
  );
}

/** Tells in the debug log of an event stream that `tap` gets nothing of, because the upstream has encoded it. */
export function tellUnreadable(req: HttpRequest): void {
  if (!log.enabled) return;
  log("%s is encoded: `tap` gets nothing. Set `requestHeaders: { 'Accept-Encoding': 'identity' }`.", requestLabel(req));
}
