/** How much time the search for what repeats may take. */
export interface Effort {
  /** Earlier places that are compared with each place of the text. */
  readonly depth: number;
  /** A match of this length or less waits for a longer one at the next place. */
  readonly lazy: number;
  /** A match of this length or more needs no better one. */
  readonly enough: number;
}

/**
 * On events of 230 bytes of JSON, blocks of deflate are 2 % shorter with the second than with the first, and take 8 %
 * longer. The last two differ in texts that repeat themselves often.
 */
export const efforts: Readonly<Record<'least' | 'less' | 'usual' | 'most', Effort>> = {
  least: { depth: 4, lazy: 8, enough: 32 },
  less: { depth: 8, lazy: 16, enough: 64 },
  usual: { depth: 16, lazy: 32, enough: 128 },
  most: { depth: 256, lazy: 258, enough: 258 },
};

/** Bytes of text that are searched at once, at most. */
export const longestText = 32_768;

/** Bytes of history that a match reaches back at most: the largest distance of deflate (RFC 1951 2). */
export const longestHistory = 32_768;

/** The shortest match of deflate and of zstd, and the longest of deflate. */
export const shortestMatch = 3;
const longestMatch = 258;

const hashShift = 32 - 12;
// 2³² over the golden ratio, which spreads keys that differ in few bits.
const hashFactor = 0x9e3779b1;

/**
 * History and text, side by side. One window and one set of tables for all streams: a block is made within one call.
 */
export const window: Uint8Array = new Uint8Array(longestHistory + longestText);

/** What was found last, in order: of each match the bytes before it that no match covers, its length, its distance. */
export const literalCounts: Uint16Array = new Uint16Array(Math.ceil(longestText / shortestMatch));
export const matchLengths: Uint16Array = new Uint16Array(literalCounts.length);
export const matchDistances: Uint16Array = new Uint16Array(literalCounts.length);

// The last place of each hash, and for each place the one before it with the same hash. Places are counted on from
// block to block, so that those of earlier blocks are below `base`: nothing has to be cleared.
const latest = new Int32Array(2 ** (32 - hashShift)).fill(-1);
const previous = new Int32Array(window.length);
const lastBase = 2 ** 31 - 1 - 2 * window.length;
let base = 0;

// Of the match that was found last.
let matchDistance = 0;

/**
 * Finds what repeats in a text, or what it has in common with the history, from which it goes on. Both are then in the
 * `window`.
 * @param text - at most `longestText` bytes
 * @param history - what a decoder has in its window, at most `longestHistory` bytes
 * @returns the number of matches
 */
export function findMatches(text: Uint8Array, history: Uint8Array, effort: Effort): number {
  const start = history.length;
  const end = start + text.length;
  if (base > lastBase) countPlacesFrom(0);
  window.set(history);
  window.set(text, start);
  chainHistory(start);
  const found = findFrom(start, end, effort);
  base += end;
  return found;
}

/** Forgets all places, and counts those to come from this number on. */
export function countPlacesFrom(place: number): void {
  base = place;
  latest.fill(-1);
}

function findFrom(start: number, end: number, effort: Effort): number {
  let found = 0;
  let literalsFrom = start;
  let at = start;
  while (at < end) {
    let length = search(at, end, shortestMatch - 1, effort);
    if (length < shortestMatch) {
      at++;
      continue;
    }
    let distance = matchDistance;
    let known = at + 1;
    // A longer match at the next place is worth the literal before it.
    while (length <= effort.lazy) {
      const longer = search(known++, end, length, effort);
      if (longer === length) break;
      at++;
      length = longer;
      distance = matchDistance;
    }
    literalCounts[found] = at - literalsFrom;
    matchLengths[found] = length;
    matchDistances[found++] = distance;
    at += length;
    literalsFrom = at;
    for (const last = at < end - 2 ? at : end - 2; known < last; known++) chain(known);
  }
  return found;
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
