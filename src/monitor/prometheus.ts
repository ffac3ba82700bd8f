import { setImmediate as turn } from 'node:timers/promises';
import { InvalidOptionError } from '../errors.ts';
import { type HttpResponse, isGone } from '../internal/http/message.ts';
import { loadPeer } from '../internal/peer.ts';
import { answer } from '../internal/writer/answer.ts';
import { type Handler, isAuthorized, makeHandler, refuse } from './access.ts';
import { Histogram, responseBounds } from './policy/histogram.ts';
import { histogramInstruments, numberInstruments } from './instruments.ts';
import type { ResolvedMonitorOptions } from './options.ts';
import type { MonitorSnapshot } from './snapshot.ts';

/** What is used of a registry of prom-client. */
export interface PrometheusRegistry {
  /** Adds a metric. */
  registerMetric(metric: never): unknown;
  /** Removes a metric. */
  removeSingleMetric(name: string): unknown;
  /** All metrics, as Prometheus reads them. */
  metrics(): Promise<string>;
  /** The type of that text. */
  readonly contentType: string;
}

/** A value of a metric, as prom-client prints it. */
interface MetricValue {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A metric that prom-client asks for its values at each scrape. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** How prom-client joins the values of a cluster's workers. */
  readonly aggregator: 'sum' | 'average';
  get(): Promise<Omit<Metric, 'get' | 'reset'> & { readonly values: readonly MetricValue[] }>;
  reset(): void;
}

/** The monitor whose numbers are exported. */
export interface MetricsSource {
  readonly options: ResolvedMonitorOptions;
  snapshot(): MonitorSnapshot;
  /** Something that ends with the monitor. Returns its undo. */
  own(undo: () => void): () => void;
}

/** Registers all metrics of a monitor. Returns the undo. */
export function registerMetrics(state: Pick<MetricsSource, 'snapshot'>, registry: PrometheusRegistry): () => void {
  if (typeof (registry as PrometheusRegistry | undefined)?.registerMetric !== 'function')
    throw new InvalidOptionError(
      'monitor.registerMetrics',
      'a registry of prom-client, such as its `register`',
      registry,
    );
  const metrics = metricsOf(snapshotOfScrape(state));
  for (const metric of metrics) registry.registerMetric(metric as never);
  return () => {
    for (const { name } of metrics) registry.removeSingleMetric(name);
  };
}

// Not a literal: bundlers leave optional peers out.
const peerName: string = 'prom-client';

// More would teach the compiler nothing.
const mostRehearsed = 50;

/** A registry of its own. Rejects with `MissingPeerError`. */
async function openRegistry(): Promise<PrometheusRegistry> {
  const { Registry } = await loadPeer<{ Registry: new () => PrometheusRegistry }>(peerName, '`monitor().metrics`');
  return new Registry();
}

/** prom-client asks all metrics in one go: they share a snapshot. */
function snapshotOfScrape(state: Pick<MetricsSource, 'snapshot'>): () => MonitorSnapshot {
  let current: MonitorSnapshot | undefined;
  return () => {
    if (!current) {
      current = state.snapshot();
      setImmediate(() => (current = undefined));
    }
    return current;
  };
}

function metricsOf(snapshot: () => MonitorSnapshot): Metric[] {
  const numbers = numberInstruments.map(({ kind, name, help, unit, read }) =>
    metricOf({
      name: `sluice_${name}${kind === 'counter' ? '_total' : ''}`,
      help,
      type: kind,
      aggregator: unit === '1' || unit === 's' ? 'average' : 'sum',
      values: () => Promise.resolve(read(snapshot())),
    }),
  );
  // With many routes they are most of the text. Each is written in a turn of its own, so that none holds the rest up.
  const histograms = histogramInstruments.map(({ name, help, read }, index) =>
    metricOf({
      name: `sluice_${name}`,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: async () => {
        const current = snapshot();
        for (let turns = 0; turns <= index; turns++) await turn();
        return read(current).flatMap((sample) => bucketValues(`sluice_${name}`, sample));
      },
    }),
  );
  return [...numbers, ...histograms];
}

function metricOf({
  values,
  ...described
}: Omit<Metric, 'get' | 'reset'> & { readonly values: () => Promise<readonly MetricValue[]> }): Metric {
  return {
    ...described,
    get: async () => ({ ...described, values: await values() }),
    // The numbers are the monitor's: they live as long as it does.
    reset: () => undefined,
  };
}

type Sample = ReturnType<(typeof histogramInstruments)[number]['read']>[number];

function bucketValues(name: string, { labels, histogram }: Sample): MetricValue[] {
  return [
    ...histogram.buckets.map(({ le, count }) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: le === Infinity ? '+Inf' : le },
      value: count,
    })),
    { metricName: `${name}_sum`, labels, value: histogram.sum },
    { metricName: `${name}_count`, labels, value: histogram.count },
  ];
}

/** Answers requests that may see them with all metrics, as Prometheus reads them. */
export class MetricsAnswer {
  readonly #source: MetricsSource;
  /** Of its own. */
  #registry: Promise<PrometheusRegistry> | undefined;

  constructor(source: MetricsSource) {
    this.#source = source;
  }

  /**
   * Loads prom-client, and runs it twice: that holds the event loop up for some 40 ms, before anything is asked for.
   * Does not reject.
   */
  prepare(): void {
    if (this.#registry) return;
    this.#registry = this.#open();
    this.#registry
      .then(async (registry) => {
        await registry.metrics();
        await this.#rehearse();
      })
      // The first request is told.
      .catch(() => undefined);
  }

  /** Rejects with `MissingPeerError`. */
  async send(res: HttpResponse): Promise<void> {
    this.#registry ??= this.#open();
    const { contentType, text } = await this.#registry.then(
      async (opened) => ({ contentType: opened.contentType, text: await opened.metrics() }),
      (error: unknown) => {
        // The package may be installed later.
        this.#registry = undefined;
        throw error;
      },
    );
    if (!isGone(res)) answer(res, { status: 200, text, contentType });
  }

  /** With as many routes as a service may have: before, there is none. */
  async #rehearse(): Promise<void> {
    const registry = await openRegistry();
    registerMetrics({ snapshot: () => withRoutes(this.#source.snapshot(), this.#source.options.maxRoutes) }, registry);
    await registry.metrics();
  }

  async #open(): Promise<PrometheusRegistry> {
    const opened = await openRegistry();
    this.#source.own(registerMetrics(this.#source, opened));
    return opened;
  }
}

/** A snapshot with routes that are made up. */
function withRoutes(snapshot: MonitorSnapshot, count: number): MonitorSnapshot {
  const empty = new Histogram(responseBounds).snapshot();
  const route = { active: 0, ended: { '2xx': 0 }, timeToHead: empty, timeToFirstByte: empty };
  const names = Array.from({ length: Math.min(count, mostRehearsed) }, (_, index) => `/route-${index}`);
  return { ...snapshot, routes: Object.fromEntries(names.map((name) => [name, route])) };
}

/** Makes the handler, which asks `authorize` first. */
export function makeMetricsHandler({ options }: MetricsSource, metrics: MetricsAnswer): Handler {
  return makeHandler('metrics', async (req, res) => {
    if (await isAuthorized(options, req)) await metrics.send(res);
    else if (!isGone(res)) refuse(options, res);
  });
}
