import type { RoutedRequest } from '../internal/http/framework.ts';
import {
  defineErrors,
  defineEvents,
  type ErrorEvent,
  type ErrorMessage,
  type Events,
  unlogged,
} from '../internal/events.ts';
import { requestLabel } from '../internal/http/message.ts';
import type { ResetReason } from './log/backplane.ts';
import type { RunStatus } from './policy/answer.ts';

/** Message on `sluice:channel:publish`: an event was published by this process. Not in the debug log. */
export interface ChannelPublishMessage {
  /** The name of the channel, or of its family. */
  readonly channel: string;
  /** Its key in the family; `undefined` for a channel of its own. */
  readonly key: string | undefined;
  /** The id that the event got. */
  readonly id: string;
  /** The name of the event, if it has one. */
  readonly event: string | undefined;
}

/** Message on `sluice:channel:segment`: events were given to the live clients of this process. */
export interface ChannelSegmentMessage {
  /** The name of the channel, or of its family. */
  readonly channel: string;
  /** Its key in the family; `undefined` for a channel of its own. */
  readonly key: string | undefined;
  /** The number of events. */
  readonly events: number;
  /** The number of clients. */
  readonly subscribers: number;
  /** Bytes of text that they were given, before compression: the sum over all clients. */
  readonly bytes: number;
}

/** Message on `sluice:channel:subscribe`: a client is live. */
export interface ChannelSubscribeMessage {
  /** The name of the channel, or of its family. */
  readonly channel: string;
  /** Its key in the family; `undefined` for a channel of its own. */
  readonly key: string | undefined;
  /** The request of the client. */
  readonly req: RoutedRequest;
  /** The id that the client came with; `undefined`: it came for the first time. */
  readonly cursor: string | undefined;
  /** How many events it was sent before it was live. */
  readonly replayed: number;
}

/** Message on `sluice:channel:reset`: a client was told that events are missing. */
export interface ChannelResetMessage {
  /** The name of the channel, or of its family. */
  readonly channel: string;
  /** Its key in the family; `undefined` for a channel of its own. */
  readonly key: string | undefined;
  /** The request of the client; `undefined`: all clients of this process were told. */
  readonly req: RoutedRequest | undefined;
  /** Why. */
  readonly reason: ResetReason;
}

/** Message on `sluice:channel:end`: the channel has ended, by this process or another. */
export interface ChannelEndMessage {
  /** The name of the channel, or of its family. */
  readonly channel: string;
  /** Its key in the family; `undefined` for a channel of its own. */
  readonly key: string | undefined;
  /** The id of the last entry. */
  readonly id: string;
}

/** Message on `sluice:channel:run`: an answer of `resumable` begins, or ends, in this process. */
export interface ChannelRunMessage {
  /** The name of the family. */
  readonly channel: string;
  /** What `key` returned. */
  readonly key: string;
  /** Unique in the world. */
  readonly run: string;
  /**
   * `started`: the generator begins. `fenced`: another process has the run, and this one has stopped. Else how it
   * ended; this process has written its end.
   */
  readonly state: 'started' | 'fenced' | RunStatus;
}

interface ChannelEvents {
  readonly publish: ChannelPublishMessage;
  readonly segment: ChannelSegmentMessage;
  readonly subscribe: ChannelSubscribeMessage;
  readonly reset: ChannelResetMessage;
  readonly end: ChannelEndMessage;
  readonly run: ChannelRunMessage;
}

export const channelEvents: Events<ChannelEvents> = defineEvents<ChannelEvents>('channel', {
  publish: unlogged,
  segment: unlogged,
  subscribe: ({ channel, key, req, replayed }) => [
    '%s: %s is live, %d events replayed',
    labelOf(channel, key),
    requestLabel(req),
    replayed,
  ],
  reset: ({ channel, key, req, reason }) => [
    '%s: %s was reset: %s',
    labelOf(channel, key),
    req ? requestLabel(req) : 'every client',
    reason,
  ],
  end: ({ channel, key, id }) => ['%s: ended with %s', labelOf(channel, key), id],
  run: ({ channel, key, run, state }) => ['%s: run %s %s', labelOf(channel, key), run, state],
});

/** What a channel is called in messages and errors. */
export function labelOf(channel: string, key: string | undefined): string {
  return key === undefined ? channel : `${channel}/${key}`;
}

/** Message on `sluice:channel:error`. */
export type ChannelErrorMessage = ErrorMessage;

/** Errors that have no caller: of listeners, events that nothing waits for, answers, and a backplane that is away. */
export const channelErrors: ErrorEvent = defineErrors('channel');

/** Reports an error that belongs to no request. */
export function reportChannelError(error: unknown): void {
  channelErrors.report({ error, req: undefined });
}
