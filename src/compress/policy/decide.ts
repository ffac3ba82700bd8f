import { describesContent, readBodyCoding } from '../../internal/http/body-rules.ts';
import type { BodyKind, Codec, Tier } from '../codec.ts';
import type { ClientFamily } from './fingerprint.ts';
import { type Choice, chooseOffer, type NegotiationReason } from './negotiate.ts';

/** What a decision depends on. */
export interface CompressionFacts {
  /** Of the request. */
  readonly method: string | undefined;
  readonly status: number;
  /** A field of the response as text, by its name in lower case; `undefined` if it is not there. */
  readonly field: (name: string) => string | undefined;
  /** Whether a stream of ours set `no-transform`. That is for intermediaries. */
  readonly noTransformByWriter: boolean;
  /** Bytes of the body; `undefined` if unknown. */
  readonly length: number | undefined;
  /** Bytes under which a body is not worth it. No stream of small messages is under it. */
  readonly threshold: number;
  readonly kind: BodyKind;
  /** Whether the filter refused: the default one, types that do not compress. */
  readonly filtered: boolean;
  /** The switch. */
  readonly enabled: boolean;
  readonly tier: Tier;
  /** `Accept-Encoding` of the request; `undefined` if it is not there. */
  readonly acceptEncoding: string | undefined;
  readonly codecs: readonly Codec[];
  /**
   * What to take for `Accept-Encoding` where the request has none: a coding, or `'identity'`. It only counts if that is
   * offered.
   */
  readonly enforceEncoding: string;
  readonly family: ClientFamily | undefined;
  /** Whether there is room for one more encoder. Asked last, when everything else is for it. */
  readonly hasBudget: boolean | ((codec: Codec) => boolean);
}

/**
 * Why a response is not encoded, in the order in which they are looked at.
 *
 * | reason | `Vary` | |
 * |---|---|---|
 * | `status` | no | 1xx, 204, 205: no content (RFC 9110 15.2, 15.3.5, 15.3.6) |
 * | `filtered` | no | the filter refused, by default for the type |
 * | `no-transform` | no | the handler's `Cache-Control` says so (RFC 9111 5.2.2.6) |
 * | `digest` | no | a digest of the bytes: `Content-Digest`, `Repr-Digest` (RFC 9530), `Digest`, `Content-MD5` |
 * | `not-modified` | yes | 304: no content, and the fields of the 200 that it stands for (RFC 9110 15.4.5) |
 * | `partial` | yes | a range of the plain bytes: 206, `Content-Range`, `multipart/byteranges` (RFC 9110 15.3.7) |
 * | `encoded` | yes | a `Content-Encoding` is there already (RFC 9110 8.4); `none` asks to keep the body plain |
 * | `head` | yes | no content (RFC 9110 9.3.2) |
 * | `below-threshold` | yes | shorter than the threshold, or empty |
 * | `switch-off` | yes | |
 * | `tier-off` | yes | tier 3: nothing new is encoded |
 * | `no-accept-encoding`, `not-acceptable`, `identity-preferred`, `no-codec` | yes | see `NegotiationReason` |
 * | `budget` | yes | as many encoders are open as may be |
 */
export type IdentityReason =
  | 'status'
  | 'filtered'
  | 'no-transform'
  | 'digest'
  | 'not-modified'
  | 'partial'
  | 'encoded'
  | 'head'
  | 'below-threshold'
  | 'switch-off'
  | 'tier-off'
  | Exclude<NegotiationReason, 'negotiated'>
  | 'budget';

/** Encode it. */
export interface EncodeDecision {
  readonly kind: 'encode';
  readonly codec: Codec;
  /** The `Content-Encoding` to send. */
  readonly coding: string;
  readonly reason: 'negotiated';
  readonly negotiable: true;
}

/** Send it as it is. */
export interface IdentityDecision {
  readonly kind: 'identity';
  readonly reason: IdentityReason;
  /**
   * Whether another request for the same might be answered with a coding, so that `Vary: Accept-Encoding` is due (RFC
   * 9110 12.5.5).
   */
  readonly negotiable: boolean;
}

