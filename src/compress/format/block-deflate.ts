import { beginBlock, blockSize, fillByte, putBits, putByte, putBytes } from './block-output.ts';
import {
  distanceBases,
  distanceBits,
  distanceCodes,
  distanceSymbols,
  lengthBits,
  lengthCodes,
  literalBits,
  literalCodes,
} from './fixed-codes.ts';
import { type Effort, findMatches, literalCounts, matchDistances, matchLengths, window } from './match-finder.ts';

/**
 * Makes one block of deflate: with fixed codes, or stored where that is shorter. An empty stored block follows, as at a
 * flush of zlib. Its mark, 00 00 ff ff, is where every decoder delivers what it has.
 * @param text - at most `longestText` bytes
 * @param history - what a decoder has in its window, at most `longestHistory` bytes
 * @returns the length of the block, for `copyBlock`
 */
export function makeBlock(text: Uint8Array, history: Uint8Array, effort: Effort): number {
  const found = findMatches(text, history, effort);
  encode(history.length, history.length + text.length, found);
  if (blockSize() > text.length + 10) store(text);
  return blockSize();
}

function encode(start: number, end: number, found: number): void {
  beginBlock();
  // RFC 1951 3.2.3: not the last block, and fixed codes.
  putBits(0b010, 3);
  let at = start;
  for (let index = 0; index < found; index++) {
    const matchAt = at + (literalCounts[index] as number);
    putLiterals(at, matchAt);
    const length = matchLengths[index] as number;
    putMatch(length, matchDistances[index] as number);
    at = matchAt + length;
  }
  putLiterals(at, end);
  // RFC 1951 3.2.6: the end of a block is seven zeros. Then an empty stored block (3.2.4): three zeros, and its lengths
  // from the next byte on.
  putBits(0, 10);
  fillByte();
  putMark();
}

function putLiterals(start: number, end: number): void {
  for (let at = start; at < end; at++) {
    const literal = window[at] as number;
    putBits(literalCodes[literal] as number, literalBits[literal] as number);
  }
}

function putMatch(length: number, distance: number): void {
  putBits(lengthCodes[length] as number, lengthBits[length] as number);
  const symbol = distanceSymbols[distance <= 256 ? distance - 1 : 256 + ((distance - 1) >> 7)] as number;
  const extra = distance - (distanceBases[symbol] as number);
  putBits((distanceCodes[symbol] as number) | (extra << 5), distanceBits[symbol] as number);
}

function store(text: Uint8Array): void {
  const { length } = text;
  beginBlock();
  putBytes([0, length, length >> 8, ~length, ~length >> 8], 0, 5);
  putBytes(text, 0, length);
  putByte(0);
  putMark();
}

/** The lengths of an empty stored block: 0 and its complement. */
function putMark(): void {
  putByte(0);
  putByte(0);
  putByte(0xff);
  putByte(0xff);
}
