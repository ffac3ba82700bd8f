import type { CacheCounts } from '../compress/index.ts';
import type { RegistryStats } from '../heartbeat/index.ts';
import type { LifecycleState } from '../lifecycle/index.ts';
import type { ArmCounts, UpstreamStats } from '../proxy/index.ts';
import type { HistogramSnapshot } from './policy/histogram.ts';

/** Counts by name. A name that never occurred is absent. */
export type Counts = Readonly<Record<string, number>>;

/** The responses of one route. Times are in seconds. */
export interface RouteSnapshot {
  /** Responses that are under way. */
  readonly active: number;
  /** Responses that ended, by the first digit of their status: `2xx`. `aborted`: their client left before the end. */
  readonly ended: Counts;
  /** From the arrival of the request to the headers. */
  readonly timeToHead: HistogramSnapshot;
  /** From the arrival of the request to the first byte of the body. */
  readonly timeToFirstByte: HistogramSnapshot;
}

/** Responses that carry a stream: events, JSON lines, JSON sequences. */
export interface StreamsSnapshot {
  /** How many were opened: with clients that reconnect, more than `active` explains. */
  readonly opened: number;
  /** How many are open. */
  readonly active: number;
  /** How many are open in each content-coding; `identity` is none. */
  readonly codings: Counts;
  /** Watched connections whose client does not take what was written. */
  readonly stalled: number;
  /** Ends by reason. */
  readonly ended: Counts;
  /** Lives of those that ended, in seconds. */
  readonly duration: HistogramSnapshot;
}

/** Bytes of bodies in one content-coding. */
export interface CodingSnapshot {
  /** As handlers wrote them. */
  readonly in: number;
  /** As they were sent. */
  readonly out: number;
}

/** `compress` at this moment. */
export interface CompressionSnapshot {
  /** Whether anything new is compressed. */
  readonly enabled: boolean;
  /** How often the switch was changed. */
  readonly version: number;
  /** The name of the profile, if it has one. */
  readonly profile: string | undefined;
  /** Of the governor; 0 without one. */
  readonly tier: number;
  /** Of the governor, 0 idle to 1 saturated; `undefined` without one. */
  readonly load: number | undefined;
  /** Encoders that are open. */
  readonly activeEncoders: number;
  /** Bytes of memory that they hold, by their own estimates. */
  readonly encoderBytes: number;
  /** Of its option `cache`; `undefined` without it. */
  readonly cache: CacheCounts | undefined;
}

/** A canary at this moment. */
export interface CanarySnapshot {
  /** Goes up by one with each change. */
  readonly version: number;
  /** The weight of each arm. */
  readonly weights: Counts;
  /** The requests of each arm that got one. */
  readonly arms: Readonly<Record<string, Readonly<ArmCounts>>>;
}

/** What proxies did. */
export interface ProxySnapshot {
  /** Answers of upstreams, by the first digit of their status. */
  readonly responses: Counts;
  /** Requests that got no answer, or not all of it, by the code of the error. */
  readonly failures: Counts;
  /** Requests that were sent again, by the reason. */
  readonly retries: Counts;
  /** How often an upstream was ejected. */
  readonly ejections: number;
  /** Each upstream of the proxies of the options, by the proxy's name. */
  readonly upstreams: Readonly<Record<string, readonly UpstreamStats[]>>;
  /** Each canary of the options, by its name. */
  readonly canaries: Readonly<Record<string, CanarySnapshot>>;
}

/** What this process did on one channel, or on all channels of one family. */
export interface ChannelSnapshot {
  /** Clients that are connected. One on several channels of a family counts once. */
  readonly subscribers: number;
  /** Those that do not keep up: what they are sent waits for them. */
  readonly lagging: number;
  /** Bytes that wait for clients, compressed or not. */
  readonly queuedBytes: number;
  /** Events that it published. */
  readonly published: number;
  /** Events that it gave to live clients, each as often as there were clients. */
  readonly delivered: number;
  /** Bytes of their text, before compression. */
  readonly deliveredBytes: number;
  /** Older events that clients were sent before they were live. */
  readonly replayed: number;
  /** Times that a client, or all clients at once, were told that events are missing, by reason. */
  readonly resets: Counts;
}

/** The process. */
export interface ProcessSnapshot {
  /** The 99th percentile of the delay of the event loop in the last interval, in seconds. */
  readonly eventLoopDelay: number;
  /** The share of the last interval in which the event loop was busy, 0 to 1. */
  readonly eventLoopUtilization: number;
  /** Seconds of CPU since the process began. */
  readonly cpu: number;
  /** Bytes. */
  readonly residentMemory: number;
  /** Bytes. */
  readonly heapUsed: number;
}

/** An alert that fires. */
export interface AlertSnapshot {
  /** The number: `unresponsive_ratio` or `avg_heartbeat_rt`. */
  readonly name: string;
  /** The number now. */
  readonly value: number;
  /** The threshold. */
  readonly above: number;
  /** When it began to fire, in ms since 1970. */
  readonly since: number;
}

/** All numbers of a monitor, at one moment. */
export interface MonitorSnapshot {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Milliseconds since the monitor was made. */
  readonly uptime: number;
  /** Responses by the template of their route. */
  readonly routes: Readonly<Record<string, RouteSnapshot>>;
  /** Responses that carry a stream. */
  readonly streams: StreamsSnapshot;
  /** Bytes by content-coding; `identity` is none. */
  readonly bytes: Readonly<Record<string, CodingSnapshot>>;
  /** Bytes a second in the last interval. */
  readonly throughput: CodingSnapshot;
  /** The watched connections of the registries. */
  readonly connections: RegistryStats;
  /** Round trips of heartbeats, in seconds. */
  readonly roundTrip: HistogramSnapshot;
  /** `undefined` without `compress` in the options. */
  readonly compression: CompressionSnapshot | undefined;
  /** Decisions of `compress`, by reason. */
  readonly decisions: Counts;
  /** Requests that ran out of time, by what happened to the response. */
  readonly expired: Counts;
  /** `undefined` without `lifecycle` in the options. */
  readonly lifecycle: LifecycleState | undefined;
  /** What proxies did. */
  readonly proxy: ProxySnapshot;
  /** Channels by name. A family is one, whatever its keys. */
  readonly channels: Readonly<Record<string, ChannelSnapshot>>;
  /** Errors that had no caller, by part. */
  readonly errors: Counts;
  /** The process. */
  readonly process: ProcessSnapshot;
  /** Alerts that fire. */
  readonly alerts: readonly AlertSnapshot[];
}
