/** Series by their names, in the notation of promtool: one sample every 15 s. Their job is `shop`. */
type Series = Readonly<Record<string, string>>;

/** When one alert fires. */
export interface Row {
  /** When it is looked at. */
  readonly at: string;
  /** Each makes it fire, and no other alert. */
  readonly fires: readonly Series[];
  /** With each no alert fires. */
  readonly quiet: readonly Series[];
  /** The job, where the alert names one. */
  readonly job?: string;
}

const target = 'job="shop", instance="shop:3000"';

/** The series of a metric of one target. */
function series(name: string, labels = ''): string {
  return `sluice_${name}{${target}${labels === '' ? '' : `, ${labels}`}}`;
}

const connections = series('connections', 'transport="http1", state="healthy"');
const ratio = series('unresponsive_ratio');
const stalled = series('streams_stalled');
const opened = series('streams_opened_total');
const active = series('streams_active');
const endedBy = (reason: string): string => series('streams_ended_total', `reason="${reason}"`);
const responses = (status: string): string => series('responses_total', `route="/", status="${status}"`);
const headsWithin = (le: string): string => series('time_to_head_seconds_bucket', `route="/", le="${le}"`);
const heads = series('time_to_head_seconds_count', 'route="/"');
const expired = series('deadlines_expired_total', 'outcome="answered"');
const errors = series('errors_total', 'part="sse"');
const draining = series('lifecycle_state', 'state="draining"');
const up = `up{${target}}`;
const proxyFailures = (code: string): string => series('proxy_failures_total', `code="ERR_SLUICE_PROXY_${code}"`);
const proxyResponses = series('proxy_responses_total', 'status="2xx"');
const canary = (count: string, arm: string): string => series(`canary_${count}_total`, `canary="api", arm="${arm}"`);

