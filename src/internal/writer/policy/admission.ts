import { acceptWeight } from '../../http/accept.ts';
import type { Negotiation } from '../options.ts';

/** What a stream needs to know of a request before it starts. */
export interface Arrival {
  readonly method: string | undefined;
  readonly accept: string | undefined;
  /** Media types that mean this stream; the first is what it sends when the client does not care. */
  readonly mediaTypes: readonly string[];
  readonly negotiation: Negotiation;
  /** Whether the connection is gone already. */
  readonly gone: boolean;
  /** Whether the response has a head already, or a stream. */
  readonly started: boolean;
  /** Whether the client was told before not to come back. */
  readonly stopped: boolean;
}

/** What becomes of the request. `head`: the fields without a body. */
export type Admission =
  | { readonly kind: 'open' | 'head'; readonly mediaType: string }
  | { readonly kind: 'gone' | 'started' | 'stopped' | 'not-acceptable' | 'not-ours' };

/** The one decision about a request for a stream. */
export function decideAdmission(arrival: Arrival): Admission {
  const { mediaTypes, negotiation } = arrival;
  if (arrival.gone) return { kind: 'gone' };
  if (arrival.started) return { kind: 'started' };
  const mediaType = bestOf(mediaTypes, arrival.accept);
  if (mediaType === undefined && negotiation !== 'ignore')
    return { kind: negotiation === 'next' ? 'not-ours' : 'not-acceptable' };
  // WHATWG HTML 9.2.3: 204 is the answer that ends a client's attempts.
  if (arrival.stopped) return { kind: 'stopped' };
  return { kind: arrival.method === 'HEAD' ? 'head' : 'open', mediaType: mediaType ?? mediaTypes[0] ?? '' };
}

function bestOf(mediaTypes: readonly string[], accept: string | undefined): string | undefined {
  let best: string | undefined;
  let bestWeight = 0;
  for (const mediaType of mediaTypes) {
    const weight = acceptWeight(accept, mediaType);
    if (weight > bestWeight) {
      best = mediaType;
      bestWeight = weight;
    }
  }
  return best;
}
