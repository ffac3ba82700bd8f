import type { EntryId } from '../../channel/policy/entry-id.ts';

/** What a live message is to a process that has everything up to a place in the log. */
export type Placement =
  /** Its first entry is the next one. */
  | { readonly kind: 'next' }
  /** The process has some of its entries, or all of them. */
  | { readonly kind: 'known'; readonly skip: number }
  /** Entries before it are missing. */
  | { readonly kind: 'gap' }
  /** It is of another log than the place: Redis has lost entries or all of them. Only Redis knows which is newer. */
  | { readonly kind: 'other-epoch' };

/**
 * Decides what to do with a live message.
 *
 *     place E-5   message of   E-6 …  next
 *                              E-4, E-5  known, skip 2 · E-5, E-6  known, skip 1
 *                              E-7 …  gap
 *                              F-…   other-epoch
 *     place 0N-0  message of   F-1 …  next: the log was not there, and this is how it begins
 */
export function placeMessage(place: EntryId, first: EntryId): Placement {
  if (isBeforeLog(place) && first.sequence === 1) return { kind: 'next' };
  if (first.epoch !== place.epoch) return { kind: 'other-epoch' };
  const next = place.sequence + 1;
  if (first.sequence === next) return { kind: 'next' };
  return first.sequence < next ? { kind: 'known', skip: next - first.sequence } : { kind: 'gap' };
}

/** Two places in a log, of one process. */
export interface Reach {
  /** All entries behind this one go to its clients, sooner or later. `undefined`: it has no clients. */
  readonly place: EntryId | undefined;
  /** The newest entry that it has seen: it may have appended some that are not with its clients yet. */
  readonly newest: EntryId | undefined;
}

/**
 * Whether all entries behind an id go to the clients of this process, so that one with that id has nothing to read.
 * Between two questions to Redis a log that keeps little may lose what the second one asks for.
 *
 *     place E-5, newest E-7:   E-4  no: it has to read E-5 · E-5, E-6, E-7  yes · E-8  no: is it an id at all?
 */
export function isWithinReach({ epoch, sequence }: EntryId, { place, newest }: Reach): boolean {
  if (!place || !newest || epoch !== place.epoch || epoch !== newest.epoch) return false;
  return sequence >= place.sequence && sequence <= newest.sequence;
}

/** Whether a place is that of a log which was not there. */
function isBeforeLog({ epoch, sequence }: EntryId): boolean {
  return sequence === 0 && epoch.startsWith('0');
}
