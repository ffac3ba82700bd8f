import { rank } from '../internal/seam/layer.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { mountings } from '../internal/mounting.ts';
import { openSeam } from '../internal/seam/response.ts';
import { type Mount, refuseEarly, withMounts } from './admission.ts';
import { HeartbeatHeadLayer } from './head-layer.ts';
import { type HeartbeatOptions, resolveHeartbeatOptions, type ResolvedHeartbeatOptions } from './options.ts';
import type { ConnectionRegistry } from '../internal/health/registry.ts';

export { type CloseReason, StreamRefusedError } from '../errors.ts';
export { clientOfAddress } from '../internal/health/policy/address.ts';
export type { RegistryStats, StateCounts } from '../internal/health/policy/counters.ts';
export type {
  ConnectionEnd,
  ConnectionInfo,
  ConnectionOpen,
  ConnectionStateChange,
  RoundTrip,
} from '../internal/health/connection-info.ts';
export {
  encodeHeartbeat,
  HeartbeatParser,
  type HeartbeatParserOptions,
  type ParsedChunk,
} from '../internal/format/frame.ts';
export type { Transport } from '../internal/health/transport.ts';
export type { HealthState } from '../internal/health/policy/liveness.ts';
export type { AckProbeMode, HealthOptions } from '../internal/health/options.ts';
export { watchHttp2, type WatchHttp2Options } from './watch-http2.ts';
export type { HeartbeatOptions } from './options.ts';
export type { LengthPrefixOptions } from '../internal/format/length-prefix-boundary.ts';
export { type ConnectionRegistry, createRegistry, type RegistryOptions } from '../internal/health/registry.ts';
export type { HeartbeatErrorMessage } from '../internal/health/events.ts';
export type { EncodedStreamMessage, HeartbeatDecisionMessage } from './events.ts';
export { watchSocket, type WatchSocketOptions } from './watch-sockets.ts';
export { watchWebSockets, type WatchWebSocketsOptions } from './watch-web-sockets.ts';

/** The middleware that `heartbeat` returns. */
export interface Heartbeat {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** The registry of its connections: that of the options, or its own. */
  readonly registry: ConnectionRegistry;
}

/**
 * Keeps streams alive, and finds dead clients. Event streams, NDJSON, JSON sequences and binary frames get heartbeats
 * while nothing else is written, never inside a message. A client that does not take or acknowledge what is written is
 * given up. Works for all handlers behind it, however they write. Throws `InvalidOptionError`.
 */
export function heartbeat(given?: HeartbeatOptions): Heartbeat {
  const options = resolveHeartbeatOptions(given);
  const refusal = { ...options, text: 'Too many streams are open. Try again later.\n', closes: false };
  const mount: Mount = { registry: options.registry, refusal };
  const mounts = [mount];
  mountings.heartbeat.noteMade();
  function heartbeat(req: HttpRequest, res: HttpResponse, next: Next): void {
    mountings.heartbeat.notePassed(req, res);
    if (!res.headersSent) {
      if (refuseEarly(mount, req, res)) return;
      addHeadLayer(options, mounts, req, res);
    }
    next();
  }
  return Object.defineProperties(heartbeat, {
    registry: { value: options.registry, enumerable: true },
  }) as unknown as Heartbeat;
}

function addHeadLayer(
  options: ResolvedHeartbeatOptions,
  own: readonly Mount[],
  req: HttpRequest,
  res: HttpResponse,
): void {
  const seam = openSeam(res);
  const before = seam.layerAt(rank.heartbeat);
  const mounts = before instanceof HeartbeatHeadLayer ? withMounts(before.mounts, own) : own;
  const layer = new HeartbeatHeadLayer({ seam, req, options, mounts });
  // Mounted twice: the one nearest to the handler decides, and its options hold.
  if (before) seam.replace(before, layer);
  else seam.add(layer);
}
