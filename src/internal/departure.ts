import type { HttpResponse } from './message.ts';
import { seamOf } from './response.ts';

/**
 * Why a client is not told to come back. `finite`: the kind of stream, or an option, says so. `method`: only what
 * answers a GET can be asked for again. `no-id`: no event had one. `half-event`: it was to be told, and the event that
 * was under way did not end.
 */
export type FiniteReason = 'finite' | 'method' | 'no-id' | 'half-event';

/** How one kind of stream leaves a process that drains. */
export interface Departure {
  /**
   * Why its client cannot go on elsewhere where it stopped here; `undefined`: it can. One that cannot runs to its end.
   */
  finiteBecause(): FiniteReason | undefined;
  /** Tells the client to come back, and closes. Does not reject. */
  leave(): Promise<void>;
}

/** How a response can leave, where one of its layers knows that. */
export function departureOf(res: HttpResponse): Departure | undefined {
  return seamOf(res)?.departure;
}
