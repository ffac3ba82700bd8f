import type { BlockList } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ProxyError } from '../errors.ts';
import type { HeaderList } from '../internal/http/header-list.ts';
import type { Hook, RoutedRequest, RoutedResponse } from '../internal/http/framework.ts';
import type { Next } from '../internal/http/message.ts';
import type { ConnectionRegistry, Registry } from '../internal/health/registry.ts';
import type { Duration, Size } from '../internal/option.ts';
import type { ForwardedStyle, Trusts } from './policy/forwarded.ts';
import type { OutlierPolicy } from './policy/outlier.ts';
import type { Target } from './policy/request-target.ts';
import type { RetryPolicy } from './policy/retry.ts';

/** Where a request goes: an absolute `http:` or `https:` URL, or several of equal rights. */
export type TargetInput = string | URL | readonly (string | URL)[];

/** What became of the requests of one arm. */
export interface ArmCounts {
  /** Requests that were sent there. */
  requests: number;
  /** Those under way. */
  active: number;
  /** How often one of them was sent again. */
  retries: number;
  /** Those that got no whole answer, or one with a status of 500 or more. */
  failures: number;
}

/** Where a request goes, and as what it is reported. */
export interface NamedRoute {
  /** As `target` of `proxy`. */
  readonly target: TargetInput;
  /** A name for messages. @defaultValue none */
  readonly arm?: string | undefined;
  /** The proxy counts here what becomes of the request: all but `requests`. @defaultValue not counted */
  readonly counts?: ArmCounts | undefined;
}

/** What `route` answers. */
export type Route = TargetInput | NamedRoute;

/**
 * Rules for headers: a value sets one, `null` removes one; or a function that changes the list. They run last, when
 * hop-by-hop headers are gone and the proxy's own are set.
 */
export type HeaderRules<Args extends unknown[]> =
  Readonly<Record<string, string | null>> | ((headers: HeaderList, ...args: Args) => void);

/** The answer of an upstream, as `modifyResponse` gets it. */
export interface UpstreamResponse {
  /** The origin of the upstream. */
  readonly upstream: string;
  /** What `route` said of the request. */
  readonly arm: string | undefined;
  /** The status code. May be changed. */
  status: number;
  /** What the client gets: hop-by-hop headers are gone, and the rules of `responseHeaders` have run. May be changed. */
  readonly headers: HeaderList;
}

/** Changes the body of an answer as it passes: a transform, or a function from chunks to chunks. */
export type BodyTransform =
  | Duplex
  | { readonly readable: ReadableStream; readonly writable: WritableStream }
  | ((source: AsyncIterable<Buffer>) => AsyncIterable<string | Uint8Array>);

/** TLS of the connections to an upstream. */
export interface UpstreamTls {
  /** Certificates to trust, in PEM. @defaultValue those of Node */
  ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  /** The client's certificate, in PEM. @defaultValue none */
  cert?: string | Buffer | undefined;
  /** Its key, in PEM. @defaultValue none */
  key?: string | Buffer | undefined;
  /** Of an encrypted key. @defaultValue none */
  passphrase?: string | undefined;
  /**
   * The name to ask for (SNI) and to check the certificate against. The `Host` of a request never changes it.
   * @defaultValue the target's host
   */
  servername?: string | undefined;
  /** The oldest version of TLS. @defaultValue `'TLSv1.2'` */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /** Whether HTTP/2 is offered to the upstream by ALPN. @defaultValue `false` */
  allowH2?: boolean | undefined;
  /** `false`: any certificate will do, with the warning `SLUICE_UNVERIFIED_UPSTREAM`. @defaultValue `true` */
  rejectUnauthorized?: boolean | undefined;
}

