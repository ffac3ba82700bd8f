import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createChannel, type Sluice, sluice, type SluiceOptions } from '../../src/index.ts';
import { createCanary, proxy } from '../../src/proxy/index.ts';
import { sse } from '../../src/sse/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { lacksPrometheus, type RunningPrometheus, startPrometheus } from '../support/prometheus.ts';
import { attend, serve, type Served } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { alertsFile, exampleFolder, queriesOf, readDashboard } from './example.ts';

const key = 'key-of-the-metrics';

/** A service with all parts: a stream, a body, and a proxy with a canary, of which one arm cannot be reached, a channel. */
async function startService(): Promise<{ all: Sluice; server: Served }> {
  const upstream = await serve(bare, ((_req, res) => (res as { end(text: string): void }).end('hello')) as Middleware);
  const canary = createCanary({
    arms: { stable: { target: upstream.origin, weight: 1 }, next: { target: 'http://127.0.0.1:9', weight: 0 } },
    rules: [{ arm: 'next', headers: { 'x-canary': 'always' } }],
  });
  const forward = proxy({ route: canary });
  const ticks = createChannel({ name: 'ticks' });
  const options: SluiceOptions = {
    lifecycle: { signals: false },
    compress: { cache: '1mb' },
    monitor: { canaries: { api: canary }, authorize: (req) => req.headers.authorization === `Bearer ${key}` },
  };
  const all = sluice(options);
  onTestFinished(() => {
    all.close();
    forward.close();
    ticks.close();
  });
  const app = express();
  app.use(all);
  app.get('/metrics', (req, res, next) => all.monitor?.metrics(req, res, next));
  app.get('/text', (_req, res) => void res.type('text').send('a line\n'.repeat(2_000)));
  app.get('/broken', (_req, res) => void res.sendStatus(500));
  app.get(
    '/events',
    sse(async (stream) => {
      await stream.send('hello');
      await new Promise<void>((resolve) => void stream.onClose(() => resolve()));
    }),
  );
  app.get(
    '/once',
    sse(function* () {
      yield 'hello';
    }),
  );
  app.get('/ticks', ticks.subscribe());
  app.use('/api', forward);
  const listener = await new Promise<Server>((resolve) => {
    const opened: Server = app.listen(0, '127.0.0.1', () => resolve(opened));
  });
  const { port } = listener.address() as { port: number };
  const server = attend({
    origin: `http://127.0.0.1:${port}`,
    port,
    server: listener,
    errors: [],
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        listener.closeAllConnections();
      }),
  });
  return { all, server };
}

/** The files of the example in a folder of their own: with this target, and short intervals. */
async function copyExample(target: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-prometheus-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const text = await readFile(join(exampleFolder, 'prometheus.yml'), 'utf8');
  const changed = text.replaceAll('interval: 15s', 'interval: 500ms').replace('localhost:3000', target);
  expect([changed.includes(target), changed.match(/interval: 500ms/g)]).toEqual([
    true,
    ['interval: 500ms', 'interval: 500ms'],
  ]);
  await writeFile(join(folder, 'prometheus.yml'), changed);
  await writeFile(join(folder, 'alerts.yml'), await readFile(alertsFile));
  await writeFile(join(folder, 'metrics-key'), `${key}\n`);
  return folder;
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly name: string; readonly health: string; readonly lastError?: string }[];
  }[];
}

interface Alerts {
  readonly alerts: readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  }[];
}

interface Result {
  readonly result: readonly { readonly value: readonly [number, string] }[];
}

/** Asks again until the answer is as it should be, and stays so. */
async function answer<T>(ask: () => Promise<unknown>, isRight: (data: T) => boolean): Promise<T> {
  const end = Date.now() + 60_000;
  for (;;) {
    const data = (await ask()) as T;
    if (isRight(data)) return data;
    if (Date.now() > end) throw new Error(`Prometheus still says ${JSON.stringify(data)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The number that a query has found. */
async function numberOf(prometheus: RunningPrometheus, query: string, least: number): Promise<void> {
  await answer<Result>(
    () => prometheus.ask('/api/v1/query', { query }),
    ({ result }) => Number(result[0]?.value[1]) >= least,
  );
}

describe.skipIf(lacksPrometheus('Prometheus with examples/observability'))('a real Prometheus', () => {
  it('reads the service with the files of the example, evaluates the alerts, and answers the dashboard', async () => {
    const { all, server } = await startService();
    const stream = await server.visit({ path: '/events', headers: { 'accept-encoding': 'gzip' } });
    const late = await server.visit({ path: '/ticks', headers: { 'last-event-id': 'of another channel' } });
    await until(() => late.text.includes('sluice.reset'));
    late.destroy();
    const folder = await copyExample(`127.0.0.1:${server.port}`);
    all.compress?.switch.disable();
    const prometheus = await startPrometheus(folder);
    await numberOf(prometheus, 'sluice_streams_active', 1);

    // Counters appear with the first event, and rates need two looks at them.
    const paths = ['/text', '/once', '/api/x', '/api/y', '/broken'];
    const visit = async (path: string): Promise<void> => {
      const headers = path === '/api/y' ? { 'x-canary': 'always' } : undefined;
      await (
        await server.visit({ path, ...(headers && { headers }) })
      ).over;
    };
    for (const path of paths) await visit(path);
    await numberOf(prometheus, 'sum(sluice_responses_total{route="/broken", status="5xx"})', 1);
    for (const path of paths) await visit(path);
    await numberOf(prometheus, 'sum(sluice_responses_total{route="/broken", status="5xx"})', 2);

    const { groups } = await answer<Rules>(
      () => prometheus.ask('/api/v1/rules'),
      (data) => data.groups.flatMap(({ rules }) => rules).every(({ health }) => health !== 'unknown'),
    );
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(15);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
    const { alerts } = await answer<Alerts>(
      () => prometheus.ask('/api/v1/alerts'),
      (data) => data.alerts.some(({ labels }) => labels['alertname'] === 'SluiceCompressionOff'),
    );
    const off = alerts.find(({ labels }) => labels['alertname'] === 'SluiceCompressionOff');
    expect(off?.annotations['summary']).toBe(
      `Compression of 127.0.0.1:${server.port} is off for more than half an hour`,
    );

    const empty: string[] = [];
    for (const { title, expression } of queriesOf(readDashboard())) {
      const query = expression
        .replaceAll('$__rate_interval', '1m')
        .replaceAll('$job', 'sluice')
        .replaceAll('$instance', '.+');
      const { result } = (await prometheus.ask('/api/v1/query', { query })) as Result;
      if (result.length === 0) empty.push(title);
    }
    // What has not happened to this service: a heartbeat, a request out of time, an error without a caller, a drain.
    expect(empty).toEqual([
      'Mean round trip',
      'Under way, and out of time',
      'Round trips of heartbeats',
      'Errors that had no caller',
      'Drains',
    ]);
    stream.destroy();
  });
});
