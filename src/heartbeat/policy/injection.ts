import { mayHaveContent, readBodyCoding } from '../../internal/http/body-rules.ts';
import type { BoundaryTracker } from '../../internal/format/boundary.ts';

/** A kind of body that can carry heartbeats. */
export interface Carrier {
  /** What is written. */
  readonly beat: string | Uint8Array;
  /** Where it may stand. */
  readonly makeBoundary: () => BoundaryTracker;
  readonly isEventStream: boolean;
}

/** What is known of a response when its head goes out. */
export interface Departing {
  readonly method: string | undefined;
  readonly status: number;
  /** A field of the response. */
  readonly field: (name: string) => string | undefined;
  /** What carries heartbeats in a body of its media type. */
  readonly carrier: Carrier | undefined;
  /** The body comes in one piece. */
  readonly isComplete: boolean;
  /** The user's own filter says no. */
  readonly isFiltered: boolean;
}

/** Why a body carries no heartbeats. */
export type QuietReason =
  'no-body' | 'not-a-stream' | 'complete' | 'length' | 'range' | 'filtered' | 'encoded' | 'digest';

// A stream all the same.
const quietStreams: readonly QuietReason[] = ['filtered', 'encoded', 'digest'];

/** Whether heartbeats go into a body, or why not. */
export type Injection =
  { readonly kind: 'inject'; readonly carrier: Carrier } | { readonly kind: 'none'; readonly reason: QuietReason };

/** Whether the body is a stream, with heartbeats or without. */
export function isStream(injection: Injection): boolean {
  return injection.kind === 'inject' || quietStreams.includes(injection.reason);
}

// RFC 9530 and what was before it: each is of the bytes as the handler means them.
const digests = ['content-digest', 'repr-digest', 'digest', 'content-md5'];

/**
 * The one decision about heartbeats in a body. Fields as they are above the layer that compresses: a coding that is
 * there is not ours.
 */
export function decideInjection({ method, status, field, carrier, isComplete, isFiltered }: Departing): Injection {
  const none = (reason: QuietReason): Injection => ({ kind: 'none', reason });
  if (!mayHaveContent(method, status)) return none('no-body');
  if (!carrier) return none('not-a-stream');
  if (isComplete) return none('complete');
  if (field('content-length') !== undefined) return none('length');
  if (status === 206 || field('content-range') !== undefined) return none('range');
  if (isFiltered) return none('filtered');
  if (readBodyCoding(field('content-encoding')) === 'encoded') return none('encoded');
  if (digests.some((name) => field(name) !== undefined)) return none('digest');
  return { kind: 'inject', carrier };
}
