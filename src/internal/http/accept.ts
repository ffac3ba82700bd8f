/** One element of an `Accept` field (RFC 9110 12.5.1). */
export interface MediaRange {
  readonly type: string;
  readonly subtype: string;
  /** Weight, 0 to 1; an unreadable weight counts as 0. */
  readonly q: number;
}

// RFC 9110 12.4.2: weight = OWS ";" OWS "q=" qvalue, with at most three decimals.
const qvalue = /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/;

/** Parses an `Accept` field. Elements that are not media ranges are left out. */
export function parseAccept(field: string): MediaRange[] {
  const ranges: MediaRange[] = [];
  for (const element of field.split(',')) {
    const [range = '', ...parameters] = element.split(';').map((part) => part.trim().toLowerCase());
    const [type = '', subtype = '', ...rest] = range.split('/');
    if (type === '' || subtype === '' || rest.length > 0) continue;
    ranges.push({ type, subtype, q: weightOf(parameters) });
  }
  return ranges;
}

function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    if (!parameter.startsWith('q=')) continue;
    const value = parameter.slice(2);
    return qvalue.test(value) ? Number(value) : 0;
  }
  return 1;
}

/**
 * The weight, 0 to 1, that an `Accept` field gives to a media type. The most specific range decides, so a
 * type with `q=0` is refused even beside the full wildcard. An absent or empty field accepts everything.
 */
export function acceptWeight(field: string | undefined, mediaType: string): number {
  if (field === undefined || field.trim() === '') return 1;
  const [type = '', subtype = ''] = mediaType.split('/');
  let best = -1;
  let weight = 0;
  for (const range of parseAccept(field)) {
    const specificity = specificityOf(range, type, subtype);
    if (specificity < 0 || specificity < best) continue;
    weight = specificity === best ? Math.max(weight, range.q) : range.q;
    best = specificity;
  }
  return weight;
}

/** Whether an `Accept` field asks for a media type by its name: a wildcard asks for anything. */
export function namesMediaType(field: string, mediaType: string): boolean {
  return parseAccept(field).some(({ type, subtype, q }) => `${type}/${subtype}` === mediaType && q > 0);
}

function specificityOf(range: MediaRange, type: string, subtype: string): number {
  if (range.type === type && range.subtype === subtype) return 2;
  if (range.type === type && range.subtype === '*') return 1;
  return range.type === '*' && range.subtype === '*' ? 0 : -1;
}

/** The media type of a `Content-Type` field, in lower case and without its parameters; `''` without a field. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
