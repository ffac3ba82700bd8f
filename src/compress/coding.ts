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
