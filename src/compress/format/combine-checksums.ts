// The checksum of two texts, one behind the other, from those of each.

// CRC-32 (RFC 1952 8), with the lowest bit as the highest power: 1 is the bit 31.
const polynomial = 0xedb88320;
const one = 0x80000000;

// x to the power of 2⁰, 2¹, … 2³¹, modulo the polynomial.
const powers = new Int32Array(32);
for (let exponent = 0, power = one >>> 1; exponent < powers.length; exponent++) {
  powers[exponent] = power;
  power = multiply(power, power);
}

/** The product of two polynomials over GF(2), modulo that of the CRC. */
function multiply(left: number, right: number): number {
  let product = 0;
  let shifted = right;
  for (let rest = left; rest !== 0; rest <<= 1) {
    if (rest < 0) product ^= shifted;
    shifted = (shifted >>> 1) ^ (polynomial & -(shifted & 1));
  }
  return product;
}

/** What a CRC-32 is multiplied with when `length` bytes follow: x to the power of 8 × `length`. */
export function crcShift(length: number): number {
  let shift = one | 0;
  // From x to the power of 2³ on: a byte has eight bits. The powers repeat after 32: x²³² ≡ x.
  for (let rest = length, exponent = 3; rest > 0; rest = Math.floor(rest / 2), exponent++)
    if (rest % 2 === 1) shift = multiply(shift, powers[exponent & 31] ?? 0);
  return shift;
}

/**
 * CRC-32 of a text that goes on.
 * @param next - CRC-32 of what follows
 * @param shift - `crcShift` of its length
 */
export function combineCrc(before: number, next: number, shift: number): number {
  return (multiply(shift, before) ^ next) >>> 0;
}

// RFC 1950 9.
const adlerBase = 65_521;

/**
 * Adler-32 of a text that goes on.
 * @param next - Adler-32 of what follows
 * @param length - its length
 */
export function combineAdler(before: number, next: number, length: number): number {
  const low = (before & 0xffff) + (next & 0xffff) - 1;
  // Each byte that follows adds the sum of those before once more, without the 1 that both sums begin with.
  const high = (before >>> 16) + (next >>> 16) + ((before & 0xffff) - 1) * (length % adlerBase);
  return ((modulo(high) << 16) | modulo(low)) >>> 0;
}

function modulo(sum: number): number {
  return ((sum % adlerBase) + adlerBase) % adlerBase;
}
