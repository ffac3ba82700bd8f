import type { Chunk } from '../internal/layer.ts';

/** A chunk as bytes. */
export function bytesOf(chunk: Chunk, encoding: BufferEncoding | undefined): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}
