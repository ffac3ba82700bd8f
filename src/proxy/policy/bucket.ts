/** FNV-1a with a final mix: a number in (0, 1) that depends on every character. Not for secrets. */
export function unitHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  // The finalizer of MurmurHash3: without it near keys would stay near.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return ((hash >>> 0) + 0.5) / 2 ** 32;
}

/**
 * Chooses among weighted names by a key, by weighted rendezvous hashing: the name with the largest
 * `-weight / ln(hash)`. Each name gets its share of all keys. When one weight grows, keys move to that name only; when
 * it shrinks, from that name only. No other key moves.
 * @param weights - not negative; a name of weight 0 is never chosen
 */
export function chooseByKey(
  weights: Iterable<readonly [name: string, weight: number]>,
  key: string,
): string | undefined {
  let best: string | undefined;
  let bestScore = 0;
  for (const [name, weight] of weights) {
    const score = weight > 0 ? -weight / Math.log(unitHash(`${name}\u0000${key}`)) : 0;
    if (score <= bestScore) continue;
    best = name;
    bestScore = score;
  }
  return best;
}
