import { spawnSync } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import type { ServerResponse } from 'node:http';
import { Registry } from 'prom-client';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { compress } from '../../src/compress/index.ts';
import { InvalidOptionError } from '../../src/errors.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import { lifecycle } from '../../src/lifecycle/index.ts';
import { monitor, type Monitor, type MonitorOptions } from '../../src/monitor/index.ts';
import { sse } from '../../src/sse/index.ts';
import { bare, express5 } from '../support/carriers.ts';
import { serve, type Served } from '../support/serve.ts';
import { until } from '../support/until.ts';

function testMonitor(options?: MonitorOptions): Monitor {
  const watch = monitor(options);
  onTestFinished(() => watch.close());
  return watch;
}

/** A service with all parts, one finished response and one open stream. */
async function service(): Promise<{ watch: Monitor; server: Served }> {
  const beats = heartbeat();
  const compression = compress({ governor: {}, cache: '1mb' });
  const life = lifecycle({ signals: false });
  onTestFinished(() => {
    compression.close();
    life.close();
  });
  const watch = testMonitor({ registry: beats.registry, compress: compression, lifecycle: life });
  const stream = sse(async (events) => {
    await events.send('hello');
    await new Promise<void>((resolve) => void events.onClose(() => resolve()));
  });
  const server = await serve(bare, watch, life, beats, compression, (req, res, next) => {
    if (req.url === '/stream') return stream(req, res, next);
    (res as ServerResponse).setHeader('Content-Type', 'text/plain').end('x'.repeat(5_000));
    return undefined;
  });
  await (
    await server.visit({ headers: { 'accept-encoding': 'gzip' } })
  ).over;
  const reading = await server.visit({ path: '/stream' });
  await until(() => reading.length > 0);
  await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 1);
  return { watch, server };
}

/** The values of a scrape, by name and labels. */
function parse(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

describe('Prometheus', () => {
  it('reads all numbers from the registry of the application', async () => {
    const { watch } = await service();
    const registry = new Registry();
    const undo = watch.registerMetrics(registry);
    const text = await registry.metrics();
    const values = parse(text);
    expect(values.get('sluice_responses_total{route="__other__",status="2xx"}')).toBe(1);
    expect(values.get('sluice_streams_active')).toBe(1);
    expect(values.get('sluice_streams_opened_total')).toBe(1);
    expect(values.get('sluice_body_in_bytes_total{coding="gzip"}')).toBe(5_000);
    expect(values.get('sluice_connections{transport="http1",state="healthy"}')).toBe(1);
    expect(values.get('sluice_lifecycle_state{state="active"}')).toBe(1);
    expect(values.get('sluice_compression_enabled')).toBe(1);
    expect(values.get('sluice_compression_cache_lookups_total{result="hit"}')).toBe(0);
    expect(values.get('sluice_compression_cache_lookups_total{result="miss"}')).toBe(1);
    expect(values.get('sluice_compression_cache_bytes')).toBe(0);
    expect(values.get('sluice_time_to_head_seconds_bucket{route="__other__",le="+Inf"}')).toBe(2);
    expect(values.get('sluice_time_to_head_seconds_count{route="__other__"}')).toBe(2);
    expect([...values.values()].every(Number.isFinite)).toBe(true);
    undo();
    expect(await registry.metrics()).not.toContain('sluice_');
  });

  it('writes each histogram in a turn of its own, all from one moment', async () => {
    const { watch } = await service();
    const registry = new Registry();
    watch.registerMetrics(registry);
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(() => {
      channel('sluice:heartbeat:round-trip').publish({ roundTrip: 5 });
      count();
    });
    const text = await registry.metrics();
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(4);
    expect(parse(text).get('sluice_heartbeat_round_trip_seconds_count')).toBe(0);
    expect(parse(await registry.metrics()).get('sluice_heartbeat_round_trip_seconds_count')).toBe(1);
  });

  it('accepts the text: promtool finds nothing to say', async ({ skip }) => {
    const { watch } = await service();
    const registry = new Registry();
    watch.registerMetrics(registry);
    const input = await registry.metrics();
    const { error, status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    if (error && process.env['SLUICE_REQUIRE_ALL'] !== '1') skip('promtool is not installed');
    expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: '', stdout: '' });
  });

  it('loads prom-client, and runs it, when the handler is mounted and not at the first scrape', async () => {
    const metrics = vi.spyOn(Registry.prototype, 'metrics');
    onTestFinished(() => metrics.mockRestore());
    const watch = testMonitor();
    expect(watch.metrics).toBeTypeOf('function');
    // Once as it is, and once with routes, which come later.
    await until(() => metrics.mock.results.length === 2);
    const texts = (await Promise.all(metrics.mock.results.map(({ value }) => value as Promise<string>))).map(parse);
    expect(texts.map((values) => values.has('sluice_time_to_head_seconds_count{route="/route-49"}'))).toEqual([
      false,
      true,
    ]);
    expect(watch.snapshot().routes).toEqual({});
    const script = `
      const isLoaded = () => Object.keys(require.cache).some((path) => path.includes('prom-client'));
      const watch = require('sluice').monitor();
      const before = isLoaded();
      watch.metrics;
      (function look() {
        if (!isLoaded()) return setTimeout(look, 5);
        console.log(before);
        process.exit();
      })();`;
    const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 30_000 });
    expect(stdout).toBe('false\n');
  });

  it('scrapes the handler, which asks `authorize`', async () => {
    const watch = testMonitor({ authorize: (req) => req.headers.authorization === 'Bearer key' });
    const server = await serve(express5, watch, (req, res, next) => watch.metrics(req, res, next));
    const refused = await server.visit();
    expect([await refused.over, refused.status]).toEqual(['end', 403]);
    const reading = await server.visit({ headers: { authorization: 'Bearer key' } });
    await reading.over;
    expect(reading.status).toBe(200);
    expect(reading.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(parse(reading.text).get('sluice_responses_total{route="__other__",status="4xx"}')).toBe(1);
  });

  it.each([
    ['without `authorize`', {}, 'Forbidden. The option `authorize` of `monitor` is missing.'],
    [
      'where it throws',
      {
        authorize: () => {
          throw new Error('no');
        },
      },
    ],
    ['where it rejects', { authorize: () => Promise.reject(new Error('no')) }],
    ['where it answers anything but true', { authorize: (() => 'yes') as never }],
  ])('gets nothing %s', async (_name, options, text = 'Forbidden') => {
    const watch = testMonitor(options);
    const server = await serve(express5, (req, res, next) => watch.metrics(req, res, next));
    const reading = await server.visit();
    await reading.over;
    expect([reading.status, reading.text]).toEqual([403, text]);
  });
});

