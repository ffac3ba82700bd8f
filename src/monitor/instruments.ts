import {
  counter,
  gauge,
  histogram,
  type HistogramInstrument,
  type NumberInstrument,
  one,
  type Sample,
  samples,
} from './instrument.ts';
import { responseBounds, streamBounds } from './policy/histogram.ts';
import type { ChannelSnapshot, MonitorSnapshot } from './snapshot.ts';

const drainStates = ['active', 'draining', 'dead'] as const;

/** All numbers that are exported. A name ends in its unit where Prometheus asks for it. */
export const numberInstruments: readonly NumberInstrument[] = [
  gauge('responses_active', 'Responses that are under way.', '{response}', ['route'], ({ routes }) =>
    Object.entries(routes).map(([route, { active }]) => ({ labels: { route }, value: active })),
  ),
  counter(
    'responses',
    'Responses that ended, by the first digit of their status, or aborted.',
    '{response}',
    ['route', 'status'],
    ({ routes }) =>
      Object.entries(routes).flatMap(([route, { ended }]) =>
        samples(ended, 'status').map(({ labels, value }) => ({ labels: { route, ...labels }, value })),
      ),
  ),
  counter('streams_opened', 'Streams that were opened.', '{stream}', [], ({ streams }) => one(streams.opened)),
  gauge('streams_active', 'Streams that are open.', '{stream}', [], ({ streams }) => one(streams.active)),
  gauge(
    'streams_stalled',
    'Watched connections whose client does not take what was written.',
    '{stream}',
    [],
    ({ streams }) => one(streams.stalled),
  ),
  counter('streams_ended', 'Streams that ended, by reason.', '{stream}', ['reason'], ({ streams }) =>
    samples(streams.ended, 'reason'),
  ),
  counter(
    'body_in_bytes',
    'Bytes of bodies as handlers wrote them, by the content-coding they were sent in.',
    'By',
    ['coding'],
    ({ bytes }) => Object.entries(bytes).map(([coding, counts]) => ({ labels: { coding }, value: counts.in })),
  ),
  counter('body_out_bytes', 'Bytes of bodies as they were sent, by content-coding.', 'By', ['coding'], ({ bytes }) =>
    Object.entries(bytes).map(([coding, counts]) => ({ labels: { coding }, value: counts.out })),
  ),
  gauge(
    'connections',
    'Watched connections, by transport and state.',
    '{connection}',
    ['transport', 'state'],
    ({ connections }) =>
      Object.entries(connections.transports).flatMap(([transport, counts]) =>
        samples(counts, 'state').map(({ labels, value }) => ({ labels: { transport, ...labels }, value })),
      ),
  ),
  counter(
    'connections_ended',
    'Watched connections that ended, by reason: heartbeat-timeout and slow-consumer are evictions.',
    '{connection}',
    ['reason'],
    ({ connections }) => samples(connections.ended, 'reason'),
  ),
  counter(
    'connections_refused',
    'Connections that were refused, by the limit that was reached.',
    '{connection}',
    ['limit'],
    ({ connections }) => samples(connections.refused, 'limit'),
  ),
  counter('heartbeats', 'Heartbeats that were sent.', '{heartbeat}', [], ({ connections }) =>
    one(connections.heartbeats),
  ),
  gauge(
    'unresponsive_ratio',
    'The share of watched connections that are not healthy, 0 to 1.',
    '1',
    [],
    ({ connections }) => one(connections.unresponsive_ratio),
  ),
  gauge(
    'avg_heartbeat_rt_seconds',
    'The mean round trip of heartbeats of the connections that are open.',
    's',
    [],
    ({ connections: { avg_heartbeat_rt: mean } }) => (mean === null ? [] : one(mean / 1_000)),
  ),
  counter(
    'compression_decisions',
    'Decisions whether to compress a response, by reason.',
    '{response}',
    ['reason'],
    ({ decisions }) => samples(decisions, 'reason'),
  ),
  gauge('compression_enabled', 'Whether the switch of compression is on: 1 or 0.', '1', [], ({ compression }) =>
    compression ? one(Number(compression.enabled)) : [],
  ),
  gauge('compression_switch_version', 'How often the switch of compression was changed.', '1', [], ({ compression }) =>
    compression ? one(compression.version) : [],
  ),
  gauge('compression_tier', 'The tier of the governor: 0 to 3.', '1', [], ({ compression }) =>
    compression ? one(compression.tier) : [],
  ),
  gauge('compression_load', 'The load that the governor sees: 0 idle, 1 saturated.', '1', [], ({ compression }) =>
    compression?.load === undefined ? [] : one(compression.load),
  ),
  gauge('encoders_active', 'Encoders that are open.', '{encoder}', [], ({ compression }) =>
    compression ? one(compression.activeEncoders) : [],
  ),
  gauge(
    'encoders_memory_bytes',
    'Memory of the encoders that are open, by their own estimates.',
    'By',
    [],
    ({ compression }) => (compression ? one(compression.encoderBytes) : []),
  ),
  counter(
    'compression_cache_lookups',
    'Bodies that the cache of compression was asked for: a hit was not encoded again.',
    '{body}',
    ['result'],
    ({ compression }) => {
      const cache = compression?.cache;
      return cache ? samples({ hit: cache.hits, miss: cache.misses }, 'result') : [];
    },
  ),
  gauge(
    'compression_cache_bytes',
    'Memory of the cache of compression: bodies, plain and encoded.',
    'By',
    [],
    ({ compression }) => (compression?.cache ? one(compression.cache.bytes) : []),
  ),
  counter(
    'deadlines_expired',
    'Requests that ran out of time, by what happened to the response.',
    '{request}',
    ['outcome'],
    ({ expired }) => samples(expired, 'outcome'),
  ),
  gauge(
    'lifecycle_state',
    'The state of the process: 1 for the state that it is in, 0 for the others.',
    '1',
    ['state'],
    ({ lifecycle }) =>
      lifecycle === undefined
        ? []
        : drainStates.map((state) => ({ labels: { state }, value: Number(state === lifecycle) })),
  ),
  counter(
    'proxy_responses',
    'Answers of upstreams, by the first digit of their status.',
    '{response}',
    ['status'],
    ({ proxy }) => samples(proxy.responses, 'status'),
  ),
  counter(
    'proxy_failures',
    'Requests that got no answer of an upstream, or not all of it, by the code of the error.',
    '{request}',
    ['code'],
    ({ proxy }) => samples(proxy.failures, 'code'),
  ),
  counter('proxy_retries', 'Requests that were sent again, by reason.', '{request}', ['reason'], ({ proxy }) =>
    samples(proxy.retries, 'reason'),
  ),
  counter('proxy_ejections', 'How often an upstream was left out for a while.', '{ejection}', [], ({ proxy }) =>
    one(proxy.ejections),
  ),
  counter('canary_requests', 'Requests by the arm of a canary.', '{request}', ['canary', 'arm'], (snapshot) =>
    arms(snapshot, 'requests'),
  ),
  counter(
    'canary_failures',
    'Requests that failed, by the arm of a canary.',
    '{request}',
    ['canary', 'arm'],
    (snapshot) => arms(snapshot, 'failures'),
  ),
  counter(
    'canary_retries',
    'Requests sent again, by the arm of a canary.',
    '{request}',
    ['canary', 'arm'],
    (snapshot) => arms(snapshot, 'retries'),
  ),
  gauge('channel_subscribers', 'Clients that are connected.', '{client}', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ subscribers }) => one(subscribers)),
  ),
  gauge('channel_lagging', 'Clients that do not keep up.', '{client}', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ lagging }) => one(lagging)),
  ),
  gauge('channel_queued_bytes', 'Bytes that wait for clients.', 'By', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ queuedBytes }) => one(queuedBytes)),
  ),
  counter('channel_published', 'Events that this process published.', '{event}', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ published }) => one(published)),
  ),
  counter('channel_delivered', 'Events given to live clients.', '{event}', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ delivered }) => one(delivered)),
  ),
  counter(
    'channel_delivered_bytes',
    'Bytes of text given to live clients, before compression.',
    'By',
    ['channel'],
    (snapshot) => byChannel(snapshot, ({ deliveredBytes }) => one(deliveredBytes)),
  ),
  counter('channel_replayed', 'Older events sent to clients.', '{event}', ['channel'], (snapshot) =>
    byChannel(snapshot, ({ replayed }) => one(replayed)),
  ),
  counter(
    'channel_resets',
    'Times that clients were told of missing events, by reason.',
    '{reset}',
    ['channel', 'reason'],
    (snapshot) => byChannel(snapshot, ({ resets }) => samples(resets, 'reason')),
  ),
  counter('errors', 'Errors that had no caller, by part.', '{error}', ['part'], ({ errors }) =>
    samples(errors, 'part'),
  ),
  gauge(
    'event_loop_delay_seconds',
    'The 99th percentile of the delay of the event loop in the last interval.',
    's',
    [],
    ({ process: { eventLoopDelay } }) => one(eventLoopDelay),
  ),
  gauge(
    'event_loop_utilization',
    'The share of the last interval in which the event loop was busy, 0 to 1.',
    '1',
    [],
    ({ process: { eventLoopUtilization } }) => one(eventLoopUtilization),
  ),
];