/** Options of `proxy`. One of `target` and `route` is required. */
export interface ProxyOptions {
  /** Where requests go. Its path stands before theirs, and its query too. @defaultValue none */
  target?: TargetInput | undefined;
  /**
   * Chooses the target of each request. What it throws or rejects with goes to `next`. @defaultValue `target`
   */
  route?: Hook<[req: RoutedRequest], Route | Promise<Route>> | undefined;
  /**
   * Changes the path and query that the upstream is asked for. Gets them as the router left them: without the path that
   * `proxy` is mounted at, and without the target's. @defaultValue unchanged
   */
  rewrite?: Hook<[path: string, req: RoutedRequest], string> | undefined;
  /** The `Host` that the upstream sees: its own, the client's, or another. @defaultValue `'target'` */
  host?: 'target' | 'client' | (string & {}) | undefined;
  /**
   * The headers that tell the upstream who the client is. What the client sent in them is dropped, unless it is
   * trusted. @defaultValue `'x-forwarded'`
   */
  forwarded?: ForwardedStyle | undefined;
  /**
   * The proxies in front of this one, whose `X-Forwarded-*` are believed: addresses and ranges such as `10.0.0.0/8`, a
   * `net.BlockList`, or a function. @defaultValue on Express its `trust proxy` setting; else none
   */
  trust?: boolean | readonly string[] | BlockList | ((address: string, hop: number) => boolean) | undefined;
  /** The name in `Via` (RFC 9110 7.6.3). `false`: no `Via`. @defaultValue `'sluice'` */
  via?: string | false | undefined;
  /** Rules for the headers of the request. @defaultValue none */
  requestHeaders?: HeaderRules<[req: RoutedRequest]> | undefined;
  /** Rules for the headers of the answer. @defaultValue none */
  responseHeaders?: HeaderRules<[req: RoutedRequest, status: number]> | undefined;
  /**
   * Gets each answer before its headers are sent. May change status and headers, and return a transform for the body.
   * The transform gets the body in the coding of `Content-Encoding`. @defaultValue none
   */
  modifyResponse?: Hook<[response: UpstreamResponse, req: RoutedRequest], BodyTransform | undefined | void> | undefined;
  /**
   * Gets each event of an event stream that passes: its name and its data; none of more than 2^20 characters. For the
   * count of tokens that comes last in the stream of a language model. @defaultValue none
   */
  tap?: Hook<[event: TappedEvent, req: RoutedRequest]> | undefined;
  /** The clocks of one try. @defaultValue those of `ProxyTimeouts` */
  timeouts?: ProxyTimeouts | undefined;
  /** Which requests are sent again. `false`: none. @defaultValue those of `RetryOptions` */
  retry?: false | RetryOptions | undefined;
  /**
   * When an upstream of several gets no requests for a while. `false`: never.
   * @defaultValue those of `OutlierOptions`
   */
  outlier?: false | OutlierOptions | undefined;
  /** Asks each upstream now and then whether it is well. @defaultValue `false` */
  health?: false | ProbeOptions | undefined;
  /**
   * The registry that lists the upstreams and counts their health: `stats().unresponsive_ratio`, `avg_heartbeat_rt`.
   * Share one to have the numbers of several proxies in one place. @defaultValue a new registry
   */
  registry?: ConnectionRegistry | undefined;
  /**
   * TLS of all upstreams; or by host, with or without its port, such as `{ 'api.example:443': { ca } }`.
   * @defaultValue Node's
   */
  tls?: UpstreamTls | Readonly<Record<string, UpstreamTls>> | undefined;
  /**
   * What happens to the upstream's answer when its client leaves. `'abort'`: the upstream is told at once. `drain`: it
   * is read to its end, for its effects and for `tap`. @defaultValue `'abort'`
   */
  onClientGone?: 'abort' | { readonly drain: DrainUpstreamOptions } | undefined;
  /**
   * Whether the client of an event stream that breaks off gets a last `event: error` before its connection is cut.
   * @defaultValue `false`
   */
  errorEvent?: boolean | undefined;
  /**
   * Answers a request that could not be passed on, in place of the proxy, whose answer is `error.status` and a line of
   * text. Pass the error to `next` for the application's own error page. @defaultValue the proxy's answer
   */
  onError?: Hook<[error: ProxyError, req: RoutedRequest, res: RoutedResponse, next: Next]> | undefined;
  /** Whether the upstream is told how much time is left, where there is a deadline. @defaultValue `true` */
  propagateDeadline?: boolean | undefined;
  /** Connections to each upstream at once, without the one for health probes. @defaultValue `Infinity` */
  maxConnections?: number | undefined;
}

/** The clocks of one try. */
export interface ProxyTimeouts {
  /** To connect, TLS included. @defaultValue `'5s'` */
  connect?: Duration | undefined;
  /**
   * From the request, or the last piece of its body, to the headers of the answer. A client that is silent in the
   * middle of its body has as long as `idle`, if that is longer.
   * @defaultValue `'15s'`
   */
  head?: Duration | undefined;
  /** Between two chunks of the answer's body. `Infinity`: none. @defaultValue `'5m'` */
  idle?: Duration | undefined;
}

