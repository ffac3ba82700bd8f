import { type HistogramSnapshot, quantile } from '../../policy/histogram.ts';
import type { MonitorSnapshot, RouteSnapshot } from '../../snapshot.ts';

/** A snapshot as the page gets it each interval: of a histogram two numbers are enough. */
export type CompactSnapshot = Omit<MonitorSnapshot, 'routes' | 'streams' | 'roundTrip'> & {
  readonly routes: Readonly<Record<string, CompactRoute>>;
  readonly streams: Omit<MonitorSnapshot['streams'], 'duration'> & { readonly duration: Percentiles };
  readonly roundTrip: Percentiles;
};

/** Seconds; absent while there is no value. */
interface Percentiles {
  readonly p50?: number;
  readonly p95?: number;
}

type CompactRoute = Pick<RouteSnapshot, 'active' | 'ended'> & {
  readonly timeToHead: Percentiles;
  readonly timeToFirstByte: Percentiles;
};

export function compactSnapshot(snapshot: MonitorSnapshot): CompactSnapshot {
  const { routes, streams, roundTrip, ...rest } = snapshot;
  return {
    ...rest,
    routes: Object.fromEntries(Object.entries(routes).map(([label, route]) => [label, compactRoute(route)])),
    streams: { ...streams, duration: percentiles(streams.duration) },
    roundTrip: percentiles(roundTrip),
  };
}

function compactRoute({ active, ended, timeToHead, timeToFirstByte }: RouteSnapshot): CompactRoute {
  return { active, ended, timeToHead: percentiles(timeToHead), timeToFirstByte: percentiles(timeToFirstByte) };
}

function percentiles(histogram: HistogramSnapshot): Percentiles {
  const p50 = quantile(histogram, 0.5);
  const p95 = quantile(histogram, 0.95);
  return p50 === undefined || p95 === undefined ? {} : { p50: round(p50), p95: round(p95) };
}

// To tenths of a millisecond.
function round(seconds: number): number {
  return Math.round(seconds * 1e4) / 1e4;
}
