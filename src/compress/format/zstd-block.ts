import { beginBlock, blockSize, fillByte, putBits, putByte, putBytes, setByte } from './block-output.ts';
import {
  type Effort,
  findMatches,
  literalCounts,
  longestText,
  matchDistances,
  matchLengths,
  shortestMatch,
  window,
} from './match-finder.ts';
import {
  bitsOf,
  type EntropyTable,
  firstState,
  makeTable,
  putCode,
  putCounts,
  putState,
  shareStates,
} from './entropy-table.ts';
import {
  literalCodeOf,
  literalExtra,
  literalTable,
  matchCodeOf,
  matchExtra,
  matchTable,
  offsetCodeOf,
  offsetTable,
} from './sequence-codes.ts';
import { blockHeaderLength, blockKind, rawBlock } from './zstd-frame.ts';

// With fewer matches a table of its own is longer than what it saves. It has that many states for each match, about.
const leastForTables = 32;
const statesPerMatch = 1 / 2;

// What stands for the distance of each match, and the three codes of each sequence.
const offsets = new Uint16Array(matchDistances.length);
const literalCodes = new Uint8Array(matchDistances.length);
const matchCodes = new Uint8Array(matchDistances.length);
const offsetCodes = new Uint8Array(matchDistances.length);

/**
 * Makes one block of a zstd frame that goes on, with raw literals; or a raw one where that is shorter. It can stand
 * behind any block: of those before it refers to the text alone, and not to their distances and tables.
 * @param text - at most `longestText` bytes
 * @param history - the text before it that the decoder has in its window, at most `longestHistory` bytes
 * @returns the length of the block, for `copyBlock`
 */
export function makeZstdBlock(text: Uint8Array, history: Uint8Array, effort: Effort): number {
  const found = findMatches(text, history, effort);
  beginBlock();
  if (found > 0) encode(history.length, history.length + text.length, found);
  if (found === 0 || blockSize() >= blockHeaderLength + text.length) {
    beginBlock();
    const raw = rawBlock(text, false);
    putBytes(raw, 0, raw.length);
  }
  return blockSize();
}

function encode(start: number, end: number, found: number): void {
  for (let at = 0; at < blockHeaderLength; at++) putByte(0);
  putLiterals(start, end, found);
  numberOffsets(found);
  findCodes(found);
  putSequences(found);
  const header = ((blockSize() - blockHeaderLength) << 3) | (blockKind.compressed << 1);
  for (let at = 0; at < blockHeaderLength; at++) setByte(at, header >> (8 * at));
}

/** RFC 8878 3.1.1.3.1: all that no match covers, in one piece. */
function putLiterals(start: number, end: number, found: number): void {
  let size = end - start;
  for (let index = 0; index < found; index++) size -= matchLengths[index] as number;
  // Type 0, raw. The bits above it say how many bytes the size takes.
  if (size < 32) putByte(size << 3);
  else if (size < 4096) putBits((size << 4) | 0b0100, 16);
  else putBits((size << 4) | 0b1100, 24);
  let at = start;
  for (let index = 0; index < found; index++) {
    const matchAt = at + (literalCounts[index] as number);
    putBytes(window, at, matchAt);
    at = matchAt + (matchLengths[index] as number);
  }
  putBytes(window, at, end);
}

/**
 * RFC 8878 3.1.1.5: the numbers 1 to 3 stand for the three distances that were used last, a higher one for a distance
 * that is lower by 3. Those of earlier blocks may be another stream's, so only distances of this block are repeated.
 * Behind no literals, 1 to 3 mean something else.
 */
function numberOffsets(found: number): void {
  let [first, second, third] = [0, 0, 0];
  for (let index = 0; index < found; index++) {
    const distance = matchDistances[index] as number;
    const mayRepeat = (literalCounts[index] as number) > 0;
    if (mayRepeat && distance === first) {
      offsets[index] = 1;
      continue;
    }
    if (mayRepeat && distance === second) offsets[index] = 2;
    else {
      offsets[index] = mayRepeat && distance === third ? 3 : distance + 3;
      third = second;
    }
    second = first;
    first = distance;
  }
}

