/** What to do with a request that may end at this hop. */
export type HopDecision =
  /** @property maxForwards - what the next hop gets; `undefined`: no such header */
  | { readonly kind: 'pass'; readonly maxForwards: number | undefined }
  | { readonly kind: 'answer' }
  | { readonly kind: 'refused'; readonly why: string };

// RFC 9110 7.6.2 allows a largest value of one's own. No chain is that long.
const longestChain = 2 ** 31 - 1;

const pass: HopDecision = { kind: 'pass', maxForwards: undefined };

/** Whether `Max-Forwards` means something to the method (RFC 9110 7.6.2). */
export function countsHops(method: string | undefined): boolean {
  return method === 'OPTIONS' || method === 'TRACE';
}

/**
 * Decides whether a request ends at this hop.
 *
 * | method         | target                     | `Max-Forwards` | decision                       |
 * | -------------- | -------------------------- | -------------- | ------------------------------ |
 * | OPTIONS        | `*`, or an authority alone | any            | answer: it asks for the server |
 * | OPTIONS, TRACE | any                        | none           | pass                           |
 * | OPTIONS, TRACE | any                        | 0              | answer                         |
 * | OPTIONS, TRACE | any                        | n              | pass, with n − 1               |
 * | OPTIONS, TRACE | any                        | no number      | refuse: it could go in a loop  |
 * | any other      | any                        | any            | pass; the header is no concern |
 *
 * @param lines - the values of all `Max-Forwards` lines
 */
export function decideHop(method: string | undefined, target: string, lines: readonly string[]): HopDecision {
  if (!countsHops(method)) return pass;
  // RFC 9112 3.2.4: of the second form the last proxy makes the first, which no upstream can be asked for here.
  if (method === 'OPTIONS' && (target === '*' || /^https?:\/\/[^/?#]*$/i.test(target))) return { kind: 'answer' };
  const [first] = lines;
  if (first === undefined) return pass;
  if (lines.length > 1 || !/^\d+$/.test(first)) return { kind: 'refused', why: 'Max-Forwards is not a number' };
  const left = Number(first);
  return left === 0 ? { kind: 'answer' } : { kind: 'pass', maxForwards: Math.min(left - 1, longestChain) };
}

// RFC 9110 9.3.8: what is likely to be a secret is not reflected.
const secret = /auth|cookie|credential|key|password|secret|session|signature|token/;

/**
 * The message that a TRACE reflects (RFC 9110 9.3.8), without secrets.
 * @param fields - in order
 */
export function reflect(requestLine: string, fields: Iterable<readonly [name: string, value: string]>): string {
  const lines = [...fields]
    .filter(([name]) => !secret.test(name.toLowerCase()))
    .map(([name, value]) => `${name}: ${value}`);
  return [requestLine, ...lines, '', ''].join('\r\n');
}
