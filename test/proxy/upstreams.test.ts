import http from 'node:http';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createRegistry } from '../../src/heartbeat/index.ts';
import type { ConnectionStateChange } from '../../src/heartbeat/index.ts';
import type { Proxy, ProxyOptions, ProxyUpstreamMessage, UpstreamStats } from '../../src/proxy/index.ts';
import { bare, listen } from '../support/carriers.ts';
import { attend, type Served, serve } from '../support/serve.ts';
import { until } from '../support/until.ts';
import { testProxy } from './upstreams.ts';

/** A server that answers by its mood. `fails`: 503. `hangs`: no answer. */
interface Moody {
  readonly origin: string;
  mood: 'answers' | 'fails' | 'hangs';
  requests: number;
  probes: number;
}

async function moody(mood: Moody['mood'] = 'answers'): Promise<Moody> {
  const state = { mood, requests: 0, probes: 0 };
  const server = http.createServer((req, res) => {
    const isProbe = req.url === '/health';
    if (isProbe) state.probes += 1;
    else state.requests += 1;
    if (state.mood === 'hangs') return;
    res.writeHead(state.mood === 'answers' ? 200 : 503, { 'Content-Length': '2' }).end('ok');
  });
  return Object.assign(state, { origin: attend(await listen(server)).origin });
}

/** Short spans, so that minutes of operation pass in a test. A busy machine is in time all the same. */
const health = { path: '/health', every: 20, timeout: '10s', failures: 3, grace: 60 } as const;
const quick: Partial<ProxyOptions> = { retry: { minDelay: 1, maxDelay: 1 }, timeouts: { head: '20s' } };

interface Watched {
  readonly proxy: Proxy;
  readonly running: Served;
  /** Messages on `sluice:proxy:upstream`, as `state origin`. */
  readonly told: string[];
  statsOf(upstream: Moody): UpstreamStats;
  get(): Promise<number>;
}

async function watched(options: ProxyOptions): Promise<Watched> {
  const told: string[] = [];
  const proxy = testProxy({ ...quick, ...options });
  const onMessage = (message: unknown): void => {
    const { state, upstream } = message as ProxyUpstreamMessage;
    if (proxy.upstreams().some((each) => each.upstream === upstream)) told.push(`${state} ${upstream}`);
  };
  subscribe('sluice:proxy:upstream', onMessage);
  onTestFinished(() => void unsubscribe('sluice:proxy:upstream', onMessage));
  const running = await serve(bare, proxy);
  return {
    proxy,
    running,
    told,
    statsOf: ({ origin }) => proxy.upstreams().find(({ upstream }) => upstream === origin)!,
    get: async () => {
      const answer = await fetch(running.origin);
      await answer.text();
      return answer.status;
    },
  };
}

