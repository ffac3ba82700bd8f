import { type Chunk, Layer, rank } from '../seam/layer.ts';
import type { Seam } from '../seam/response.ts';

/** Heartbeats that several streams have in common, such as those of a channel. */
export interface SharedHeartbeats {
  /**
   * A stream is due for a heartbeat. Sends the same one to all whose heartbeats look like this and come as often.
   * @returns whether that stream gets it. If not, it sends one of its own.
   */
  send(due: HeartbeatPort, now: number): boolean;
}

/** The layer that sends the heartbeats of a stream, for those that have heartbeats in common. */
export abstract class HeartbeatPort extends Layer {
  /** What a heartbeat looks like. */
  abstract readonly format: { readonly heartbeat: Chunk };
  /** After how many ms of silence it sends one, give or take which share of these, and by which clock. */
  abstract readonly options: { readonly every: number; readonly jitter: number; readonly registry: { now(): number } };
  /**
   * Sends these bytes as a heartbeat, if one may be sent now, nothing was since the shared one began to go out, and the
   * network does not still try to send what came before: that keeps the path open by itself.
   * @param since - when that was
   * @returns whether it did
   */
  abstract take(heartbeat: Chunk, since: number): boolean;
}

/** The layer that sends heartbeats into a response, if there is one. */
export function heartbeatPortOf(seam: Seam): HeartbeatPort | undefined {
  const layer = seam.layerAt(rank.heartbeat);
  return layer instanceof HeartbeatPort ? layer : undefined;
}
