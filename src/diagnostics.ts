import diagnostics from 'node:diagnostics_channel';
import {
  type ChannelEndMessage,
  type ChannelErrorMessage,
  channelErrors,
  channelEvents,
  type ChannelPublishMessage,
  type ChannelResetMessage,
  type ChannelRunMessage,
  type ChannelSegmentMessage,
  type ChannelSubscribeMessage,
} from './channel/events.ts';
import {
  type CompressedBytesMessage,
  type CompressErrorMessage,
  compressErrors,
  compressEvents,
  type CompressionDecisionMessage,
  type SwitchChange,
  type TierChange,
} from './compress/events.ts';
import { deadlineEvents, type DeadlineExpiredMessage, type DeadlineLateMessage } from './deadline/events.ts';
import { type EncodedStreamMessage, type HeartbeatDecisionMessage, heartbeatEvents } from './heartbeat/events.ts';
import {
  type Event,
  type StreamCloseMessage,
  streamErrors,
  type StreamErrorMessage,
  streamEvents,
  type StreamOpenMessage,
} from './internal/events.ts';
import type {
  ConnectionEnd,
  ConnectionOpen,
  ConnectionStateChange,
  RoundTrip,
} from './internal/health/connection-info.ts';
import { heartbeatErrors, type HeartbeatErrorMessage, healthEvents } from './internal/health/events.ts';
import { readOneOf, requireFunction } from './internal/option.ts';
import {
  type LifecycleChange,
  lifecycleErrors,
  type LifecycleErrorMessage,
  lifecycleEvents,
} from './lifecycle/events.ts';
import type { DrainReport } from './lifecycle/policy/counters.ts';
import {
  type AlertChange,
  type DashboardAction,
  monitorErrors,
  type MonitorErrorMessage,
  monitorEvents,
} from './monitor/events.ts';
import {
  type ProxyErrorMessage,
  proxyErrors,
  proxyEvents,
  type ProxyFailureMessage,
  type ProxyResponseMessage,
  type ProxyRetryMessage,
  type ProxyUpstreamMessage,
} from './proxy/events.ts';
import { type RedisConnectionMessage, redisErrors, type RedisErrorMessage, redisEvents } from './redis/events.ts';

/** The message of each diagnostics channel, by the channel's name. */
export interface DiagnosticsMessages {
  /** The headers of a stream are on their way. */
  'sluice:stream:open': StreamOpenMessage;
  /** A stream closed, for whatever reason. */
  'sluice:stream:close': StreamCloseMessage;
  /** A handler, a source or a hook threw, and no caller could be told. */
  'sluice:stream:error': StreamErrorMessage;
  /** `compress` decided about a response. Once for each head. */
  'sluice:compress:decision': CompressionDecisionMessage;
  /** A piece of a body was encoded. Not in the debug log. */
  'sluice:compress:bytes': CompressedBytesMessage;
  /** The switch was changed. */
  'sluice:compress:switch': SwitchChange;
  /** The governor moved to another tier. */
  'sluice:compress:tier': TierChange;
  /** A codec, a filter or a listener failed, and no caller could be told. */
  'sluice:compress:error': CompressErrorMessage;
  /** `heartbeat` decided about a response. */
  'sluice:heartbeat:decision': HeartbeatDecisionMessage;
  /** An event stream was encoded already, so it gets no heartbeats. */
  'sluice:heartbeat:encoded': EncodedStreamMessage;
  /** A connection is monitored from now on. */
  'sluice:heartbeat:open': ConnectionOpen;
  /** The round trip of a connection was measured. */
  'sluice:heartbeat:round-trip': RoundTrip;
  /** The health of a connection changed. */
  'sluice:heartbeat:state': ConnectionStateChange;
  /** A monitored connection ended. */
  'sluice:heartbeat:end': ConnectionEnd;
  /** A listener or an option such as `clientKey` threw. */
  'sluice:heartbeat:error': HeartbeatErrorMessage;
  /** A request ran out of time. */
  'sluice:deadline:expired': DeadlineExpiredMessage;
  /** A handler used its response after the deadline had answered it. */
  'sluice:deadline:late': DeadlineLateMessage;
  /** The lifecycle took a step. */
  'sluice:lifecycle:state': LifecycleChange;
  /** A drain ended. */
  'sluice:lifecycle:drain': DrainReport;
  /** A listener or `exempt` threw. */
  'sluice:lifecycle:error': LifecycleErrorMessage;
  /** An event was published on a channel, by this process. Not in the debug log. */
  'sluice:channel:publish': ChannelPublishMessage;
  /** Events of a channel begin to go out to the live clients of this process. Not in the debug log. */
  'sluice:channel:segment': ChannelSegmentMessage;
  /** A client of a channel is live. */
  'sluice:channel:subscribe': ChannelSubscribeMessage;
  /** A client of a channel was told that events are missing. */
  'sluice:channel:reset': ChannelResetMessage;
  /** A channel ended. */
  'sluice:channel:end': ChannelEndMessage;
  /** An answer of `resumable` begins or ends in this process. */
  'sluice:channel:run': ChannelRunMessage;
  /** A listener threw, or a publication failed that nothing waits for. */
  'sluice:channel:error': ChannelErrorMessage;
  /** A connection to Redis is there, or is lost. */
  'sluice:redis:connection': RedisConnectionMessage;
  /** A connection was lost, or a read failed that is tried again. */
  'sluice:redis:error': RedisErrorMessage;
  /** The headers of an upstream's answer are on their way. */
  'sluice:proxy:response': ProxyResponseMessage;
  /** A request got no answer of an upstream, or not all of it. */
  'sluice:proxy:failure': ProxyFailureMessage;
  /** A request is sent again. */
  'sluice:proxy:retry': ProxyRetryMessage;
  /** An upstream gets no requests for a while, or gets them again. */
  'sluice:proxy:upstream': ProxyUpstreamMessage;
  /** A function of the application threw, and no caller could be told. */
  'sluice:proxy:error': ProxyErrorMessage;
  /** A user of the dashboard asked for a change. */
  'sluice:monitor:action': DashboardAction;
  /** An alert began to fire, or is over. */
  'sluice:monitor:alert': AlertChange;
  /** A listener, `authorize` or `route` threw. */
  'sluice:monitor:error': MonitorErrorMessage;
}

