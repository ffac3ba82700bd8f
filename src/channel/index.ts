import type { AnyEvents } from '../sse/event-map.ts';
import { type Channel, LocalChannel } from './channel.ts';
import { type Channels, LocalChannels } from './family/family.ts';
import { type ChannelsOptions, resolveChannelsOptions } from './family/options.ts';
import { type ChannelOptions, resolveChannelOptions } from './options.ts';

export {
  BackplaneUnavailableError,
  ChannelClosedError,
  ChannelEndedError,
  type CloseReason,
  InvalidEventError,
  InvalidOptionError,
  ProducerFencedError,
  RunCancelledError,
} from '../errors.ts';
export type { RoutedRequest } from '../internal/http/framework.ts';
export type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
export type { StreamMiddleware } from '../internal/writer/handler.ts';
export type { AnyEvents } from '../sse/event-map.ts';
export type {
  AppendOptions,
  Backplane,
  ChannelEntry,
  ChannelLog,
  ClaimResult,
  HistoryLimits,
  LatestEntries,
  LogPage,
  LogReceiver,
  NewEntry,
  ResetReason,
} from './log/backplane.ts';
export type { Channel, ChannelEnd, SubscriberLeave } from './channel.ts';
export type { AnyChannelInput, ChannelEvent, Publishable } from './delivery/event.ts';
export type {
  ChannelEndMessage,
  ChannelErrorMessage,
  ChannelPublishMessage,
  ChannelResetMessage,
  ChannelRunMessage,
  ChannelSegmentMessage,
  ChannelSubscribeMessage,
} from './events.ts';
export type { ChannelsSubscriber } from './family/connection.ts';
export type {
  Channels,
  ChannelsAuthorization,
  ChannelsLeave,
  ChannelsSubscribeOptions,
  KeysOf,
} from './family/family.ts';
export type { ChannelsLimits, ChannelsOptions } from './family/options.ts';
export { createMemoryBackplane } from './log/memory-backplane.ts';
export type { ChannelOptions, CoalesceOptions, HistoryOptions, PublishOptions } from './options.ts';
export type { Authorization, ChannelStart, SubscribeOptions } from './subscribe-options.ts';
export type { RunStatus } from './policy/answer.ts';
export { mergeDeltas, type MergeDeltasOptions } from './resumable/merge-deltas.ts';
export type { AnswerEnd, AnswerKey, AnswerRun, ResumableOptions } from './resumable/options.ts';
export { resumable, type Resumable } from './resumable/resumable.ts';
export type { Subscriber } from './subscriber.ts';

/**
 * Makes a channel: `const ticks = createChannel({ name: 'ticks' })`. What is published on it goes to all clients of
 * `app.get('/ticks', ticks.subscribe())`. A client that comes back gets what it missed. `M` maps event names to the
 * types of their data. Throws `InvalidOptionError`.
 */
export function createChannel<M extends object = AnyEvents>(options: ChannelOptions<M>): Channel<M> {
  return new LocalChannel<M>(resolveChannelOptions(options));
}

/**
 * Makes a family of channels, one for each key: `const rooms = createChannels({ ttl: '10m' })`. They are made when they
 * are used, and freed when they are idle. One connection may be on several of them. Throws `InvalidOptionError`.
 */
export function createChannels<M extends object = AnyEvents>(options?: ChannelsOptions<M>): Channels<M> {
  return new LocalChannels<M>(resolveChannelsOptions(options));
}