describe('health probes', () => {
  it('give round trips, and take an upstream out while it fails', async () => {
    const [a, b] = [await moody(), await moody()];
    const site = await watched({ target: [a.origin, b.origin], health });
    expect(await site.get()).toBe(200);
    await until(() => site.proxy.upstreams().every(({ roundTrip }) => roundTrip !== undefined));
    const { registry } = site.proxy;
    expect(registry.stats()).toMatchObject({ connections: 2, unresponsive_ratio: 0 });
    expect(registry.stats().avg_heartbeat_rt).toBeGreaterThan(0);

    a.mood = 'fails';
    await until(() => site.told.includes(`down ${a.origin}`));
    expect(site.statsOf(a)).toMatchObject({ state: 'down' });
    expect(registry.stats()).toMatchObject({
      connections: 2,
      unresponsive_ratio: 0.5,
      transports: { upstream: { healthy: 1, 'read-late': 0, 'write-late': 0, dead: 1 } },
    });
    const before = a.requests;
    for (let visit = 0; visit < 20; visit += 1) expect(await site.get()).toBe(200);
    expect(a.requests).toBe(before);

    a.mood = 'answers';
    await until(() => site.told.includes(`up ${a.origin}`));
    // It is chosen again.
    for (let visit = 0; a.requests === before; visit += 1) {
      expect(visit).toBeLessThan(200);
      expect(await site.get()).toBe(200);
    }
    await until(() => registry.stats().unresponsive_ratio === 0);
  });

  it('find one that hangs, and one that is gone', async () => {
    const well = await moody();
    const hanging = await moody('hangs');
    const closed = attend(await listen(http.createServer()));
    await closed.close();
    const target = [well.origin, hanging.origin, closed.origin];
    const site = await watched({ target, health: { ...health, timeout: 300 } });
    site.proxy.registry.on('state', ({ connection, state }: ConnectionStateChange) => {
      site.told.push(`${state} ${connection.label}`);
    });
    // The first request makes the upstreams, and may wait for the one that hangs.
    const first = await site.running.dial();
    first.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    for (const origin of [hanging.origin, closed.origin]) {
      await until(() => site.told.includes(`dead ${origin}`) && site.told.includes(`down ${origin}`));
      // It was late before it was dead.
      expect(site.told.indexOf(`read-late ${origin}`)).toBeLessThan(site.told.indexOf(`dead ${origin}`));
      expect(site.told).toContain(`read-late ${origin}`);
    }
    first.destroy();
    for (let visit = 0; visit < 10; visit += 1) expect(await site.get()).toBe(200);
    expect(site.told).not.toContain(`down ${well.origin}`);
  });

  it('are answered on a connection of their own, while streams take all others', async () => {
    const streams = http.createServer((req, res) => {
      if (req.url === '/health') res.end();
      else res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n');
    });
    let probes = 0;
    streams.on('request', ({ url }: http.IncomingMessage) => (probes += Number(url === '/health')));
    const { origin } = attend(await listen(streams));
    const site = await watched({ target: origin, health, maxConnections: 1 });
    const reading = await site.running.visit();
    await until(() => reading.text !== '');
    const before = probes;
    await until(() => probes > before + 5);
    expect(site.proxy.upstreams()).toMatchObject([{ state: 'up', active: 1, failures: 0 }]);
    reading.destroy();
  });

  it('do not read on a page that never ends', async () => {
    let open = 0;
    let asked = 0;
    const server = http.createServer((req, res) => {
      if (req.url !== '/health') {
        res.end();
        return;
      }
      open += 1;
      asked += 1;
      res.on('close', () => (open -= 1));
      res.write('never ends');
    });
    const { origin } = attend(await listen(server));
    const site = await watched({ target: origin, health });
    expect(await site.get()).toBe(200);
    await until(() => asked > 10);
    expect(open).toBeLessThanOrEqual(2);
    expect(site.proxy.upstreams()).toMatchObject([{ state: 'up' }]);
    await site.proxy.close();
    await until(() => open === 0);
  });

  it('stop with the proxy, and leave no connection', async () => {
    const upstream = await moody();
    const site = await watched({ target: upstream.origin, health });
    expect(await site.get()).toBe(200);
    await until(() => upstream.probes > 2);
    const ends: string[] = [];
    site.proxy.registry.on('end', ({ connection, reason }) => ends.push(`${connection.id} ${reason}`));
    const { id } = site.proxy.upstreams()[0]!;
    await site.proxy.close();
    expect([site.proxy.upstreams(), site.proxy.registry.connections(), ends]).toEqual([[], [], [`${id} ended`]]);
    // What comes later opens nothing.
    expect([await site.get(), site.proxy.upstreams()]).toEqual([502, []]);
  });
});