/** The channels. The compiler compares them with the messages. */
export const channels: { readonly [Name in keyof DiagnosticsMessages]: Event<DiagnosticsMessages[Name]> } = {
  'sluice:stream:open': streamEvents.open,
  'sluice:stream:close': streamEvents.close,
  'sluice:stream:error': streamErrors,
  'sluice:compress:decision': compressEvents.decision,
  'sluice:compress:bytes': compressEvents.bytes,
  'sluice:compress:switch': compressEvents.switch,
  'sluice:compress:tier': compressEvents.tier,
  'sluice:compress:error': compressErrors,
  'sluice:heartbeat:decision': heartbeatEvents.decision,
  'sluice:heartbeat:encoded': heartbeatEvents.encoded,
  'sluice:heartbeat:open': healthEvents.open,
  'sluice:heartbeat:round-trip': healthEvents['round-trip'],
  'sluice:heartbeat:state': healthEvents.state,
  'sluice:heartbeat:end': healthEvents.end,
  'sluice:heartbeat:error': heartbeatErrors,
  'sluice:deadline:expired': deadlineEvents.expired,
  'sluice:deadline:late': deadlineEvents.late,
  'sluice:lifecycle:state': lifecycleEvents.state,
  'sluice:lifecycle:drain': lifecycleEvents.drain,
  'sluice:lifecycle:error': lifecycleErrors,
  'sluice:channel:publish': channelEvents.publish,
  'sluice:channel:segment': channelEvents.segment,
  'sluice:channel:subscribe': channelEvents.subscribe,
  'sluice:channel:reset': channelEvents.reset,
  'sluice:channel:end': channelEvents.end,
  'sluice:channel:run': channelEvents.run,
  'sluice:channel:error': channelErrors,
  'sluice:redis:connection': redisEvents.connection,
  'sluice:redis:error': redisErrors,
  'sluice:proxy:response': proxyEvents.response,
  'sluice:proxy:failure': proxyEvents.failure,
  'sluice:proxy:retry': proxyEvents.retry,
  'sluice:proxy:upstream': proxyEvents.upstream,
  'sluice:proxy:error': proxyErrors,
  'sluice:monitor:action': monitorEvents.action,
  'sluice:monitor:alert': monitorEvents.alert,
  'sluice:monitor:error': monitorErrors,
};

/**
 * Subscribes to a diagnostics channel of this library: `subscribe` of `node:diagnostics_channel`, with the type of the
 * message. Returns the undo. An error that the listener throws is an uncaught exception of the process. Throws
 * `InvalidOptionError`.
 */
export function subscribe<Name extends keyof DiagnosticsMessages>(
  channel: Name,
  listener: (message: DiagnosticsMessages[Name], channel: Name) => void,
): () => void {
  const name = readOneOf('subscribe.channel', channel, Object.keys(channels));
  requireFunction('subscribe.listener', listener);
  const channelOnMessage = listener as (message: unknown, name: string | symbol) => void;
  diagnostics.subscribe(name, channelOnMessage);
  return () => void diagnostics.unsubscribe(name, channelOnMessage);
}
