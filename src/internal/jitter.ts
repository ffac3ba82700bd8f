/** A delay spread evenly between half and one and a half times of it. */
export function jittered(delay: number, random: () => number): number {
  return delay * (0.5 + random());
}

/** A span, longer or shorter by up to a share of it; `Infinity` stays. */
export function varied(span: number, share: number, random: () => number): number {
  return span === Infinity ? span : span * (1 + share * (2 * random() - 1));
}
