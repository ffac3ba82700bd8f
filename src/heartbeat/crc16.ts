// CRC-16/CCITT-FALSE: x¹⁶ + x¹² + x⁵ + 1, highest bit first, nothing reflected and nothing inverted at the end. The
// catalogue of CRCs lists it as CRC-16/IBM-3740, with 0x29b1 for "123456789".
const polynomial = 0x1021;
const initial = 0xffff;

const table = Uint16Array.from({ length: 256 }, (_, byte) => divide(byte << 8));

/** What eight shifts make of a register. */
function divide(register: number): number {
  let rest = register;
  for (let bit = 0; bit < 8; bit++) rest = (rest & 0x8000) === 0 ? rest << 1 : (rest << 1) ^ polynomial;
  return rest & 0xffff;
}

/** CRC-16/CCITT-FALSE of `bytes` from `from` up to, and without, `to`: 0 to 0xffff. */
export function crc16(bytes: Uint8Array, from = 0, to: number = bytes.length): number {
  let crc = initial;
  for (let at = from; at < to; at++) crc = ((crc << 8) & 0xffff) ^ (table[(crc >> 8) ^ (bytes[at] ?? 0)] ?? 0);
  return crc;
}
