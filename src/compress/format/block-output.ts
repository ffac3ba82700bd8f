import { longestText } from './match-finder.ts';

// The block that is being made. One for all streams: a block is made within one call.

// Room for the longest text if each of its bytes takes nine bits, and for what is around it.
const output = new Uint8Array(Math.ceil((longestText * 9) / 8) + 64);

let size = 0;
// Bits that fill no byte yet.
let bits = 0;
let count = 0;

/** Begins a block. */
export function beginBlock(): void {
  size = bits = count = 0;
}

/** Bytes of the block so far. */
export function blockSize(): number {
  return size;
}

/** Appends the lowest bits of a number, which has no others. A byte is filled from its lowest bit on. */
export function putBits(code: number, length: number): void {
  bits |= code << count;
  for (count += length; count >= 8; count -= 8) {
    output[size++] = bits;
    bits >>>= 8;
  }
}

/** Fills the last byte with zeros. */
export function fillByte(): void {
  if (count > 0) putBits(0, 8 - count);
}

/** Appends a byte, where no bits wait. */
export function putByte(byte: number): void {
  output[size++] = byte;
}

/** Appends bytes, where no bits wait. */
export function putBytes(source: ArrayLike<number>, start: number, end: number): void {
  for (let at = start; at < end; at++) output[size++] = source[at] as number;
}

/** Changes a byte of the block. */
export function setByte(at: number, byte: number): void {
  output[at] = byte;
}

/** Copies the block that was made last. */
export function copyBlock(target: Uint8Array, start: number): void {
  for (let at = 0; at < size; at++) target[start + at] = output[at] as number;
}
