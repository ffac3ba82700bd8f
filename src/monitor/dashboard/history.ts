import type { DashboardSource } from './source.ts';

/** The numbers of the charts at one moment. */
export interface Point {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Watched connections by transport. */
  readonly transports: Readonly<Record<string, number>>;
  /** Open streams. */
  readonly streams: number;
  /** Bytes a second, as handlers wrote them. */
  readonly in: number;
  /** Bytes a second, as they were sent. */
  readonly out: number;
  /** 0 to 1. */
  readonly unresponsive: number;
  /** Milliseconds. */
  readonly roundTrip: number | null;
  /** Of the governor, 0 to 1. */
  readonly load: number | null;
  /** Of the governor, 0 to 3. */
  readonly tier: number | null;
  /** The share of the interval in which the event loop was busy, 0 to 1. */
  readonly busy: number;
  /** The delay of the event loop, in ms. */
  readonly delay: number;
}

// Five minutes at the default interval. More would make the first message long.
const mostPoints = 300;

/** The last points, from the start of the monitor: a page that is opened in an incident shows how it began. */
export class History {
  readonly points: Point[] = [];

  add(point: Point): void {
    this.points.push(point);
    if (this.points.length > mostPoints) this.points.shift();
  }
}

/** The numbers of the charts now. Cheap: it does not look at connections or routes. */
export function pointOf(source: DashboardSource): Point {
  const { sampler, options } = source;
  const { transports, unresponsive_ratio, avg_heartbeat_rt } = source.connections();
  const { eventLoopDelay, eventLoopUtilization } = sampler.loop;
  const governor = options.compress?.governor;
  return {
    time: Date.now(),
    transports: Object.fromEntries(
      Object.entries(transports).map(([name, counts]) => [name, sum(Object.values(counts))]),
    ),
    streams: source.counters.streamsActive,
    in: Math.round(sampler.throughput.in),
    out: Math.round(sampler.throughput.out),
    unresponsive: unresponsive_ratio,
    roundTrip: avg_heartbeat_rt,
    load: governor?.load ?? null,
    tier: governor?.tier ?? null,
    busy: eventLoopUtilization,
    delay: eventLoopDelay * 1_000,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
