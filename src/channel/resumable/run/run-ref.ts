import { randomBytes } from 'node:crypto';
import type { NewEntry } from '../../log/backplane.ts';

/** One run: the production of one answer. */
export interface RunRef {
  /** What the application calls it. */
  readonly key: string;
  /** Unique in the world. */
  readonly id: string;
  /** The question, if the application named it. */
  readonly label: string | undefined;
  /** The position before its first entry. */
  readonly start: string;
  /** The fence of its producer. */
  readonly fence: string;
}

/** The name of what says which run of a key is the current one. */
export const pointerEvent = 'sluice.run';

export function makeRunId(): string {
  return randomBytes(16).toString('base64url');
}

/** The key of the channel that has the entries of a run. The channel of the key itself has its runs. */
export function channelKeyOf({ key, id }: Pick<RunRef, 'key' | 'id'>): string {
  return `${key}:${id}`;
}

export function pointerEntry({ id, label, start, fence }: RunRef): NewEntry {
  return { event: pointerEvent, key: pointerEvent, data: JSON.stringify({ id, label, start, fence }), isJson: true };
}

/** `undefined` for an entry that is none of ours. */
export function readPointer(key: string, { event, data }: NewEntry): RunRef | undefined {
  if (event !== pointerEvent || data === undefined) return undefined;
  return { ...(JSON.parse(data) as Omit<RunRef, 'key'>), key };
}
