import { isUint8Array } from 'node:util/types';
import { CodecFailedError } from '../errors.ts';
import type { Chunk } from '../internal/layer.ts';

/** A chunk as bytes. */
export function bytesOf(chunk: Chunk, encoding: BufferEncoding | undefined): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}

/** Checks what a codec gave for bytes. Throws `CodecFailedError`. */
export function checkBytes(coding: string, member: string, value: unknown): Uint8Array {
  // Of whatever realm they are.
  if (isUint8Array(value)) return value;
  throw new CodecFailedError(coding, member, `gave ${kindOf(value)}, and not a Uint8Array`);
}

/** What a value is, for a message. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
