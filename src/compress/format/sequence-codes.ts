import { type EntropyTable, makeTable } from './entropy-table.ts';

// The codes of zstd for sequences: literals, then a match (RFC 8878 3.1.1.3.2). Each number is a code and some extra
// bits, which are its lowest ones.

/** The tables that every decoder has (RFC 8878 3.1.1.3.2.2). */
export const literalTable: EntropyTable = makeTable(6, [
  4,
  3,
  ...times(11, 2),
  1,
  1,
  1,
  ...times(9, 2),
  3,
  2,
  ...times(5, 1),
  ...times(4, -1),
]);
export const matchTable: EntropyTable = makeTable(6, [1, 4, 3, ...times(6, 2), ...times(37, 1), ...times(7, -1)]);
export const offsetTable: EntropyTable = makeTable(5, [...times(6, 1), 2, 2, 2, ...times(15, 1), ...times(5, -1)]);

/** The extra bits of each code of a count of literals, and of a length of a match (RFC 8878 3.1.1.3.2.1.1). */
export const literalExtra: Uint8Array = Uint8Array.of(
  ...times(16, 0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);
export const matchExtra: Uint8Array = Uint8Array.of(
  ...times(32, 0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);

// The codes of small numbers. Beyond, each code has a power of two.
const smallLiteralCodes = codesOf(literalExtra, 64);
const smallMatchCodes = codesOf(matchExtra, 128);

export function literalCodeOf(count: number): number {
  return count < 64 ? (smallLiteralCodes[count] as number) : 50 - Math.clz32(count);
}

/** @param rest - the length of a match, without the three bytes that each has */
export function matchCodeOf(rest: number): number {
  return rest < 128 ? (smallMatchCodes[rest] as number) : 67 - Math.clz32(rest);
}

/** @param offset - as `numberOffsets` has it. The code is the number of its extra bits */
export function offsetCodeOf(offset: number): number {
  return 31 - Math.clz32(offset);
}

function times(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value);
}

/** The code of each number below a limit. */
function codesOf(extra: Uint8Array, limit: number): Uint8Array {
  const codes = new Uint8Array(limit);
  let number = 0;
  for (let code = 0; number < limit; code++)
    for (let left = 2 ** (extra[code] as number); left > 0 && number < limit; left--) codes[number++] = code;
  return codes;
}
