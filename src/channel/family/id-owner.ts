import type { RoutedRequest } from '../../internal/http/framework.ts';
import type { OutStream } from '../../internal/writer/stream.ts';
import type { LocalChannel } from '../channel.ts';
import { LogReader } from '../delivery/log-reader.ts';
import type { Steps } from '../delivery/steps.ts';
import { isPlainId } from '../policy/composite.ts';
import type { Part } from './part.ts';

/** A client of a family, whose channels change while it is asked for. */
interface Owner {
  readonly out: OutStream;
  readonly parts: readonly Part[];
}

/**
 * Looks for the channel that alone knows an id: a client that was on that one only has an id without a key.
 * @returns its key; `undefined`: there is none, or the client has gone
 */
export function* findIdOwner(client: Owner, id: string): Steps<string | undefined> {
  const owners: string[] = [];
  for (const { key } of isPlainId(id) ? client.parts : []) {
    // It may have left some meanwhile, and joined them again.
    const channel = partOf(client.parts, key)?.channel;
    if (channel && (yield* knowsId(channel, client.out, id))) owners.push(key);
    if (client.out.state !== 'open') return undefined;
  }
  return owners.length === 1 ? owners[0] : undefined;
}

/** The place of a client on the channel of a key, if it has one. */
export function partOf(parts: readonly Part[], key: string): Part | undefined {
  return parts.find((part) => part.key === key);
}

function* knowsId(channel: LocalChannel<object>, out: OutStream, id: string): Steps<boolean> {
  const reader = new LogReader(channel, out.req as RoutedRequest);
  const undo = out.onClosed(() => reader.stop());
  try {
    const page = yield* reader.read(id, 1);
    return page !== undefined && page.lost !== 'unknown-id';
  } finally {
    undo();
  }
}