function findCodes(found: number): void {
  for (let index = 0; index < found; index++) {
    literalCodes[index] = literalCodeOf(literalCounts[index] as number);
    matchCodes[index] = matchCodeOf((matchLengths[index] as number) - shortestMatch);
    offsetCodes[index] = offsetCodeOf(offsets[index] as number);
  }
}

/** RFC 8878 3.1.1.3.2. */
function putSequences(found: number): void {
  if (found >= 128) putByte((found >> 8) | 0x80);
  putByte(found & 0xff);
  const literals = chooseTable(literalTable, literalCodes, found);
  const distances = chooseTable(offsetTable, offsetCodes, found);
  const matches = chooseTable(matchTable, matchCodes, found);
  putByte(
    (modeOf(literals, literalTable) << 6) | (modeOf(distances, offsetTable) << 4) | (modeOf(matches, matchTable) << 2),
  );
  if (literals !== literalTable) putTable(literals);
  if (distances !== offsetTable) putTable(distances);
  if (matches !== matchTable) putTable(matches);
  putCodes(found, literals, matches, distances);
}

/** 0: the table that every decoder has. 2: one that is in the block. */
function modeOf(table: EntropyTable, predefined: EntropyTable): number {
  return table === predefined ? 0 : 2;
}

function putTable(table: EntropyTable): void {
  putCounts(table);
  fillByte();
}

/** The table with which these codes are shorter, with the table itself if it has to be in the block. */
function chooseTable(predefined: EntropyTable, codes: Uint8Array, found: number): EntropyTable {
  if (found < leastForTables) return predefined;
  const often: number[] = [];
  for (let index = 0; index < found; index++) {
    const code = codes[index] as number;
    while (often.length <= code) often.push(0);
    often[code] = (often[code] as number) + 1;
  }
  const used = often.filter((each) => each > 0).length;
  // A single code has a mode of its own, which is not worth the while here.
  if (used < 2) return predefined;
  const log = Math.min(8, Math.max(6, 31 - Math.clz32(found * statesPerMatch)));
  const counts = shareStates(log, often);
  // Of the table, a code takes some 5 bits.
  const own = bitsOf(often, log, counts) + 5 * used + 8;
  return own < bitsOf(often, predefined.log, predefined.counts) ? makeTable(log, counts) : predefined;
}

/** RFC 8878 3.1.1.3.2.1.2: a decoder reads from the end, so the last sequence comes first. */
function putCodes(found: number, literals: EntropyTable, matches: EntropyTable, distances: EntropyTable): void {
  let index = found - 1;
  let literalState = firstState(literals, literalCodes[index] as number);
  let matchState = firstState(matches, matchCodes[index] as number);
  let offsetState = firstState(distances, offsetCodes[index] as number);
  putExtras(index);
  while (--index >= 0) {
    offsetState = putCode(distances, offsetState, offsetCodes[index] as number);
    matchState = putCode(matches, matchState, matchCodes[index] as number);
    literalState = putCode(literals, literalState, literalCodes[index] as number);
    putExtras(index);
  }
  putState(matches, matchState);
  putState(distances, offsetState);
  putState(literals, literalState);
  // A one marks where the bits begin for one who reads from the end.
  putBits(1, 1);
  fillByte();
}

/** The lowest bits of the three numbers of a sequence: their codes stand for the rest. */
function putExtras(index: number): void {
  putLowest(literalCounts[index] as number, literalExtra[literalCodes[index] as number] as number);
  putLowest((matchLengths[index] as number) - shortestMatch, matchExtra[matchCodes[index] as number] as number);
  putLowest(offsets[index] as number, offsetCodes[index] as number);
}

function putLowest(value: number, bits: number): void {
  putBits(value & ((1 << bits) - 1), bits);
}

/** The most that a frame of these blocks refers back to, with a window of so many bits: the other half is text. */
export function longestZstdHistory(windowBits: number): number {
  return Math.min(2 ** (windowBits - 1), longestText);
}
