/**
 * What happens to the `ETag` of an encoded response. Two different sequences of bytes must not share a strong one (RFC
 * 9110 8.8.3.3).
 *
 * | mode | of `"abc"`, with gzip | |
 * |---|---|---|
 * | `weak` | `W/"abc"` | same meaning, other bytes; `If-Match` and `If-Range` then never match |
 * | `suffix` | `"abc-gzip"` | a tag for each coding; the suffix is taken off what the client sends back |
 * | `drop` | none | |
 * | `keep` | `"abc"` | for a handler that makes a tag for each coding by itself |
 */
export type EtagMode = 'weak' | 'suffix' | 'drop' | 'keep';

// RFC 9110 8.8.3: entity-tag = [ %s"W/" ] DQUOTE *etagc DQUOTE. Handlers that put a space into one get the same
// treatment.
const entityTag = /^(?:W\/)?"[^"]*"$/;
const opaqueTags = /"([^"]*)"/g;
const entityTags = /(?:W\/)?"[^"]*"/g;

// Characters of the longest condition that is looked into: some hundred tags, where a client holds a few. Left alone,
// a longer one costs at most a body that need not have been sent.
const longestCondition = 4096;

/**
 * The `ETag` of the encoded representation; `undefined` for none. What is no entity-tag is left alone, and so is the
 * tag of the representation without a coding.
 * @param etag - as the handler set it
 * @param coding - the coding that is used; `identity` for none
 */
export function encodedEtag(etag: string, coding: string, mode: EtagMode): string | undefined {
  if (mode === 'drop') return coding === 'identity' ? etag : undefined;
  if (mode === 'keep' || coding === 'identity' || !entityTag.test(etag)) return etag;
  if (mode === 'suffix') return `${etag.slice(0, -1)}-${coding}"`;
  return etag.startsWith('W/') ? etag : `W/${etag}`;
}

/** A condition as the handler has to see it. */
export interface PlainConditions {
  /** The field without the suffixes, and else unchanged. */
  readonly field: string;
  /** Those whose suffix was there. Empty: nothing to rewrite. */
  readonly codings: readonly string[];
}

/**
 * Takes the suffixes of mode `suffix` off the tags of an `If-None-Match` or `If-Match` field (RFC 9110 13.1), so that
 * the handler finds its own. Not for `If-Range`: a range is of the representation without a coding.
 * @param codings - those that are offered and that this request accepts. A tag of another coding stays, and rightly
 *   matches nothing: answered with 304, a cache would give this client the body that it stored for others.
 */
export function plainConditions(field: string, codings: readonly string[]): PlainConditions {
  if (field.length > longestCondition) return { field, codings: [] };
  const found = new Set<string>();
  const plain = field.replace(opaqueTags, (tag, opaque: string) => {
    const coding = codings.find((each) => opaque.endsWith(`-${each}`));
    if (coding === undefined) return tag;
    found.add(coding);
    return `"${opaque.slice(0, -coding.length - 1)}"`;
  });
  return { field: plain, codings: [...found] };
}

/** What `matchedEtag` needs to know of the request. */
export interface HeldTags {
  /** `If-None-Match` as the client sent it. */
  readonly ifNoneMatch: string;
  /** The codings that are offered and that this request accepts, best first. */
  readonly codings: readonly string[];
  readonly mode: EtagMode;
}

/**
 * The `ETag` of a 304: that of the variant which the client holds, or else its cache could not tell which stored
 * response is meant (RFC 9111 4.3.4). The handler's own tag if that is among those sent, since every client can use
 * that variant.
 * @param etag - as the handler set it
 */
export function matchedEtag(etag: string, { ifNoneMatch, codings, mode }: HeldTags): string {
  if (ifNoneMatch.length > longestCondition) return etag;
  const held = new Set(ifNoneMatch.match(entityTags));
  if (held.has(etag)) return etag;
  // A weak tag is the same for every coding.
  const variants =
    mode === 'weak' ? [encodedEtag(etag, '*', mode)] : codings.map((coding) => encodedEtag(etag, coding, mode));
  return variants.find((variant) => variant !== undefined && held.has(variant)) ?? etag;
}
