import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { ResponseStartedError, UpstreamUnreachableError } from '../errors.ts';
import type { ConnectionRegistry } from '../internal/health/registry.ts';
import { type HttpRequest, type HttpResponse, isGone, type Next } from '../internal/http/message.ts';
import { seamOf } from '../internal/seam/response.ts';
import { attach, type AttachOptions, nextFor, type UpgradableServer, upgradeSocket } from './attach.ts';
import { tellUnattached } from './events.ts';
import type { ProxyOptions } from './options.ts';
import { resolveProxyOptions } from './read-options.ts';
import { dispatch } from './exchange/dispatch.ts';
import { ProxyState } from './exchange/state.ts';
import type { UpstreamStats } from './upstream/upstream.ts';

export {
  BodyConsumedError,
  MissingPeerError,
  ProxyError,
  UnproxiableRequestError,
  UpstreamTimeoutError,
  UpstreamUnreachableError,
} from '../errors.ts';
export {
  createCanary,
  type Canary,
  type CanaryArm,
  type CanaryChange,
  type CanaryConfig,
  type CanaryOptions,
} from './canary.ts';
export type { HeaderList } from '../internal/http/header-list.ts';
export type { AttachOptions, UpgradableServer } from './attach.ts';
export type {
  ProxyErrorMessage,
  ProxyFailureMessage,
  ProxyResponseMessage,
  ProxyRetryMessage,
  ProxyUpstreamMessage,
} from './events.ts';
export type {
  ArmCounts,
  BodyTransform,
  DrainUpstreamOptions,
  HeaderRules,
  NamedRoute,
  OutlierOptions,
  ProbeOptions,
  ProxyOptions,
  ProxyTimeouts,
  RetryOptions,
  Route,
  TappedEvent,
  TargetInput,
  UpstreamResponse,
  UpstreamTls,
} from './options.ts';
export type { CanaryRule } from './policy/canary.ts';
export type { ForwardedStyle } from './policy/forwarded.ts';
export type { Standing } from './policy/outlier.ts';
export type { UpstreamStats } from './upstream/upstream.ts';

/** The middleware that `proxy` makes. */
export interface Proxy {
  /** @param next - gets errors of the application's own functions; without it they are answered 500 */
  (req: HttpRequest, res: HttpResponse, next?: Next): void;
  /**
   * Passes on a request to switch protocols, such as that of a WebSocket: a listener for the 'upgrade' event of a
   * server. The client gets the upstream's own answer, 101 or another.
   */
  upgrade(req: IncomingMessage, socket: Duplex, head: Uint8Array): void;
  /**
   * Listens for requests to switch protocols: 'upgrade' of an HTTP/1.1 server; of an HTTP/2 server WebSockets (RFC
   * 8441), if its settings have `enableConnectProtocol`. Returns the undo. Throws `InvalidOptionError`.
   */
  attach(server: UpgradableServer, options?: AttachOptions): () => void;
  /** The registry of its upstreams: that of the options, or its own. */
  readonly registry: ConnectionRegistry;
  /** What each upstream has done so far. */
  upstreams(): UpstreamStats[];
  /** Closes all connections to upstreams. Requests under way are broken off, and later ones answered 502. */
  close(): Promise<void>;
}

/**
 * A reverse proxy that streams: headers and chunks go on when they come, and back-pressure holds both ways.
 *
 * Needs the package `undici`: 7.26 or later of 7, 8.3 or later of 8. Those before take some answers that are cut for
 * complete ones. Throws `InvalidOptionError`.
 */
export function proxy(options: ProxyOptions): Proxy {
  const state = new ProxyState(resolveProxyOptions(options));
  function proxy(req: HttpRequest, res: HttpResponse, next: Next = nextFor(req, res)): void {
    if (isGone(res)) return;
    if (res.headersSent || res.writableEnded || seamOf(res)?.hasWriter === true) {
      next(new ResponseStartedError('A request that is passed on needs a response of its own: this one has begun'));
    } else {
      tellUnattached(req);
      dispatch(state, { req, res, next }, undefined);
    }
  }
  return Object.assign(proxy, {
    upgrade: (req: IncomingMessage, socket: Duplex, head: Uint8Array) => upgradeSocket(state, req, socket, head),
    attach: (server: UpgradableServer, given?: AttachOptions) => attach(state, server, given),
    registry: state.options.registry,
    upstreams: () => state.upstreams.all.map((each) => each.stats()),
    close: () => state.close(new UpstreamUnreachableError(undefined, { cause: new Error('The proxy is closed') })),
  });
}
