import { acceptWeight } from '../../http/accept.ts';
import type { Negotiation } from '../options.ts';

/** The facts that decide whether a request gets a stream. */
export interface StreamRequest {
  readonly method: string | undefined;
  readonly accept: string | undefined;
  /** The media types of the stream. The first is sent to a client that accepts several equally, or none. */
  readonly mediaTypes: readonly string[];
  readonly negotiation: Negotiation;
  /** Whether the connection is closed. */
  readonly gone: boolean;
  /** Whether the response already has a head or a stream. */
  readonly started: boolean;
  /** Whether the client was told not to come back. */
  readonly stopped: boolean;
}

/** How the request is answered. `head`: the headers without a body. `not-ours`: by the next handler. */
export type Admission =
  | { readonly kind: 'open' | 'head'; readonly mediaType: string }
  | { readonly kind: 'gone' | 'started' | 'stopped' | 'not-acceptable' | 'not-ours' };

/** Decides how a request for a stream is answered. */
export function decideAdmission(request: StreamRequest): Admission {
  const { mediaTypes, negotiation } = request;
  if (request.gone) return { kind: 'gone' };
  if (request.started) return { kind: 'started' };
  const mediaType = bestOf(mediaTypes, request.accept);
  if (mediaType === undefined && negotiation !== 'ignore')
    return { kind: negotiation === 'next' ? 'not-ours' : 'not-acceptable' };
  // WHATWG HTML 9.2.3: a client that gets 204 stops reconnecting.
  if (request.stopped) return { kind: 'stopped' };
  return { kind: request.method === 'HEAD' ? 'head' : 'open', mediaType: mediaType ?? mediaTypes[0] ?? '' };
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
