import { rank } from '../internal/seam/layer.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { openSeam } from '../internal/seam/response.ts';
import { type Door, refuseEarly, withDoors } from './admission.ts';
import { Gate } from './gate.ts';
import { type HeartbeatOptions, resolveHeartbeatOptions, type ResolvedHeartbeatOptions } from './options.ts';
import type { ConnectionRegistry } from '../internal/health/registry.ts';

export { type CloseReason, StreamRefusedError } from '../errors.ts';
export { clientOfAddress } from '../internal/health/policy/address.ts';
export type { RegistryStats, StateCounts } from '../internal/health/policy/counters.ts';
export type { ConnectionEnd, ConnectionInfo, ConnectionStateChange } from '../internal/health/connection-info.ts';
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
export { watchSocket, type WatchSocketOptions } from './watch-sockets.ts';
export { watchWebSockets, type WatchWebSocketsOptions } from './watch-web-sockets.ts';

/** The middleware that `heartbeat` makes. */
export interface Heartbeat {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** Its connections: the registry that it was given, or its own. */
  readonly registry: ConnectionRegistry;
}

/**
 * Keeps streams alive, and finds those whose client is gone: event streams, NDJSON, JSON sequences and binary frames
 * get heartbeats where nothing else is written, never inside of a message; whoever does not take what is written, or
 * does not acknowledge it, is given up. For all handlers behind it, however they write. Throws `InvalidOptionError`.
 */
export function heartbeat(given?: HeartbeatOptions): Heartbeat {
  const options = resolveHeartbeatOptions(given);
  const refusal = { ...options, text: 'Too many streams are open. Try again later.\n', closes: false };
  const door: Door = { registry: options.registry, refusal };
  const doors = [door];
  function heartbeat(req: HttpRequest, res: HttpResponse, next: Next): void {
    if (!res.headersSent) {
      if (refuseEarly(door, req, res)) return;
      openGate(options, doors, req, res);
    }
    next();
  }
  return Object.defineProperties(heartbeat, {
    registry: { value: options.registry, enumerable: true },
  }) as unknown as Heartbeat;
}

function openGate(options: ResolvedHeartbeatOptions, own: readonly Door[], req: HttpRequest, res: HttpResponse): void {
  const seam = openSeam(res);
  const before = seam.layerAt(rank.heartbeat);
  const doors = before instanceof Gate ? withDoors(before.doors, own) : own;
  const gate = new Gate({ seam, req, options, doors });
  // Mounted twice: the one nearest to the handler decides, and its options hold.
  if (before) seam.replace(before, gate);
  else seam.add(gate);
}
