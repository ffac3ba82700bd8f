// A chunk of HTTP/1.1 is its bytes between a line with their size and a CRLF (RFC 9112 7.1). Bytes that are allocated
// with room for both need no copy when they are sent as a chunk.

/** Before the bytes: eight hexadecimal digits and CRLF. */
const frontRoom = 10;
const backRoom = 2;
const [cr, lf] = [0x0d, 0x0a];
const digits = '0123456789abcdef';

/** The chunk around the bytes; `null` until it is asked for. */
const chunkKey = Symbol('sluice.chunk');

type Framed = Uint8Array & { [chunkKey]?: Buffer | null };

/**
 * Allocates bytes with room around them for the frame of a chunk. They are not cleared. They must not change once
 * `chunkOf` was called.
 */
export function allocateFramed(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(frontRoom + length + backRoom).subarray(frontRoom, frontRoom + length);
  (bytes as Framed)[chunkKey] = null;
  return bytes;
}

/** The chunk of HTTP/1.1 around bytes of `allocateFramed`, without a copy; `undefined` for other bytes. */
export function chunkOf(bytes: Uint8Array): Buffer | undefined {
  const chunk = (bytes as Framed)[chunkKey];
  return chunk === null ? makeChunk(bytes) : chunk;
}

function makeChunk(bytes: Framed): Buffer {
  const { buffer, byteOffset, length } = bytes;
  const start = byteOffset - (2 + sizeDigits(length));
  const chunk = Buffer.from(buffer, start, byteOffset + length + backRoom - start);
  writeFrame(chunk, length);
  return (bytes[chunkKey] = chunk);
}

/** The chunk of HTTP/1.1 around other bytes: a copy. */
export function copyAsChunk(bytes: Uint8Array): Buffer {
  const start = sizeDigits(bytes.length) + 2;
  const chunk = Buffer.allocUnsafe(start + bytes.length + backRoom);
  writeFrame(chunk, bytes.length);
  chunk.set(bytes, start);
  return chunk;
}

/** Digits of a size in hexadecimal notation. */
function sizeDigits(size: number): number {
  return (35 - Math.clz32(size | 1)) >> 2;
}

/** Writes what is around the `length` bytes in the middle. */
function writeFrame(chunk: Buffer, length: number): void {
  const start = sizeDigits(length) + 2;
  // Digit by digit: a call of `chunk.write` takes as long as all of this.
  for (let at = start - 3, rest = length; at >= 0; at -= 1, rest >>>= 4) chunk[at] = digits.charCodeAt(rest & 15);
  chunk[start - 2] = chunk[start + length] = cr;
  chunk[start - 1] = chunk[start + length + 1] = lf;
}