/** Whether a response is encoded, and how, or why not. */
export type Decision = EncodeDecision | IdentityDecision;

/** The one decision about the coding of a response. */
export function decideCompression(facts: CompressionFacts): Decision {
  // What rules out a coding for every request comes first: a response that never varies must not say that it does.
  const fixed = whyNever(facts);
  if (fixed !== undefined) return { kind: 'identity', reason: fixed, negotiable: false };
  const reason = whyNotNow(facts);
  if (reason !== undefined) return { kind: 'identity', reason, negotiable: true };
  const choice = chooseCodec(facts);
  if (choice.kind === 'identity') return { kind: 'identity', reason: choice.reason, negotiable: true };
  if (!hasBudget(facts, choice.offer)) return { kind: 'identity', reason: 'budget', negotiable: true };
  return { kind: 'encode', codec: choice.offer, coding: choice.offer.coding, reason: 'negotiated', negotiable: true };
}

function whyNever(facts: CompressionFacts): IdentityReason | undefined {
  const { status, field } = facts;
  if (!describesContent(status)) return 'status';
  if (isFiltered(facts)) return 'filtered';
  if (!facts.noTransformByWriter && hasDirective(field('cache-control'), 'no-transform')) return 'no-transform';
  return digestFields.some((name) => field(name) !== undefined) ? 'digest' : undefined;
}

const digestFields = ['content-digest', 'repr-digest', 'digest', 'content-md5'];

// A 304 seldom has the type that its 200 had, and a filter that looks for one then refuses.
function isFiltered({ filtered, status, field }: CompressionFacts): boolean {
  return filtered && !(status === 304 && field('content-type') === undefined);
}

function whyNotNow(facts: CompressionFacts): IdentityReason | undefined {
  if (facts.status === 304) return 'not-modified';
  if (isPartial(facts)) return 'partial';
  if (readBodyCoding(facts.field('content-encoding')) !== 'plain') return 'encoded';
  if (facts.method === 'HEAD') return 'head';
  if (isBelowThreshold(facts)) return 'below-threshold';
  if (!facts.enabled) return 'switch-off';
  return facts.tier === 3 ? 'tier-off' : undefined;
}

function isPartial({ status, field }: CompressionFacts): boolean {
  return (
    status === 206 ||
    field('content-range') !== undefined ||
    /^\s*multipart\/byteranges\b/i.test(field('content-type') ?? '')
  );
}

function isBelowThreshold({ kind, length, threshold }: CompressionFacts): boolean {
  // Nothing is shorter encoded than an empty body, whatever the threshold.
  return kind !== 'event-stream' && length !== undefined && (length === 0 || length < threshold);
}

function chooseCodec(facts: CompressionFacts): Choice<Codec> {
  const { acceptEncoding, enforceEncoding, codecs, kind, tier, length, family } = facts;
  const context = { kind, tier, size: length, family };
  if (acceptEncoding !== undefined) return chooseOffer(acceptEncoding, codecs, context);
  const enforced = chooseOffer(enforceEncoding, codecs, context);
  return enforced.kind === 'offer' ? enforced : { kind: 'identity', reason: 'no-accept-encoding' };
}

function hasBudget({ hasBudget }: CompressionFacts, codec: Codec): boolean {
  return typeof hasBudget === 'function' ? hasBudget(codec) : hasBudget;
}

// RFC 9110 5.6.4. One that is not closed goes to the end.
const quotedString = /"(?:[^"\\]|\\.)*"?/gs;

/** Whether a `Cache-Control` field has a directive, with an argument or without (RFC 9111 5.2). */
function hasDirective(field: string | undefined, directive: string): boolean {
  const directives = field?.toLowerCase() ?? '';
  if (!directives.includes(directive)) return false;
  return directives
    .replace(quotedString, '""')
    .split(',')
    .some((each) => (each.split('=', 1)[0] ?? '').trim() === directive);
}
