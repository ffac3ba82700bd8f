import { type AcceptEncoding, codingWeight, readAcceptEncoding } from './accept-encoding.ts';
import type { BodyKind, Codec, NegotiationContext } from '../codec.ts';
import { builtInWeight } from './coding-costs.ts';

/**
 * Why a negotiation ended as it did.
 *
 * | reason | coding | |
 * |---|---|---|
 * | `negotiated` | one of those offered | the client accepts it, and nothing else offered scored higher |
 * | `no-accept-encoding` | `identity` | no field. Such clients seldom decode (RFC 9110 12.5.3 allows any coding) |
 * | `not-acceptable` | `identity` | the client accepts nothing offered. Even without `identity` the body is sent |
 * | `identity-preferred` | `identity` | the client gives `identity` more weight than anything that is offered |
 * | `no-codec` | `identity` | nothing offered is available, encodes this kind of body and has a weight over 0 |
 */
export type NegotiationReason =
  'negotiated' | 'no-accept-encoding' | 'not-acceptable' | 'identity-preferred' | 'no-codec';

/** The outcome of a negotiation. */
export interface Negotiation {
  /** The content-coding to use; `identity` is none. */
  readonly coding: string;
  /** Why this one. */
  readonly reason: NegotiationReason;
}

/** What `chooseOffer` came to. */
export type Choice<Offer> =
  | { readonly kind: 'offer'; readonly offer: Offer }
  | { readonly kind: 'identity'; readonly reason: Exclude<NegotiationReason, 'negotiated'> };

/**
 * Chooses a coding by RFC 9110 12.5.3: that with the highest product of the client's weight and the server's; of equals
 * the one that is offered first. A coding to which the client prefers `identity`, by name, is not chosen.
 * @param header - the `Accept-Encoding` field; `undefined` when the request has none. One that is longer than 1,024
 *   characters accepts nothing
 * @param codecs - what is offered; a name stands for a codec that can do everything
 */
export function negotiate(
  header: string | undefined,
  codecs: readonly (Codec | string)[],
  context: NegotiationContext = {},
): Negotiation {
  const choice = chooseOffer(header, codecs, context);
  return choice.kind === 'offer'
    ? { coding: codingOf(choice.offer), reason: 'negotiated' }
    : { coding: 'identity', reason: choice.reason };
}

/** `negotiate`, with the codec itself as its result. */
export function chooseOffer<Offer extends Codec | string>(
  header: string | undefined,
  offers: readonly Offer[],
  context: NegotiationContext,
): Choice<Offer> {
  if (header === undefined) return { kind: 'identity', reason: 'no-accept-encoding' };
  const accepted = readAcceptEncoding(header);
  const offer = bestOffer(accepted, offers, context);
  if (offer !== undefined) return { kind: 'offer', offer };
  if (!offers.some((each) => offerWeight(each, context) > 0)) return { kind: 'identity', reason: 'no-codec' };
  return { kind: 'identity', reason: identityWeight(accepted) > 0 ? 'identity-preferred' : 'not-acceptable' };
}

function bestOffer<Offer extends Codec | string>(
  accepted: AcceptEncoding,
  offers: readonly Offer[],
  context: NegotiationContext,
): Offer | undefined {
  const least = identityWeight(accepted);
  let best: Offer | undefined;
  let bestScore = 0;
  for (const offer of offers) {
    const q = codingWeight(accepted, codingOf(offer));
    if (q === 0 || q < least) continue;
    const score = q * offerWeight(offer, context);
    if (score > bestScore) {
      best = offer;
      bestScore = score;
    }
  }
  return best;
}

// Only where it is named: that it is acceptable without that is no preference.
function identityWeight(accepted: AcceptEncoding): number {
  return accepted.get('identity') ?? 0;
}

/** The server's weight for what is offered; 0 for what cannot be used. */
function offerWeight(offer: Codec | string, context: NegotiationContext): number {
  if (codingOf(offer).toLowerCase() === 'identity') return 0;
  if (typeof offer === 'string') return builtInWeight(offer, context);
  if (!canEncode(offer, context.kind)) return 0;
  return offer.weight?.(context) ?? builtInWeight(offer.coding, context);
}

function codingOf(offer: Codec | string): string {
  return typeof offer === 'string' ? offer : offer.coding;
}

function canEncode(codec: Codec, kind: BodyKind = 'complete'): boolean {
  if (!codec.available) return false;
  if (kind === 'event-stream') return codec.createBlocks !== undefined;
  return codec.createStream !== undefined || (kind === 'complete' && codec.encode !== undefined);
}

/**
 * Which of the codings the client accepts by name or by `*`, in the order given. Those are the codings whose
 * representations it may hold and use; without a field, none.
 */
export function acceptedCodings(header: string | undefined, codings: readonly string[]): string[] {
  if (header === undefined) return [];
  const accepted = readAcceptEncoding(header);
  return codings.filter((coding) => codingWeight(accepted, coding) > 0);
}
