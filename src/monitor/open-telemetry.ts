import { InvalidOptionError } from '../errors.ts';
import { readOptions } from '../internal/option.ts';
import { loadPeer } from '../internal/peer.ts';
import type { HttpRequest } from '../internal/http/message.ts';
import type { Instrument } from './instrument.ts';
import { histogramInstruments, numberInstruments } from './instruments.ts';
import type { Recorder } from './counters.ts';
import type { ResponseEnd, ResponseTrace } from './response-layer.ts';
import type { MonitorSnapshot } from './snapshot.ts';

type Attributes = Readonly<Record<string, string | number | boolean>>;

/** What is used of a meter of `@opentelemetry/api`. */
interface Meter {
  createObservableCounter(name: string, options: object): object;
  createObservableGauge(name: string, options: object): object;
  createHistogram(name: string, options: object): { record(value: number, attributes: Attributes): void };
  addBatchObservableCallback(callback: (result: BatchResult) => void, observables: never[]): void;
  removeBatchObservableCallback(callback: (result: BatchResult) => void, observables: never[]): void;
}

interface BatchResult {
  observe(observable: never, value: number, attributes: Attributes): void;
}

/** What is used of a span of `@opentelemetry/api`. */
interface Span {
  setAttributes(attributes: Attributes): unknown;
  spanContext(): object;
  end(): void;
}

interface Tracer {
  startSpan(name: string, options: object): Span;
}

/** A `MeterProvider` of `@opentelemetry/api`. */
export interface MeterProviderLike {
  /** Returns the meter of a library. */
  getMeter(name: string): unknown;
}

/** A `TracerProvider` of `@opentelemetry/api`. */
export interface TracerProviderLike {
  /** Returns the tracer of a library. */
  getTracer(name: string): unknown;
}

/** Options of `monitor().openTelemetry`. */
export interface OpenTelemetryOptions {
  /** Where metrics go. `false`: no metrics. @defaultValue the global one of `@opentelemetry/api` */
  meterProvider?: MeterProviderLike | false | undefined;
  /** Where spans go. `false`: no spans. @defaultValue the global one of `@opentelemetry/api` */
  tracerProvider?: TracerProviderLike | false | undefined;
}

/** Checks the options. Throws `InvalidOptionError`. */
export function readOpenTelemetry(given: OpenTelemetryOptions | undefined): OpenTelemetryOptions {
  const options = readOptions('openTelemetry', given, { meterProvider: true, tracerProvider: true });
  requireProvider('openTelemetry.meterProvider', options.meterProvider, 'getMeter');
  requireProvider('openTelemetry.tracerProvider', options.tracerProvider, 'getTracer');
  return options;
}

function requireProvider(option: string, value: object | false | undefined, member: string): void {
  if (value === undefined || value === false) return;
  if (typeof value !== 'object' || (value as unknown) === null || !(member in value))
    throw new InvalidOptionError(option, `an object with \`${member}\`, or false`, value);
}

interface Api {
  readonly metrics: { getMeterProvider(): MeterProviderLike };
  readonly trace: { getTracerProvider(): TracerProviderLike };
}

// Not a literal: bundlers leave optional peers out.
const peerName: string = '@opentelemetry/api';
const scope = 'sluice';

/** The monitor whose numbers are exported. */
export interface TelemetrySource {
  readonly counters: { addRecorder(recorder: Recorder): () => void };
  /** Followers of each response. */
  readonly tracers: Set<(req: HttpRequest) => ResponseTrace>;
  snapshot(): MonitorSnapshot;
}

/** Exports all numbers, and a span for each response. Returns the undo. Rejects with `MissingPeerError`. */
export async function exportTo(state: TelemetrySource, options: OpenTelemetryOptions): Promise<() => void> {
  const { meterProvider, tracerProvider } = await providersOf(options);
  const undo = [
    meterProvider && exportMetrics(state, meterProvider.getMeter(scope) as Meter),
    tracerProvider && exportSpans(state, tracerProvider.getTracer(scope) as Tracer),
  ];
  return () => {
    for (const each of undo) if (each) each();
  };
}

async function providersOf({
  meterProvider,
  tracerProvider,
}: OpenTelemetryOptions): Promise<{
  meterProvider: MeterProviderLike | false;
  tracerProvider: TracerProviderLike | false;
}> {
  if (meterProvider !== undefined && tracerProvider !== undefined) return { meterProvider, tracerProvider };
  const { metrics, trace } = await loadPeer<Api>(peerName, '`monitor().openTelemetry`');
  return {
    meterProvider: meterProvider ?? metrics.getMeterProvider(),
    tracerProvider: tracerProvider ?? trace.getTracerProvider(),
  };
}

function exportMetrics(state: TelemetrySource, meter: Meter): () => void {
  const observed = numberInstruments.map((instrument) => ({ instrument, observable: observableOf(meter, instrument) }));
  const observables = observed.map(({ observable }) => observable) as never[];
  const observe = (result: BatchResult): void => {
    const snapshot = state.snapshot();
    for (const { instrument, observable } of observed) {
      for (const { labels, value } of instrument.read(snapshot)) result.observe(observable as never, value, labels);
    }
  };
  meter.addBatchObservableCallback(observe, observables);
  const histograms = new Map(
    histogramInstruments.map((instrument) => [
      instrument.name,
      meter.createHistogram(nameOf(instrument), {
        description: instrument.help,
        unit: instrument.unit,
        advice: { explicitBucketBoundaries: [...instrument.bounds] },
      }),
    ]),
  );
  const forgetRecorder = state.counters.addRecorder(({ instrument, value, labels }) =>
    histograms.get(`${instrument}_seconds`)?.record(value, labels),
  );
  return () => {
    meter.removeBatchObservableCallback(observe, observables);
    forgetRecorder();
  };
}

function observableOf(meter: Meter, instrument: (typeof numberInstruments)[number]): object {
  const options = { description: instrument.help, unit: instrument.unit };
  return instrument.kind === 'counter'
    ? meter.createObservableCounter(nameOf(instrument), options)
    : meter.createObservableGauge(nameOf(instrument), options);
}

// The unit is a field of its own here, and no part of the name.
function nameOf({ name }: Instrument): string {
  return `${scope}.${name.replace(/_(seconds|bytes)$/, '').replaceAll('_', '.')}`;
}

/**
 * A span for each response, from the arrival of the request to the headers. The end of a stream, which may be hours
 * later, is a span of its own with a link to that.
 */
function exportSpans(state: TelemetrySource, tracer: Tracer): () => void {
  const trace = (req: HttpRequest): ResponseTrace => traceOf(tracer, req);
  state.tracers.add(trace);
  return () => void state.tracers.delete(trace);
}

function traceOf(tracer: Tracer, req: HttpRequest): ResponseTrace {
  const span = tracer.startSpan('sluice.response', { attributes: { 'http.request.method': req.method ?? '' } });
  let hasEnded = false;
  return {
    head(status, route) {
      if (hasEnded) return;
      hasEnded = true;
      span.setAttributes({ 'http.response.status_code': status, 'http.route': route });
      span.end();
    },
    close(end: ResponseEnd) {
      if (!hasEnded) {
        hasEnded = true;
        span.setAttributes({ 'sluice.end': end.reason });
        span.end();
      }
      if (!end.isStream) return;
      const attributes = {
        'sluice.end': end.reason,
        'sluice.stream.duration': end.seconds,
        'sluice.stream.bytes': end.bytes,
        'http.route': end.route,
      };
      tracer.startSpan('sluice.stream', { root: true, attributes, links: [{ context: span.spanContext() }] }).end();
    },
  };
}
