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

/** How much time a block may take. */
export interface Effort {
  /** Earlier places that are compared with each place of the text. */
  readonly depth: number;
  /** A match of this length or less waits for a longer one at the next place. */
  readonly lazy: number;
  /** A match of this length or more needs no better one. */
  readonly enough: number;
}

/** Bytes of text that a block takes at most. */
export const longestBlock = 32_768;

/** Bytes of history that a block refers to at most: the largest distance (RFC 1951 2). */
export const longestHistory = 32_768;

const shortestMatch = 3;
const longestMatch = 258;
const hashShift = 32 - 12;
// 2³² over the golden ratio, which spreads keys that differ in few bits.
const hashFactor = 0x9e3779b1;

// History and text, side by side. One window and one set of tables for all streams: a block is made within one call.
const window = new Uint8Array(longestHistory + longestBlock);

// The last place of each hash, and for each place the one before it with the same hash. Places are counted on from
// block to block, so that those of earlier blocks are below `base`: nothing has to be cleared.
const latest = new Int32Array(2 ** (32 - hashShift)).fill(-1);
const previous = new Int32Array(window.length);
const lastBase = 2 ** 31 - 1 - 2 * window.length;
let base = 0;

// Room for the longest text if each of its bytes takes nine bits, and for the end of the block.
const output = new Uint8Array(Math.ceil((longestBlock * 9) / 8) + 16);

// Of the match that was found last.
let matchDistance = 0;

// Of the block that is being made: its bytes so far, and bits that fill no byte yet.
let size = 0;
let bits = 0;
let count = 0;

/**
 * Makes one block of deflate: with fixed codes, or stored where that is shorter. An empty stored block follows, as at a
 * flush of zlib. Its mark, 00 00 ff ff, is where every decoder delivers what it has.
 * @param text - at most `longestBlock` bytes
 * @param history - what a decoder has in its window, at most `longestHistory` bytes
 * @returns the length of the block, for `copyBlock`
 */
export function makeBlock(text: Uint8Array, history: Uint8Array, effort: Effort): number {
  const start = history.length;
  const end = start + text.length;
  if (base > lastBase) countPlacesFrom(0);
  window.set(history);
  window.set(text, start);
  chainHistory(start);
  encode(start, end, effort);
  base += end;
  if (size > text.length + 10) store(text);
  return size;
}

/** Copies the block that was made last. */
export function copyBlock(target: Uint8Array, start: number): void {
  for (let at = 0; at < size; at++) target[start + at] = output[at] as number;
}

/** Forgets all places, and counts those to come from this number on. */
export function countPlacesFrom(place: number): void {
  base = place;
  latest.fill(-1);
}

/** Puts the places of the history into their chains. */
function chainHistory(length: number): void {
  let key = ((window[0] as number) << 8) | ((window[1] as number) << 16);
  for (let at = 0; at < length; at++) {
    key = (key >>> 8) | ((window[at + 2] as number) << 16);
    const hash = Math.imul(key, hashFactor) >>> hashShift;
    previous[at] = latest[hash] as number;
    latest[hash] = base + at;
  }
}

/** Puts a place into its chain. @returns the place before it; below 0: none */
function chain(at: number): number {
  const key = (window[at] as number) | ((window[at + 1] as number) << 8) | ((window[at + 2] as number) << 16);
  const hash = Math.imul(key, hashFactor) >>> hashShift;
  const before = latest[hash] as number;
  previous[at] = before;
  latest[hash] = base + at;
  return before - base;
}

/**
 * Puts a place into its chain and looks for a match.
 * @param least - only a longer match counts
 * @returns its length, with its distance in `matchDistance`; `least`: none
 */
function search(at: number, end: number, least: number, { depth, enough }: Effort): number {
  if (end - at < shortestMatch) return least;
  let place = chain(at);
  const lowest = at > longestHistory ? at - longestHistory : 0;
  const limit = end - at < longestMatch ? end - at : longestMatch;
  let length = least;
  if (length >= limit) return length;
  for (let left = depth; left > 0 && place >= lowest; left--) {
    // Most places differ where a longer match would have to go on.
    if (window[place + length] === window[at + length] && window[place] === window[at]) {
      let same = 1;
      while (same < limit && window[place + same] === window[at + same]) same++;
      if (same > length) {
        length = same;
        matchDistance = at - place;
        if (same >= enough || same === limit) break;
      }
    }
    place = (previous[place] as number) - base;
  }
  return length;
}

function encode(start: number, end: number, effort: Effort): void {
  size = 0;
  // RFC 1951 3.2.3: not the last block, and fixed codes.
  bits = 0b010;
  count = 3;
  let at = start;
  while (at < end) {
    let length = search(at, end, shortestMatch - 1, effort);
    if (length < shortestMatch) {
      putLiteral(at++);
      continue;
    }
    let distance = matchDistance;
    let known = at + 1;
    // A longer match at the next place is worth the literal before it.
    while (length <= effort.lazy) {
      const longer = search(known++, end, length, effort);
      if (longer === length) break;
      putLiteral(at++);
      length = longer;
      distance = matchDistance;
    }
    putMatch(length, distance);
    at += length;
    for (const last = at < end - 2 ? at : end - 2; known < last; known++) chain(known);
  }
  // RFC 1951 3.2.6: the end of a block is seven zeros. Then an empty stored block (3.2.4): three zeros, and its lengths
  // from the next byte on.
  put(0, 10);
  if (count > 0) put(0, 8 - count);
  putMark();
}

function putLiteral(at: number): void {
  const literal = window[at] as number;
  put(literalCodes[literal] as number, literalBits[literal] as number);
}

function putMatch(length: number, distance: number): void {
  put(lengthCodes[length] as number, lengthBits[length] as number);
  const symbol = distanceSymbols[distance <= 256 ? distance - 1 : 256 + ((distance - 1) >> 7)] as number;
  const extra = distance - (distanceBases[symbol] as number);
  put((distanceCodes[symbol] as number) | (extra << 5), distanceBits[symbol] as number);
}

/** RFC 1951 3.1.1: bits fill a byte from its lowest one. */
function put(code: number, length: number): void {
  bits |= code << count;
  for (count += length; count >= 8; count -= 8) {
    output[size++] = bits;
    bits >>>= 8;
  }
}

function store(text: Uint8Array): void {
  const { length } = text;
  output.set([0, length, length >> 8, ~length, ~length >> 8]);
  output.set(text, 5);
  size = 5 + length;
  output[size++] = 0;
  putMark();
}

/** The lengths of an empty stored block: 0 and its complement. */
function putMark(): void {
  output[size] = output[size + 1] = 0;
  output[size + 2] = output[size + 3] = 0xff;
  size += 4;
}
