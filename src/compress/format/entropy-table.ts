import { putBits } from './block-output.ts';

/** A table of finite state entropy, the way in which zstd writes codes (RFC 8878 4.1). */
export interface EntropyTable {
  /** The number of states is two to the power of this. */
  readonly log: number;
  /** How many states each code has. The more, the fewer bits it takes. -1: one, with the most bits. */
  readonly counts: readonly number[];
  /** The states of each code, one code behind the other. */
  readonly states: Uint16Array;
  /** Of each code: what makes the number of bits of a state, in the upper 16 bits of their sum. */
  readonly bitsAdd: Int32Array;
  /** Of each code: what makes the place in `states` of what is left of a state. */
  readonly placeAdd: Int32Array;
}

/** @param counts - of states, for each code: all in all two to the power of `log` */
export function makeTable(log: number, counts: readonly number[]): EntropyTable {
  const size = 2 ** log;
  const codes = spreadCodes(size, counts);
  const next = new Int32Array(counts.length);
  const bitsAdd = new Int32Array(counts.length);
  const placeAdd = new Int32Array(counts.length);
  let start = 0;
  for (const [code, given] of counts.entries()) {
    const count = Math.abs(given);
    next[code] = start;
    placeAdd[code] = start - count;
    start += count;
    // States from a certain one on give one bit more than those below. Of a code with one state, all give `log` bits.
    const mostBits = count > 1 ? log - (31 - Math.clz32(count - 1)) : log;
    bitsAdd[code] = (mostBits << 16) - (count > 1 ? count << mostBits : size);
  }
  const states = new Uint16Array(size);
  for (const [place, code] of codes.entries()) states[(next[code] as number)++] = size + place;
  return { log, counts, states, bitsAdd, placeAdd };
}

/** Which code each state stands for (RFC 8878 4.1.1). */
function spreadCodes(size: number, counts: readonly number[]): Uint8Array {
  const codes = new Uint8Array(size);
  let last = size - 1;
  for (const [code, count] of counts.entries()) if (count === -1) codes[last--] = code;
  const step = (size >> 1) + (size >> 3) + 3;
  let place = 0;
  for (const [code, count] of counts.entries()) {
    for (let left = count; left > 0; left--) {
      codes[place] = code;
      do place = (place + step) & (size - 1);
      while (place > last);
    }
  }
  return codes;
}

/**
 * Shares states among codes, by how often they come: at least one for each that does.
 * @param often - how often each code comes, up to the last that does. More than one does
 */
export function shareStates(log: number, often: readonly number[]): number[] {
  const size = 2 ** log;
  const total = often.reduce((sum, each) => sum + each, 0);
  const counts = often.map((each) => (each === 0 ? 0 : Math.max(1, Math.round((each * size) / total))));
  // What rounding gave too much or too little, the code with the most states can bear best.
  for (let left = size - counts.reduce((sum, each) => sum + each, 0); left !== 0;) {
    const most = counts.indexOf(Math.max(...counts));
    const change = left > 0 ? left : -1;
    counts[most] = (counts[most] as number) + change;
    left -= change;
  }
  return counts;
}

/** The bits that codes take, about. @param often - how often each comes */
export function bitsOf(often: readonly number[], log: number, counts: readonly number[]): number {
  let bits = 0;
  for (const [code, each] of often.entries())
    if (each > 0) bits += each * (log - Math.log2(Math.abs(counts[code] as number)));
  return bits;
}

/** Writes how many states each code has (RFC 8878 4.1.1). The last byte is filled by the caller. */
export function putCounts({ log, counts }: EntropyTable): void {
  putBits(log - 5, 4);
  // One more than the states that are left, and the power of two that is not above it.
  let left = 2 ** log + 1;
  let power = 2 ** log;
  for (let code = 0; left > 1;) {
    const count = counts[code++] as number;
    // 0 to `left`, in numbers of which the small ones take one bit less.
    const short = 2 * power - 1 - left;
    const value = count + 1 < power ? count + 1 : count + 1 + short;
    const bits = 32 - Math.clz32(power);
    putBits(value, value < short ? bits - 1 : bits);
    left -= count;
    while (power > left) power >>= 1;
    if (count === 0) code = putZeros(counts, code);
  }
}

/** Writes how many codes behind one without a state have none either. @returns the next that has some */
function putZeros(counts: readonly number[], from: number): number {
  let code = from;
  while (counts[code] === 0) code++;
  let zeros = code - from;
  for (; zeros >= 3; zeros -= 3) putBits(3, 2);
  putBits(zeros, 2);
  return code;
}

/** The state of the last code, which is written first. It takes no bits. */
export function firstState({ states, bitsAdd, placeAdd }: EntropyTable, code: number): number {
  const add = bitsAdd[code] as number;
  const bits = (add + 0x8000) >> 16;
  return states[(((bits << 16) - add) >> bits) + (placeAdd[code] as number)] as number;
}

/** Writes what a decoder needs to get from the state of a code to that of the next. @returns the state of the code */
export function putCode({ states, bitsAdd, placeAdd }: EntropyTable, next: number, code: number): number {
  const bits = (next + (bitsAdd[code] as number)) >> 16;
  putBits(next & ((1 << bits) - 1), bits);
  return states[(next >> bits) + (placeAdd[code] as number)] as number;
}

/** Writes the state of the first code, with which a decoder begins. */
export function putState({ log }: EntropyTable, state: number): void {
  putBits(state & ((1 << log) - 1), log);
}
