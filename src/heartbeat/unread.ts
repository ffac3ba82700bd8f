import type { Readable } from 'node:stream';

/**
 * Whether a stream takes in nothing just now, since whoever reads it is not ready for more: it was paused, or is full.
 */
export function isUnread(stream: Readable): boolean {
  return stream.isPaused() || stream.readableLength >= stream.readableHighWaterMark;
}
