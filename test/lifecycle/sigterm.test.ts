import { once } from 'node:events';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { sse } from '../../src/index.ts';
import { lifecycle } from '../../src/lifecycle/index.ts';
import { lacksBrowser, launchBrowser, listen, openPage, patient } from '../browser/support.ts';
import { connectRaw, getRequest, parseChunked, type RawClient } from '../support/raw.ts';
import { settles, until } from '../support/until.ts';
import { connectFrames, goawayOf } from './http2-frames.ts';
import { type Service, startService, startSwitch } from './service.ts';
import { makeLife, pause } from './support.ts';

const timeout = 60_000;

async function dial(port: number, bytes: string): Promise<RawClient> {
  const client = await connectRaw(port);
  onTestFinished(() => client.destroy());
  client.send(bytes);
  return client;
}

async function statusOf(port: number, path: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
  await response.text();
  return response.status;
}

describe('a process that gets SIGTERM', { timeout }, () => {
  it('lets all that is there end as it should, and exits with 0', () => endsAsItShould());

  it('cuts what is left at a second signal', async () => {
    const service = await startService({ preDrain: 0, drainTimeout: '50s', exit: true, forceAfter: 50 });
    const client = await dial(service.port, getRequest('/never'));
    await client.waitFor('first');
    service.kill('SIGTERM');
    await refusesConnections(service);
    await pause(50);
    service.kill('SIGTERM');
    const exit = await settles(service.exit, 30_000);
    expect(exit).toMatchObject({
      code: 1,
      signal: null,
      stderr: '',
      report: { forced: true, reason: 'signal', cut: { requests: 1 } },
    });
    await client.closed;
    expect(parseChunked(client.received).complete).toBe(false);
  });

  it('is not forced by the same Ctrl-C that comes twice', async () => {
    const service = await startService({ preDrain: 0, signals: ['SIGINT', 'SIGTERM'] });
    // The answer to the first says that the second was read.
    const client = await dial(service.port, getRequest('/name') + getRequest('/wait/1000'));
    await client.waitFor('service');
    service.kill('SIGINT');
    service.kill('SIGTERM');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      code: 0,
      signal: null,
      report: { reason: 'complete', cut: { requests: 0 } },
    });
    expect(client.received).toContain('waited');
  });

  it('tells its clients before it cuts, also when it was stopped for longer than drainTimeout', async () => {
    const service = await startService({ preDrain: 900, spread: 50, drainTimeout: 1000 });
    const events = await dial(service.port, getRequest('/events', { Accept: 'text/event-stream' }));
    const never = await dial(service.port, getRequest('/never'));
    await Promise.all([events.waitFor('id: 1\n'), never.waitFor('first')]);
    service.kill('SIGTERM');
    await expect.poll(() => statusOf(service.port, '/readyz').catch(() => 0), patient).not.toBe(200);
    service.kill('SIGSTOP');
    await pause(1200);
    service.kill('SIGCONT');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      stderr: '',
      report: { told: { streams: 1 }, aborted: { streams: 0 }, cut: { streams: 0, requests: 1 }, reason: 'timeout' },
    });
    await settles(events.closed);
    expect(parseChunked(events.received).chunks.join('')).toMatch(/\n\nretry: \d+\n+$/);
    expect(parseChunked(events.received).complete).toBe(false);
  });

  it('ends at once where nothing is open and no probe was ever asked', async () => {
    const service = await startService({});
    service.kill('SIGTERM');
    const { code, report } = await settles(service.exit, 30_000);
    expect([code, report?.reason]).toEqual([0, 'complete']);
    // That of `preDrain`.
    expect(report!.duration).toBeLessThan(5000);
  });

  it('serves on for preDrain where a probe was ever asked', async () => {
    const service = await startService({ preDrain: 1000, drainTimeout: '20s' });
    expect(await statusOf(service.port, '/readyz')).toBe(200);
    service.kill('SIGTERM');
    expect((await settles(service.exit, 30_000)).report!.duration).toBeGreaterThanOrEqual(1000);
  });

  it('is cut at drainTimeout, and says so in its exit code where it is asked to exit', async () => {
    const service = await startService({ drainTimeout: 500, exit: true });
    const client = await dial(service.port, getRequest('/never'));
    await client.waitFor('first');
    service.kill('SIGTERM');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      code: 1,
      stderr: '',
      report: { reason: 'timeout', cut: { requests: 1 } },
    });
  });

  it('exits with 0 where it is asked to and nothing was cut, whatever else it does', async () => {
    const service = await startService({ preDrain: 0, exit: true }, { LINGER: '1' });
    service.kill('SIGTERM');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      code: 0,
      signal: null,
      stderr: '',
      report: { reason: 'complete' },
    });
  });

  it('is not ended where something else goes on, and then dies of the next signal as if nothing were', async () => {
    const service = await startService({ preDrain: 0 }, { LINGER: '1' });
    service.kill('SIGTERM');
    await refusesConnections(service);
    // Its report: before that, the next signal would be one to hurry.
    await until(() => service.lines.length > 1);
    await pause(100);
    expect(service.child.exitCode).toBe(null);
    service.kill('SIGTERM');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      code: null,
      signal: 'SIGTERM',
      report: { reason: 'complete' },
    });
  });

  it('is not forced by the first signal after a drain that somebody asked for', async () => {
    const service = await startService({ preDrain: 0 });
    const client = await dial(service.port, getRequest('/wait/3000'));
    await dial(service.port, 'POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n').then((hook) =>
      hook.waitFor('draining'),
    );
    service.kill('SIGTERM');
    expect(await settles(service.exit, 30_000)).toMatchObject({
      code: 0,
      signal: null,
      report: { reason: 'complete' },
    });
    await settles(client.closed);
    expect(client.received).toContain('waited');
  });
});

