import type { ChannelEntry, NewEntry } from '../../channel/log/backplane.ts';
import { type EntryId, formatEntryId, parseEntryId } from '../../channel/policy/entry-id.ts';

/*
 * An entry as text: a head in one line, and the data behind it as they are.
 *
 *     [21,21,1,"tick","room:7"]⏎{"price":12,"n":"ACME"}
 *
 * The head: bytes of name and data, UTF-16 units of the data (-1: none), flags, name, key. The scripts read the first
 * number alone. Units, because a process has the text as a string. They survive UTF-8, also where half a surrogate pair
 * becomes U+FFFD. Several entries are such texts in a row.
 */

const json = 1;
const end = 2;

type Head = readonly [bytes: number, units: number, flags: number, event: string | null, key: string | null];

export function encodeEntry({ event, data, isJson, isEnd, key }: NewEntry): string {
  const flags = (isJson === true ? json : 0) + (isEnd === true ? end : 0);
  const head: Head = [byteLength(event) + byteLength(data), data?.length ?? -1, flags, event ?? null, key ?? null];
  return `${JSON.stringify(head)}\n${data ?? ''}`;
}

/** Reads entries that stand in a row. @param first - the id of the first; the others follow it without a gap */
export function decodeEntries(text: string, { epoch, sequence }: EntryId): ChannelEntry[] {
  const entries: ChannelEntry[] = [];
  for (let at = 0; at < text.length;) {
    const dataAt = text.indexOf('\n', at) + 1;
    const [, units, flags, event, key] = JSON.parse(text.slice(at, dataAt)) as Head;
    at = dataAt + Math.max(0, units);
    const id = formatEntryId({ epoch, sequence: sequence + entries.length });
    entries.push({
      id,
      event: event ?? undefined,
      data: units < 0 ? undefined : text.slice(dataAt, at),
      isJson: (flags & json) !== 0,
      isEnd: (flags & end) !== 0,
      key: key ?? undefined,
    });
  }
  return entries;
}

/** What is published with new entries. */
export interface LiveMessage {
  /** The id of the first entry. */
  readonly first: EntryId;
  /** The entries, encoded. Decoded only if they are new: each process gets all messages of its channels. */
  readonly text: string;
}

/** Reads a message of the append script: the id of the first entry in a line, and the entries. */
export function parseMessage(message: string): LiveMessage | undefined {
  const textAt = message.indexOf('\n') + 1;
  const first = textAt === 0 ? undefined : parseEntryId(message.slice(0, textAt - 1));
  return first && { first, text: message.slice(textAt) };
}

function byteLength(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text);
}
