import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { readOneOf, requireFunction } from '../internal/option.ts';
import { makeDashboard } from './dashboard/index.ts';
import type { AlertChange } from './events.ts';
import { MonitorState } from './monitor.ts';
import { exportTo, type OpenTelemetryOptions, readOpenTelemetry } from './open-telemetry.ts';
import { type MonitorOptions, resolveMonitorOptions } from './options.ts';
import { makeMetricsHandler, MetricsAnswer, type PrometheusRegistry, registerMetrics } from './prometheus.ts';
import type { MonitorSnapshot } from './snapshot.ts';

export type { AlertChange, DashboardAction, MonitorErrorMessage } from './events.ts';
export type { AlertOptions, AlertsOptions, MonitorOptions } from './options.ts';
export type { MeterProviderLike, OpenTelemetryOptions, TracerProviderLike } from './open-telemetry.ts';
export type { PrometheusRegistry } from './prometheus.ts';
export type { HistogramSnapshot } from './policy/histogram.ts';
export type {
  AlertSnapshot,
  CanarySnapshot,
  ChannelSnapshot,
  CodingSnapshot,
  CompressionSnapshot,
  Counts,
  MonitorSnapshot,
  ProcessSnapshot,
  ProxySnapshot,
  RouteSnapshot,
  StreamsSnapshot,
} from './snapshot.ts';

/** The middleware that `monitor` makes. */
export interface Monitor {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** All numbers at this moment, as a new object. The cost does not depend on the number of connections. */
  snapshot(): MonitorSnapshot;
  /**
   * Calls `listener` when an alert begins to fire, and when it is over. Returns the undo. What a listener throws is
   * published on the diagnostics channel `sluice:monitor:error`. Throws `InvalidOptionError`.
   */
  on(event: 'alert', listener: (change: AlertChange) => void): () => void;
  /**
   * Answers a request with all metrics, as Prometheus reads them: `app.get('/metrics', watch.metrics)`. Asks
   * `authorize` first. Needs the package `prom-client`.
   */
  metrics(req: HttpRequest, res: HttpResponse, next?: Next): void;
  /**
   * Serves the dashboard: `app.use('/sluice', watch.dashboard)`. It answers every request that it gets, by the path
   * that the router leaves in `req.url`. Asks `authorize` first. A change needs a POST of its own page.
   */
  dashboard(req: HttpRequest, res: HttpResponse, next?: Next): void;
  /**
   * Adds all metrics to a registry of prom-client, such as its `register`. Returns the undo. Throws if one of their
   * names is taken, and `InvalidOptionError` for what is no registry.
   */
  registerMetrics(registry: PrometheusRegistry): () => void;
  /**
   * Exports all metrics to OpenTelemetry, and a span for each response: from the arrival of the request to the headers.
   * The end of a stream is a span of its own, with a link to the first. Needs the package `@opentelemetry/api`, unless
   * both providers are given. Resolves to the undo. Rejects with `InvalidOptionError` and `MissingPeerError`.
   */
  openTelemetry(options?: OpenTelemetryOptions): Promise<() => void>;
  /** Stops counting, and removes all listeners. */
  close(): void;
}

/**
 * Counts what the streams and the other responses of a process do: how many, how long, how many bytes before and after
 * compression, and why they ended. Mount it before all others. Throws `InvalidOptionError`.
 */
export function monitor(options?: MonitorOptions): Monitor {
  const state = new MonitorState(resolveMonitorOptions(options));
  function monitor(_req: HttpRequest, res: HttpResponse, next: Next): void {
    state.watch(res);
    next();
  }
  const answer = new MetricsAnswer(state);
  const metrics = makeMetricsHandler(state, answer);
  const members = {
    snapshot: () => state.snapshot(),
    on(event: 'alert', listener: (change: AlertChange) => void): () => void {
      readOneOf('monitor.on', event, ['alert']);
      requireFunction('monitor.on.listener', listener);
      return state.sampler.alertChanges.add(listener);
    },
    dashboard: makeDashboard(state, answer),
    registerMetrics: (registry: PrometheusRegistry) => state.own(registerMetrics(state, registry)),
    openTelemetry: async (given?: OpenTelemetryOptions) => state.own(await exportTo(state, readOpenTelemetry(given))),
    close: () => state.close(),
  };
  return Object.defineProperty(Object.assign(monitor, members), 'metrics', {
    enumerable: true,
    // It is about to be mounted: the first scrape is then like all others.
    get() {
      answer.prepare();
      return metrics;
    },
  }) as Monitor;
}
