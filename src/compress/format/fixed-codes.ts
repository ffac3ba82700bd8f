// The fixed codes of deflate (RFC 1951 3.2.5 and 3.2.6), as they go out: the first bit of a code is its lowest one,
// and the extra bits stand above it.

/** Codes of the literals 0 to 255. */
export const literalCodes: Uint16Array = new Uint16Array(256);
export const literalBits: Uint8Array = new Uint8Array(256);

/** Codes of the lengths 3 to 258, with their extra bits. */
export const lengthCodes: Uint16Array = new Uint16Array(259);
export const lengthBits: Uint8Array = new Uint8Array(259);

/** For each of the 30 symbols of a distance: its code, its least distance, and bits with those that are extra. */
export const distanceCodes: Uint8Array = new Uint8Array(30);
export const distanceBases: Uint16Array = new Uint16Array(30);
export const distanceBits: Uint8Array = new Uint8Array(30);

/** Symbols of the distances up to 256, at distance − 1; then those of 128 distances each. */
export const distanceSymbols: Uint8Array = new Uint8Array(512);

for (let literal = 0; literal < 256; literal++) {
  const isShort = literal < 144;
  literalBits[literal] = isShort ? 8 : 9;
  literalCodes[literal] = isShort ? reversed(0x30 + literal, 8) : reversed(0x190 + literal - 144, 9);
}

// Of the symbols of a length (257 to 285) all but the first eight come in fours with one more extra bit each, and those
// of a distance (0 to 29) all but the first four in twos.
for (let length = 3; length <= 258; length++) {
  const offset = length - 3;
  const extra = length === 258 ? 0 : extraBits(offset, 4);
  const symbol = length === 258 ? 285 : 257 + 4 * extra + (offset >> extra);
  const bits = symbol < 280 ? 7 : 8;
  const code = symbol < 280 ? reversed(symbol - 256, bits) : reversed(0xc0 + symbol - 280, bits);
  lengthBits[length] = bits + extra;
  lengthCodes[length] = code | (((offset & ((1 << extra) - 1)) << bits) * Number(length < 258));
}

for (let distance = 32_768; distance >= 1; distance--) {
  const offset = distance - 1;
  const extra = extraBits(offset, 2);
  const symbol = 2 * extra + (offset >> extra);
  distanceCodes[symbol] = reversed(symbol, 5);
  distanceBases[symbol] = distance;
  distanceBits[symbol] = 5 + extra;
  if (offset < 256) distanceSymbols[offset] = symbol;
  else distanceSymbols[256 + (offset >> 7)] = symbol;
}

/** How many low bits of an offset are extra, where `group` symbols share each number of them. */
function extraBits(offset: number, group: number): number {
  return Math.max(0, 31 - Math.clz32(offset) - Math.log2(group));
}

function reversed(code: number, bits: number): number {
  let result = 0;
  for (let bit = 0; bit < bits; bit++) result |= ((code >> bit) & 1) << (bits - 1 - bit);
  return result;
}
