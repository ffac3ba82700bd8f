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

/** Whether a place is that of a log which was not there. */
function isBeforeLog({ epoch, sequence }: EntryId): boolean {
  return sequence === 0 && epoch.startsWith('0');
}