export const rows: Readonly<Record<string, Row>> = {
  SluiceUnresponsiveConnections: {
    at: '5m',
    fires: [{ [ratio]: '0.06x240', [connections]: '100x240' }],
    quiet: [
      { [ratio]: '0.05x240', [connections]: '100x240' },
      // Few connections; and not for long.
      { [ratio]: '0.5x240', [connections]: '4x240' },
      { [ratio]: '0x18 0.5x240', [connections]: '100x240' },
    ],
  },
  SluiceSlowHeartbeats: {
    at: '5m',
    fires: [{ [series('avg_heartbeat_rt_seconds')]: '0.9x240' }],
    quiet: [{ [series('avg_heartbeat_rt_seconds')]: '0.8x240' }],
  },
  SluiceStalledStreams: {
    at: '5m',
    fires: [{ [stalled]: '30x240', [connections]: '1000x240' }],
    quiet: [
      { [stalled]: '15x240', [connections]: '1000x240' },
      { [stalled]: '9x240', [connections]: '100x240' },
    ],
  },
  SluiceReconnectChurn: {
    at: '15m',
    fires: [{ [opened]: '0+30x240', [active]: '20x240', [endedBy('client-closed')]: '0+30x240' }],
    quiet: [
      { [opened]: '0+30x240', [active]: '20x240', [endedBy('ended')]: '0+30x240' },
      { [opened]: '0+30x240', [active]: '1000x240', [endedBy('client-closed')]: '0+30x240' },
      { [opened]: '0+3x240', [active]: '2x240', [endedBy('client-closed')]: '0+3x240' },
    ],
  },
  SluiceRefusedConnections: {
    at: '15m',
    fires: [{ [series('connections_refused_total', 'limit="total"')]: '0+1x240' }],
    quiet: [{ [series('connections_refused_total', 'limit="total"')]: '7x240' }],
  },
  SluiceServerErrors: {
    at: '15m',
    fires: [{ [responses('5xx')]: '0+10x240', [responses('2xx')]: '0+90x240' }],
    quiet: [{ [responses('5xx')]: '0+1x240', [responses('2xx')]: '0+99x240' }],
  },
  SluiceAbortedResponses: {
    at: '20m',
    fires: [
      { [responses('aborted')]: '0+20x240', [responses('2xx')]: '0+80x240' },
      {
        [responses('aborted')]: '0+20x240',
        [responses('2xx')]: '0+80x240',
        [endedBy('client-closed')]: '0+5x240',
        [endedBy('ended')]: '0+20x240',
      },
    ],
    quiet: [
      { [responses('aborted')]: '0+5x240', [responses('2xx')]: '0+95x240' },
      // Streams.
      {
        [responses('aborted')]: '0+20x240',
        [responses('2xx')]: '0+80x240',
        [endedBy('client-closed')]: '0+10x240',
        [endedBy('heartbeat-timeout')]: '0+5x240',
      },
    ],
  },
  SluiceSlowHeaders: {
    at: '20m',
    fires: [
      {
        [headsWithin('2.5')]: '0+90x240',
        [headsWithin('+Inf')]: '0+100x240',
        [headsWithin('5')]: '0+100x240',
        [heads]: '0+100x240',
      },
    ],
    quiet: [
      { [headsWithin('2.5')]: '0+100x240', [headsWithin('+Inf')]: '0+100x240', [heads]: '0+100x240' },
      {
        [headsWithin('2.5')]: '0x240',
        [headsWithin('+Inf')]: '0+1x240',
        [headsWithin('5')]: '0+1x240',
        [heads]: '0+1x240',
      },
    ],
  },
  SluiceDeadlinesExpired: {
    at: '15m',
    fires: [{ [expired]: '0+10x240', [responses('2xx')]: '0+100x240' }],
    quiet: [{ [expired]: '0+1x240', [responses('2xx')]: '0+100x240' }],
  },
  SluiceErrors: {
    at: '22m',
    fires: [{ [errors]: '_x80 1x160' }, { [errors]: '1x80 2x160' }],
    quiet: [{ [errors]: '3x240' }],
  },
  SluiceCompressionOff: {
    at: '32m',
    fires: [{ [series('compression_enabled')]: '0x240' }],
    quiet: [{ [series('compression_enabled')]: '1x240' }, { [series('compression_enabled')]: '1x20 0x240' }],
  },
  SluiceCompressionSaturated: {
    at: '20m',
    fires: [{ [series('compression_tier')]: '3x240' }],
    quiet: [{ [series('compression_tier')]: '2x240' }, { [series('compression_tier')]: '3x60 2 3x240' }],
  },
  SluiceEventLoopDelay: {
    at: '6m',
    fires: [{ [series('event_loop_delay_seconds')]: '0.2x240' }],
    quiet: [
      { [series('event_loop_delay_seconds')]: '0.05x240' },
      { [series('event_loop_delay_seconds')]: '0.01x20 0.5 0.01x240' },
    ],
  },
  SluiceDrainHangs: {
    at: '6m',
    // It can be scraped to its end; it cannot, and is still listed.
    fires: [
      { [draining]: '1x240', [up]: '1x240' },
      { [draining]: '1x8 stale', [up]: '1x8 0x240' },
    ],
    quiet: [
      { [draining]: '0x240', [up]: '1x240' },
      // It is gone; a new one is in its place; it has just begun.
      { [draining]: '1x8 stale', [up]: '1x8 stale' },
      { [draining]: '1x8 0x240', [up]: '1x240' },
      { [draining]: '0x18 1x240', [up]: '1x240' },
    ],
  },
  SluiceTargetDown: { job: 'sluice', at: '5m', fires: [{ [up]: '0x240' }], quiet: [{ [up]: '1x240' }] },
  SluiceProxyFailures: {
    at: '15m',
    fires: [
      { [proxyFailures('UPSTREAM_TIMEOUT')]: '0+10x240', [proxyResponses]: '0+90x240' },
      { [proxyFailures('UPSTREAM_UNREACHABLE')]: '0+10x240' },
    ],
    quiet: [
      { [proxyFailures('UPSTREAM_TIMEOUT')]: '0+1x240', [proxyResponses]: '0+99x240' },
      { [proxyFailures('REQUEST_REFUSED')]: '0+10x240', [proxyResponses]: '0+90x240' },
    ],
  },
  SluiceUpstreamEjections: {
    at: '12m',
    fires: [{ [series('proxy_ejections_total')]: '0x20 1x4 2x4 3x4 4x240' }],
    quiet: [{ [series('proxy_ejections_total')]: '0x20 1x240' }, { [series('proxy_ejections_total')]: '9x240' }],
  },
  SluiceCanaryFails: {
    at: '15m',
    fires: [
      {
        [canary('requests', 'stable')]: '0+100x240',
        [canary('failures', 'stable')]: '0+1x240',
        [canary('requests', 'next')]: '0+10x240',
        [canary('failures', 'next')]: '0+2x240',
      },
    ],
    quiet: [
      // Both fail; hardly more than the other; hardly any requests.
      {
        [canary('requests', 'stable')]: '0+100x240',
        [canary('failures', 'stable')]: '0+20x240',
        [canary('requests', 'next')]: '0+10x240',
        [canary('failures', 'next')]: '0+2x240',
      },
      {
        [canary('requests', 'stable')]: '0+100x240',
        [canary('failures', 'stable')]: '0+1x240',
        [canary('requests', 'next')]: '0+100x240',
        [canary('failures', 'next')]: '0+3x240',
      },
      {
        [canary('requests', 'stable')]: '0+100x240',
        [canary('failures', 'stable')]: '0x240',
        [canary('requests', 'next')]: '0+1x240',
        [canary('failures', 'next')]: '0+1x240',
      },
    ],
  },
};
