// @ts-check

/**
 * Random numbers from 0 to 1 that are the same on every run and every machine (mulberry32).
 * @param {number} seed
 */
export function createRandom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * @template T
 * @param {() => number} random
 * @param {readonly T[]} list - not empty
 */
export function pick(random, list) {
  return /** @type {T} */ (list[Math.floor(random() * list.length)]);
}

/**
 * A whole number from `least` up to `most`.
 * @param {() => number} random
 * @param {number} least
 * @param {number} most
 */
export function between(random, least, most) {
  return least + Math.floor(random() * (most - least + 1));
}

/**
 * @param {() => number} random
 * @param {number} digits
 * @param {number} [radix]
 */
export function randomDigits(random, digits, radix = 16) {
  return Array.from({ length: digits }, () => between(random, 0, radix - 1).toString(radix)).join('');
}