/** An event that passed. */
export interface TappedEvent {
  /** Its name. Default: `message`. */
  readonly type: string;
  /** Its lines of data, joined by line feeds. */
  readonly data: string;
  /** The last id of the stream so far; `undefined`: none. */
  readonly id: string | undefined;
}

/** Options of `proxy` for retries. */
export interface RetryOptions {
  /** Tries after the first. @defaultValue `2` */
  limit?: number | undefined;
  /** Answers after which an idempotent request is sent again. @defaultValue `[502, 503, 504]` */
  statuses?: readonly number[] | undefined;
  /** The wait before the first retry is a random part of this; the next of twice as much. @defaultValue `'25ms'` */
  minDelay?: Duration | undefined;
  /** The longest such wait. @defaultValue `'250ms'` */
  maxDelay?: Duration | undefined;
  /** How much of a request's body is kept to be sent again. @defaultValue `'64kb'` */
  maxBody?: Size | undefined;
  /** Retries at once, as a share of the requests under way. @defaultValue `0.2` */
  budget?: number | undefined;
  /** Retries at once that are always allowed. @defaultValue `3` */
  minBudget?: number | undefined;
}

/** Options of `proxy` for upstreams that fail. */
export interface OutlierOptions {
  /** Failures in a row that eject an upstream. @defaultValue `5` */
  failures?: number | undefined;
  /**
   * How long the first ejection lasts; the nth n times as long. Of the n one is forgotten for each time as long as this
   * between two ejections.
   * @defaultValue `'30s'`
   */
  ejection?: Duration | undefined;
  /** The longest ejection. @defaultValue `'5m'` */
  maxEjection?: Duration | undefined;
}

/** Options of `proxy` for health probes. A probe is a GET that is answered with a status below 400. */
export interface ProbeOptions {
  /** The path to ask for, without the target's. @defaultValue `'/'` */
  path?: string | undefined;
  /** From one probe to the next. @defaultValue `'5s'` */
  every?: Duration | undefined;
  /** How long a probe may take. @defaultValue `'2s'` */
  timeout?: Duration | undefined;
  /** Failed probes in a row that take an upstream out, if it has also had no success for `grace`. @defaultValue `3` */
  failures?: number | undefined;
  /** Without any success, of a probe or of a request. @defaultValue three times `every` */
  grace?: Duration | undefined;
}

/** Options of `proxy` for answers that are read on after their client has left. */
export interface DrainUpstreamOptions {
  /** For how long, from when the client left. @defaultValue `'30s'` */
  timeout?: Duration | undefined;
  /** Bytes to read, from when the client left. @defaultValue `'1mb'` */
  maxBytes?: Size | undefined;
  /** How many at once. Others are aborted. @defaultValue `100` */
  concurrent?: number | undefined;
}

export interface ResolvedProxyOptions {
  readonly target: readonly Target[] | undefined;
  readonly route: ProxyOptions['route'];
  readonly rewrite: ProxyOptions['rewrite'];
  readonly host: string;
  readonly forwarded: ForwardedStyle;
  /** `undefined`: as Express has it for the request. */
  readonly trusts: Trusts | undefined;
  readonly via: string | undefined;
  readonly requestHeaders: ((headers: HeaderList, req: RoutedRequest) => void) | undefined;
  readonly responseHeaders: ((headers: HeaderList, req: RoutedRequest, status: number) => void) | undefined;
  readonly modifyResponse: ProxyOptions['modifyResponse'];
  readonly tap: ProxyOptions['tap'];
  readonly timeouts: { readonly connect: number; readonly head: number; readonly idle: number };
  readonly retry: RetryPolicy & { readonly maxBody: number; readonly budget: number; readonly minBudget: number };
  readonly outlier: OutlierPolicy;
  readonly health: { readonly path: string; readonly every: number; readonly timeout: number } | undefined;
  readonly registry: Registry;
  readonly tlsOf: (target: Target) => UpstreamTls;
  readonly drain: { readonly timeout: number; readonly maxBytes: number; readonly concurrent: number } | undefined;
  readonly errorEvent: boolean;
  readonly onError: ProxyOptions['onError'];
  readonly propagateDeadline: boolean;
  readonly maxConnections: number;
}