/** A deploy: `one` goes, with everything at once that a service may have, and `two` is there. */
async function endsAsItShould(browser?: Browser): Promise<void> {
  // Whoever is slow here has that long to see that it is announced, and what is under way is so for longer.
  const options = { preDrain: 2000, spread: 500, reconnectDelay: 100, drainTimeout: '20s' };
  const [one, two] = await Promise.all([
    startService(options, { NAME: 'one' }),
    startService(options, { NAME: 'two' }),
  ]);
  const balancer = await startSwitch(one.port);
  const { port } = one;
  const source = browser && (await openEventSource(browser, balancer.port));
  const short = await dial(port, getRequest('/wait/3000'));
  const long = await dial(port, getRequest('/wait/6000'));
  const tokens = await dial(port, getRequest('/tokens'));
  const idle = await dial(port, getRequest('/name'));
  const upload = await dial(port, 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\nfirst');
  const events = await dial(port, getRequest('/events', { Accept: 'text/event-stream' }));
  const frames = connectFrames(one.http2Port);
  frames.get(1, '/');
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  const socketClosed = once(socket, 'close') as Promise<[code: number, reason: Buffer]>;
  await once(socket, 'open');
  await Promise.all([
    idle.waitFor('one'),
    tokens.waitFor('{"token":1}'),
    events.waitFor('id: 1\n'),
    frames.waitFor('DATA', 1),
  ]);

  one.kill('SIGTERM');
  await expect.poll(() => statusOf(port, '/readyz'), patient).toBe(503);
  balancer.pointTo(two.port);
  upload.send('more.');
  await pause(2500);
  upload.send('last.');
  const exit = await settles(one.exit, 30_000);

  expect(exit).toMatchObject({ code: 0, signal: null, stderr: '' });
  expect(await Promise.all([short, long, upload, idle, tokens, events].map(({ closed }) => closed))).toEqual(
    Array(6).fill('end'),
  );
  await until(() => frames.isClosed);
  for (const [client, body] of [
    [short, 'waited'],
    [long, 'waited'],
    [upload, 'got 15'],
  ] as const) {
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(client.received).toContain('\r\nConnection: close\r\n');
    expect(client.received.endsWith(`\r\n\r\n${body}`)).toBe(true);
  }
  // The last chunk, of the stream that is finite; and none of the one that goes on elsewhere.
  expect(parseChunked(tokens.received)).toMatchObject({ complete: true, rest: '' });
  expect(tokens.received).toContain('{"token":40}');
  expect(parseChunked(events.received).complete).toBe(false);
  expect(parseChunked(events.received).chunks.join('')).toMatch(/data: one\n\nretry: \d+\n$/);
  expect(idle.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect((await socketClosed)[0]).toBe(1012);
  expect(goawayOf(await frames.waitFor('GOAWAY'))).toEqual({ last: 1, code: 0 });
  const body = frames.frames.filter(({ type, stream }) => type === 'DATA' && stream === 1);
  expect(Buffer.concat(body.map(({ payload }) => payload)).toString()).toMatch(/part 20 end$/);
  // END_STREAM
  expect(body.at(-1)!.flags & 1).toBe(1);
  expect(exit.report).toMatchObject({
    finished: { streams: 1, webSockets: 0 },
    told: { streams: source ? 2 : 1, webSockets: 1 },
    cut: { requests: 0, streams: 0, webSockets: 0, sockets: 0, holds: 0 },
    forced: false,
    reason: 'complete',
  });
  expect(exit.report!.finished.requests).toBeGreaterThanOrEqual(4);
  expect(exit.report!.duration).toBeLessThan(20_000);
  await source?.goesOnAt('two');
}

interface Source {
  /** Its events go on there, without a gap or a double. */
  goesOnAt(name: string): Promise<void>;
}

async function openEventSource(browser: Browser, port: number): Promise<Source> {
  const page = await openPage(browser, `http://localhost:${port}/page`);
  await page.evaluate(`
    const seen = (globalThis.seen = []);
    const source = (globalThis.source = new EventSource('/events'));
    source.addEventListener('message', ({ data, lastEventId }) => seen.push([Number(lastEventId), data]));
  `);
  const seen = (): Promise<[id: number, name: string][]> => page.evaluate('globalThis.seen');
  await expect.poll(async () => (await seen()).length, patient).toBeGreaterThan(10);
  return {
    async goesOnAt(name) {
      await expect
        .poll(async () => (await seen()).filter(([, from]) => from === name).length, patient)
        .toBeGreaterThan(10);
      const events = await seen();
      expect(events.map(([id]) => id)).toEqual(events.map((_, index) => index + 1));
      expect([...new Set(events.map(([, from]) => from))]).toEqual(['one', name]);
      expect(await page.evaluate('globalThis.source.readyState')).toBe(1);
    },
  };
}

async function refusesConnections({ port }: Service): Promise<void> {
  const codeOf = (error: unknown): string | undefined =>
    ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;
  await expect.poll(() => statusOf(port, '/livez').catch(codeOf), patient).toBe('ECONNREFUSED');
}

describe.skipIf(lacksBrowser('an EventSource through a deploy'))('an EventSource of Chromium', { timeout }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  }, timeout);
  afterAll(() => browser?.close());

  it('goes on at the next process, without a gap or a double, while all the rest ends as it should', () =>
    endsAsItShould(browser));

  it('that is refused comes back until it is served', async () => {
    const [down, up] = [makeLife({ reconnectDelay: 20 }), makeLife()];
    await down.drain();
    let life = down;
    let refusals = 0;
    const news = sse(async function* (stream) {
      yield { id: '1', data: 'served' };
      await new Promise((resolve) => stream.onClose(resolve));
    });
    const { url } = await listen((req, res) => {
      if (req.url !== '/events') {
        res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>events</title>');
        return;
      }
      if (life === down) refusals += 1;
      life(req, res, () => news(req, res));
    });
    const page = await openPage(browser, url);
    await page.evaluate(`
      const seen = (globalThis.seen = []);
      const source = (globalThis.source = new EventSource('/events'));
      source.addEventListener('message', ({ data }) => seen.push(data));
    `);
    await expect.poll(() => refusals, patient).toBeGreaterThan(2);
    life = up;
    await expect.poll(() => page.evaluate('globalThis.seen'), patient).toEqual(['served']);
  });
});

describe('a signal', () => {
  it('is taken by the lifecycles of the process that are not closed', async () => {
    const [one, other] = [
      lifecycle({ signals: ['SIGUSR2'], preDrain: 0, drainTimeout: '5s' }),
      lifecycle({ signals: ['SIGUSR2'], preDrain: 0 }),
    ];
    other.close();
    const release = one.hold();
    process.kill(process.pid, 'SIGUSR2');
    await until(() => one.state === 'draining');
    expect(other.state).toBe('active');
    release();
    await settles(one.drain());
    expect(process.listenerCount('SIGUSR2')).toBe(0);
  });
});
