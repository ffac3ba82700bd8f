/**
 * An `Accept-Encoding` field (RFC 9110 12.5.3): what it names, in lower case and in its order, with the weight of each,
 * 0 to 1. 0 refuses. The wildcard is there under `*`.
 */
export type AcceptEncoding = ReadonlyMap<string, number>;

// RFC 9110 12.4.2: weight = OWS ";" OWS "q=" qvalue, with at most three decimals. No space around the "=" (5.6.6).
const weight = /^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$/;
const isWeight = /^q\s*(=|$)/;

// RFC 9110 8.4.1.1 and 8.4.1.3: to be taken as equivalent.
const aliases: ReadonlyMap<string, string> = new Map([
  ['x-gzip', 'gzip'],
  ['x-compress', 'compress'],
]);

/**
 * Parses an `Accept-Encoding` field. Elements that name no coding are left out; a weight that cannot be read is 0,
 * since it is no consent. Of a coding named twice the lower weight counts, as the order of the elements says nothing: a
 * coding wrongly refused costs some bytes, and one wrongly used costs the client the whole body.
 */
export function parseAcceptEncoding(field: string): AcceptEncoding {
  const accepted = new Map<string, number>();
  for (const element of field.toLowerCase().split(',')) {
    const [name = '', ...parameters] = element.split(';').map((part) => part.trim());
    if (!isCodingToken(name)) continue;
    const coding = aliases.get(name) ?? name;
    accepted.set(coding, Math.min(accepted.get(coding) ?? 1, weightOf(parameters)));
  }
  return accepted;
}

function weightOf(parameters: readonly string[]): number {
  const parameter = parameters.find((each) => isWeight.test(each));
  if (parameter === undefined) return 1;
  return weight.test(parameter) ? Number(parameter.slice(2)) : 0;
}

/**
 * The weight, 0 to 1, that a parsed field gives to a coding: its own, else the wildcard's, else 0. `identity` is
 * acceptable without being named, and only `*;q=0` says otherwise of it.
 */
export function codingWeight(accepted: AcceptEncoding, coding: string): number {
  const name = coding.toLowerCase();
  const named = accepted.get(aliases.get(name) ?? name);
  if (named !== undefined) return named;
  const others = accepted.get('*');
  if (name === 'identity') return others === 0 ? 0 : 1;
  return others ?? 0;
}

// The clients of a service send a handful of fields, each under 60 characters. What is not among them costs a parse,
// and someone who sends a new one each time can neither fill the memory nor slow the others down by more than that.
const maxRemembered = 100;
const maxRememberedLength = 200;

/**
 * Characters of the longest field that is read. No client needs a tenth of it, and what it costs is the service's CPU
 * time.
 */
export const longestField = 1024;

/**
 * Makes a function of a request field remember its last results; of long fields the very last, since one response
 * asks several times.
 */
export function rememberByField<T extends object>(compute: (field: string) => T): (field: string) => T {
  const results = new Map<string, T>();
  let last: { readonly field: string; readonly result: T } | undefined;
  return (field) => {
    if (field.length > maxRememberedLength) {
      if (last?.field !== field) last = { field, result: compute(field) };
      return last.result;
    }
    const known = results.get(field);
    if (known !== undefined) return known;
    const result = compute(field);
    if (results.size >= maxRemembered) results.clear();
    results.set(field, result);
    return result;
  };
}

const readField = rememberByField(parseAcceptEncoding);

// RFC 9110 12.5.3: without a coding a representation is acceptable, unless it is refused by name; and a server may
// send it even then.
const tooLong: AcceptEncoding = new Map();

/**
 * `parseAcceptEncoding`, remembered: the result is shared. A field that is longer than `longestField` accepts no
 * coding.
 */
export function readAcceptEncoding(field: string): AcceptEncoding {
  return field.length > longestField ? tooLong : readField(field);
}

// RFC 9110 5.6.2, in lower case: codings are compared in lower case (8.4.1).
const token = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

// RFC 9110 12.5.3: these mean something else in Accept-Encoding.
const reserved: readonly string[] = ['identity', '*'];

/** Whether a value is a token in lower case, which a field may name as a coding. */
export function isCodingToken(value: unknown): value is string {
  return typeof value === 'string' && token.test(value);
}

/** Whether a value is the name of a content-coding, in lower case, that a codec may have. */
export function isContentCoding(value: unknown): value is string {
  return isCodingToken(value) && !reserved.includes(value);
}

/** A text in lower case; of anything else, what it is. */
export function toLowerCase(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value;
}
