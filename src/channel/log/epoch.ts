import { randomBytes } from 'node:crypto';

/** An epoch for a new log. No other log has it, in any process. Digits and small letters alone: see `parseEntryId`. */
export function makeEpoch(): string {
  return Date.now().toString(36) + randomBytes(4).toString('hex');
}