describe('five failures in a row', () => {
  const outlier = { failures: 5, ejection: 300, maxEjection: 400 };

  it('eject an upstream for a while, longer each time, and it returns', async () => {
    const [a, b] = [await moody('fails'), await moody()];
    const site = await watched({ target: [a.origin, b.origin], outlier });
    while (site.statsOf(a)?.ejections !== 1) expect(await site.get()).toBe(200);
    expect(site.statsOf(a)).toMatchObject({ failures: 5, requests: 5, retries: 5, active: 0 });
    expect(site.statsOf(b)).toMatchObject({ state: 'up', failures: 0, retries: 0 });
    await until(() => site.told.at(-1) === `up ${a.origin}`);
    expect(site.proxy.registry.stats().transports.upstream).toMatchObject({ 'read-late': 1, healthy: 1 });
    while (site.statsOf(a).ejections !== 2) expect(await site.get()).toBe(200);
    await until(() => site.told.length === 4);
    a.mood = 'answers';
    while (a.requests < 20) expect(await site.get()).toBe(200);
    expect(site.told).toEqual(['ejected', 'up', 'ejected', 'up'].map((state) => `${state} ${a.origin}`));
    expect(site.statsOf(a)).toMatchObject({ state: 'up', failures: 10, retries: 10 });
    expect(site.proxy.registry.stats().unresponsive_ratio).toBe(0);
  });

  it('never take the last one out', async () => {
    const [a, b] = [await moody('fails'), await moody('fails')];
    const site = await watched({ target: [a.origin, b.origin], outlier: { ejection: '1h', maxEjection: '1h' } });
    while (site.told.length < 2) expect(await site.get()).toBe(503);
    expect(site.proxy.upstreams().map(({ state }) => state)).toEqual(['ejected', 'ejected']);
    const before = a.requests + b.requests;
    a.mood = b.mood = 'answers';
    expect([await site.get(), a.requests + b.requests]).toEqual([200, before + 1]);

    const alone = await watched({ target: a.origin, outlier: { ejection: '1h', maxEjection: '1h' } });
    a.mood = 'fails';
    while (alone.told.length === 0) expect(await alone.get()).toBe(503);
    a.mood = 'answers';
    expect(await alone.get()).toBe(200);
  });

  it('is what `evict` of the registry stands for', async () => {
    const registry = createRegistry();
    const [a, b] = [await moody(), await moody()];
    const site = await watched({ target: [a.origin, b.origin], registry, outlier: { ejection: '1h' } });
    expect([site.proxy.registry === registry, await site.get()]).toEqual([true, 200]);
    const { id } = site.statsOf(a);
    expect([registry.evict(id), registry.evict('upstream-99')]).toEqual([true, false]);
    const before = a.requests;
    for (let visit = 0; visit < 10; visit += 1) expect(await site.get()).toBe(200);
    expect([a.requests, site.told, site.statsOf(a).state]).toEqual([before, [`ejected ${a.origin}`], 'ejected']);
    expect(registry.connections().find((each) => each.id === id)).toMatchObject({
      transport: 'upstream',
      label: a.origin,
      state: 'dead',
      failures: 0,
      bufferedBytes: 0,
    });
  });
});

it('counts what is under way', async () => {
  const upstream = await moody('hangs');
  const site = await watched({ target: upstream.origin });
  const client = await site.running.dial();
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => upstream.requests === 1);
  expect(site.statsOf(upstream)).toMatchObject({ active: 1, requests: 1, roundTrip: undefined });
  client.destroy();
  await until(() => site.statsOf(upstream).active === 0);
  expect(site.statsOf(upstream).failures).toBe(0);
});

it('of more than a thousand upstreams the one that is idle longest is forgotten', async () => {
  const kept = await moody();
  const origins = Array.from({ length: 1000 }, (_, n) => `http://127.0.1.${n % 250}:${1 + Math.floor(n / 250)}`);
  let target = [kept.origin, ...origins.slice(0, 500)];
  const site = await watched({ route: () => target, retry: false, onError: (_error, _req, res) => res.end() });
  await site.get();
  target = [kept.origin, ...origins.slice(500, 999)];
  await site.get();
  expect(site.proxy.upstreams()).toHaveLength(1000);
  target = [kept.origin, 'http://127.0.2.1:1'];
  await site.get();
  const known = site.proxy.upstreams().map(({ upstream }) => upstream);
  expect([known.length, known.includes(kept.origin), known.includes('http://127.0.2.1:1')]).toEqual([1000, true, true]);
  expect(site.proxy.registry.stats()).toMatchObject({ connections: 1000, ended: { ended: 1 } });
});