/** All distributions that are exported. */
export const histogramInstruments: readonly HistogramInstrument[] = [
  histogram(
    'time_to_head_seconds',
    'From the arrival of a request to the headers of its response.',
    ['route'],
    responseBounds,
    ({ routes }) =>
      Object.entries(routes).map(([route, { timeToHead }]) => ({ labels: { route }, histogram: timeToHead })),
  ),
  histogram(
    'time_to_first_byte_seconds',
    'From the arrival of a request to the first byte of the body of its response.',
    ['route'],
    responseBounds,
    ({ routes }) =>
      Object.entries(routes).map(([route, { timeToFirstByte }]) => ({ labels: { route }, histogram: timeToFirstByte })),
  ),
  histogram('stream_duration_seconds', 'Lives of the streams that ended.', [], streamBounds, ({ streams }) => [
    { labels: {}, histogram: streams.duration },
  ]),
  histogram('heartbeat_round_trip_seconds', 'Round trips of heartbeats.', [], responseBounds, ({ roundTrip }) => [
    { labels: {}, histogram: roundTrip },
  ]),
];

function arms({ proxy }: MonitorSnapshot, count: 'requests' | 'failures' | 'retries'): Sample[] {
  return Object.entries(proxy.canaries).flatMap(([canary, each]) =>
    Object.entries(each.arms).map(([arm, counts]) => ({ labels: { canary, arm }, value: counts[count] })),
  );
}

function byChannel({ channels }: MonitorSnapshot, read: (each: ChannelSnapshot) => readonly Sample[]): Sample[] {
  return Object.entries(channels).flatMap(([channel, each]) =>
    read(each).map(({ labels, value }) => ({ labels: { channel, ...labels }, value })),
  );
}