describe('OpenTelemetry', () => {
  it('gets all numbers, and histograms of its own', async () => {
    const { watch, server } = await service();
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const meterProvider = new MeterProvider({ readers: [reader] });
    const undo = await watch.openTelemetry({ meterProvider, tracerProvider: false });
    await (
      await server.visit()
    ).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 2);
    await reader.forceFlush();
    const metrics = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? [];
    const pointsOf = (name: string): unknown =>
      metrics
        .find(({ descriptor }) => descriptor.name === name)
        ?.dataPoints.map(({ value, attributes }) => [attributes, value]);
    expect(pointsOf('sluice.streams.active')).toEqual([[{}, 1]]);
    expect(pointsOf('sluice.responses')).toEqual([[{ route: '__other__', status: '2xx' }, 2]]);
    expect(pointsOf('sluice.time.to.head')).toMatchObject([[{ route: '__other__' }, { count: 1 }]]);
    expect(metrics.every(({ descriptor }) => descriptor.unit !== '' && descriptor.description !== '')).toBe(true);
    undo();
    await (
      await server.visit()
    ).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 3);
    await reader.forceFlush();
    const after = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? [];
    const last = after.find(({ descriptor }) => descriptor.name === 'sluice.responses');
    // The SDK repeats what it was told last.
    expect(last?.dataPoints.map(({ value }) => value) ?? [2]).toEqual([2]);
    await meterProvider.shutdown();
  });

  it('gets no more routes than `maxRoutes`, in histograms too', async () => {
    const watch = testMonitor({ maxRoutes: 1, route: ({ url }) => url });
    const server = await serve(bare, watch, (_req, res) => void (res as ServerResponse).end('x'));
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const meterProvider = new MeterProvider({ readers: [reader] });
    await watch.openTelemetry({ meterProvider, tracerProvider: false });
    for (const path of ['/first', '/second', '/third']) await (await server.visit({ path })).over;
    await until(() => watch.snapshot().routes['__other__']?.ended['2xx'] === 2);
    await reader.forceFlush();
    const metrics = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? [];
    for (const name of ['sluice.responses', 'sluice.time.to.head', 'sluice.time.to.first.byte']) {
      const points = metrics.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
      expect([name, points.map(({ attributes }) => attributes['route'])]).toEqual([name, ['/first', '__other__']]);
    }
    await meterProvider.shutdown();
  });

  it('gets a span for each response that ends with its headers, and one for the end of a stream with a link', async () => {
    const exporter = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const watch = testMonitor();
    await watch.openTelemetry({ meterProvider: false, tracerProvider });
    const server = await serve(
      bare,
      watch,
      sse(async (events) => {
        await events.send('hello');
        await new Promise<void>((resolve) => void events.onClose(() => resolve()));
      }),
    );
    const reading = await server.visit();
    await until(() => reading.length > 0);
    const [head] = exporter.getFinishedSpans();
    expect(head).toMatchObject({
      name: 'sluice.response',
      attributes: { 'http.request.method': 'GET', 'http.response.status_code': 200, 'http.route': '__other__' },
    });
    reading.destroy();
    await until(() => exporter.getFinishedSpans().length === 2);
    const end = exporter.getFinishedSpans()[1];
    expect(end).toMatchObject({ name: 'sluice.stream', attributes: { 'sluice.end': 'client-closed' } });
    expect(end?.attributes['sluice.stream.bytes']).toBeGreaterThan(0);
    expect(end?.links.map(({ context }) => context)).toEqual([head?.spanContext()]);
    expect(end?.spanContext().traceId).not.toBe(head?.spanContext().traceId);
    await tracerProvider.shutdown();
  });

  it('ends the span of a client that leaves before the headers', async () => {
    const exporter = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const watch = testMonitor();
    await watch.openTelemetry({ meterProvider: false, tracerProvider });
    const server = await serve(bare, watch, (_req, res) => void setImmediate(() => (res as ServerResponse).destroy()));
    await server.visit().catch(() => undefined);
    await until(() => exporter.getFinishedSpans().length === 1);
    expect(exporter.getFinishedSpans()[0]?.attributes).toMatchObject({ 'sluice.end': 'client-closed' });
  });

  it('refuses what is no provider', async () => {
    const watch = testMonitor();
    await expect(watch.openTelemetry({ meterProvider: {} as never })).rejects.toThrow(InvalidOptionError);
    await expect(watch.openTelemetry({ tracer: {} } as never)).rejects.toThrow('openTelemetry.tracer');
  });
});
