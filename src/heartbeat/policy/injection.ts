import { mayHaveContent, readBodyCoding } from '../../internal/http/body-rules.ts';
import type { BoundaryTracker } from '../../internal/format/boundary.ts';

/** How heartbeats are written into one kind of body. */
export interface HeartbeatFormat {
  /** The bytes of a heartbeat. */
  readonly heartbeat: string | Uint8Array;
  /** Makes what finds the places where one may be written. */
  readonly makeBoundary: () => BoundaryTracker;
  readonly isEventStream: boolean;
}

/** What is known of a response when its head is sent. */
export interface HeadFacts {
  readonly method: string | undefined;
  readonly status: number;
  /** A header field of the response. */
  readonly field: (name: string) => string | undefined;
  /** The format of heartbeats in a body of its media type. */
  readonly format: HeartbeatFormat | undefined;
  /** The body is one chunk. */
  readonly isComplete: boolean;
  /** The `filter` option says no. */
  readonly isFiltered: boolean;
}

/** Why a body carries no heartbeats. */
export type QuietReason =
  'no-body' | 'not-a-stream' | 'complete' | 'length' | 'range' | 'filtered' | 'encoded' | 'digest';

// These bodies are streams all the same.
const quietStreams: readonly QuietReason[] = ['filtered', 'encoded', 'digest'];

/** Whether heartbeats go into a body, or why not. */
export type Injection =
  | { readonly kind: 'inject'; readonly format: HeartbeatFormat }
  | { readonly kind: 'none'; readonly reason: QuietReason };

/** Whether the body is a stream, with heartbeats or without. */
export function isStream(injection: Injection): boolean {
  return injection.kind === 'inject' || quietStreams.includes(injection.reason);
}

// RFC 9530, and the fields before it. Each is a digest of the bytes that the handler writes.
const digests = ['content-digest', 'repr-digest', 'digest', 'content-md5'];

/**
 * The one decision about heartbeats in a body. The fields are those above the layer that compresses: a coding that is
 * there is not the library's.
 */
export function decideInjection({ method, status, field, format, isComplete, isFiltered }: HeadFacts): Injection {
  const none = (reason: QuietReason): Injection => ({ kind: 'none', reason });
  if (!mayHaveContent(method, status)) return none('no-body');
  if (!format) return none('not-a-stream');
  if (isComplete) return none('complete');
  if (field('content-length') !== undefined) return none('length');
  if (status === 206 || field('content-range') !== undefined) return none('range');
  if (isFiltered) return none('filtered');
  if (readBodyCoding(field('content-encoding')) === 'encoded') return none('encoded');
  if (digests.some((name) => field(name) !== undefined)) return none('digest');
  return { kind: 'inject', format };
}
