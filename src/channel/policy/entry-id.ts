/** An id of the log in memory: `epoch-sequence`. */
export interface EntryId {
  /** Of one log in one process: another has another. */
  readonly epoch: string;
  /** From 1 on; 0 is the position before the first entry. */
  readonly sequence: number;
}

// Enough for an epoch and the digits of the largest integer. A longer text is none of ours, and is not looked into.
const longest = 64;

const pattern = /^([0-9a-z]+)-(0|[1-9][0-9]{0,15})$/;

export function formatEntryId({ epoch, sequence }: EntryId): string {
  return `${epoch}-${String(sequence)}`;
}

/** `undefined` for what is no id. */
export function parseEntryId(text: string): EntryId | undefined {
  const [, epoch, digits] = (text.length <= longest && pattern.exec(text)) || [];
  if (epoch === undefined) return undefined;
  const sequence = Number(digits);
  return Number.isSafeInteger(sequence) ? { epoch, sequence } : undefined;
}
