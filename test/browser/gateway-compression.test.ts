import { request } from 'node:http';
import { constants, gunzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EventParser } from '../support/event-parser.ts';
import { connectRaw, getRequest, parseChunked, type RawClient } from '../support/raw.ts';
import { startRedis } from '../support/redis-server.ts';
import {
  eventsOf,
  type Gateway,
  lacksBrowser,
  lastingPort,
  launchBrowser,
  listen,
  newestId,
  openPage,
  patient,
  startGateway,
  startTimeout,
  take,
  useGateway,
} from './support.ts';

const timeout = 120_000;
// Each test leaves the switch on.
const shared = useGateway();

interface State {
  readonly enabled: boolean;
  readonly version: number;
}

/** Asks for a change as a client that is no browser does, unless the fields say otherwise. */
function post(url: string, body: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/compression`,
      { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
      (res) => {
        res.resume().on('end', () => resolve(res.statusCode));
      },
    );
    sent.on('error', reject).end(body);
  });
}

async function set(url: string, enabled: boolean): Promise<void> {
  expect(await post(url, JSON.stringify({ enabled }))).toBe(204);
}

/** The same, until the test is over. */
async function setForTest(url: string, enabled: boolean): Promise<void> {
  onTestFinished(() => set(url, !enabled));
  await set(url, enabled);
}

/** The state that a page is told when it comes. */
async function stateOf(url: string): Promise<State> {
  const [, compression] = await take(eventsOf(`${url}/metrics?page=asking`), 2);
  expect(compression).toMatchObject({ type: 'compression', lastEventId: '' });
  return JSON.parse(compression!.data) as State;
}

async function nextState(events: ReturnType<typeof eventsOf>): Promise<State> {
  for (;;) {
    const [event] = await take(events, 1);
    if (event!.type === 'compression') return JSON.parse(event!.data) as State;
  }
}

/** The stream of metrics with its bytes as they came, in gzip. */
async function openRaw({ port }: Pick<Gateway, 'port'>, path: string, lastId: string): Promise<RawClient> {
  const client = await connectRaw(port);
  onTestFinished(() => client.destroy());
  client.send(getRequest(path, { 'Accept-Encoding': 'gzip', Accept: 'text/event-stream', 'Last-Event-ID': lastId }));
  await client.waitFor('\r\n\r\n');
  expect(client.received.toLowerCase()).toContain('\r\ncontent-encoding: gzip\r\n');
  return client;
}

/** What a gzip body that is not at its end says so far. */
function decode(chunks: readonly string[]): string {
  return gunzipSync(Buffer.from(chunks.join(''), 'latin1'), { finishFlush: constants.Z_SYNC_FLUSH }).toString();
}

/** Bytes of the next chunks of a stream, each on average. */
async function bytesOfNext(client: RawClient, count: number): Promise<number> {
  const before = parseChunked(client.received).chunks.length;
  await client.waitFor((received) => parseChunked(received).chunks.length >= before + count);
  const chunks = parseChunked(client.received).chunks.slice(before, before + count);
  return chunks.join('').length / count;
}

describe('the compression of the gateway', { timeout }, () => {
  it('goes for everything that it sends', async () => {
    const { url } = shared;

    for (const path of [
      '/',
      '/style.css',
      '/app.js',
      '/modules/uplot/uPlot.esm.js',
      '/metrics',
      '/follow',
      '/tokens?prompt=hello',
    ]) {
      const response = await fetch(url + path, { headers: { 'accept-encoding': 'gzip' } });
      expect
        .soft(Object.fromEntries(response.headers), path)
        .toMatchObject({
          'content-encoding': 'gzip',
          'server-timing': 'compress;desc="gzip"',
          vary: expect.stringMatching(/\bAccept-Encoding$/),
        });
      await response.body!.cancel();
    }
  });

  it('is switched, and every client of /metrics is told', async () => {
    const { url } = shared;
    const { version } = await stateOf(url);
    const clients = [eventsOf(`${url}/metrics`), eventsOf(`${url}/metrics`), eventsOf(`${url}/metrics?page=one`)];
    await Promise.all(clients.map((client) => take(client, 3)));

    await set(url, false);
    for (const client of clients)
      expect(await nextState(client)).toMatchObject({ enabled: false, version: version + 1 });
    // As it is already: that is no change.
    await set(url, false);
    await set(url, true);
    for (const client of clients)
      expect(await nextState(client)).toMatchObject({ enabled: true, version: version + 2 });

    expect(await stateOf(url)).toEqual({
      enabled: true,
      version: version + 2,
      tier: expect.any(Number),
      load: expect.any(Number),
    });
    await Promise.all(clients.map((client) => client.return()));
  });

  it('is switched together with that of another gateway on the same Redis', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const env = { REDIS_URL: redis.url };
    const [one, other] = await Promise.all([startGateway({ env }), startGateway({ env })]);
    const clients = [one, other].map(({ url }) => eventsOf(`${url}/metrics`));
    await Promise.all(clients.map((client) => take(client, 3)));
    for (const [from, enabled] of [
      [one, false],
      [other, true],
    ] as const) {
      await set(from.url, enabled);
      for (const client of clients) expect(await nextState(client)).toMatchObject({ enabled });
    }
    // One that comes later starts as they are.
    await set(one.url, false);
    const late = await startGateway({ env });
    const states = eventsOf(`${late.url}/metrics`);
    let state = await nextState(states);
    while (state.enabled) state = await nextState(states);
  });

  it('sends what comes while it is off as it is, and says why', async () => {
    const { url } = shared;
    await setForTest(url, false);

    for (const path of ['/style.css', '/metrics']) {
      const response = await fetch(url + path, { headers: { 'accept-encoding': 'gzip' } });
      expect(response.headers.get('content-encoding')).toBeNull();
      expect(response.headers.get('server-timing')).toBe('compress;desc="switch-off"');
      await response.body!.cancel();
    }
  });

  it('makes the events of an open stream shorter from the moment it is on, and no longer when it is off', async () => {
    const { url } = shared;
    const client = await openRaw(shared, '/metrics', await newestId(url));
    await bytesOfNext(client, 3);

    const on = await bytesOfNext(client, 4);
    await setForTest(url, false);
    // The change itself, and what was under way.
    await bytesOfNext(client, 4);
    const off = await bytesOfNext(client, 4);
    await set(url, true);
    await bytesOfNext(client, 4);
    const onAgain = await bytesOfNext(client, 4);

    expect(on).toBeLessThan(0.6 * off);
    expect(onAgain).toBeLessThan(0.6 * off);
    const ids = new EventParser()
      .push(Buffer.from(decode(parseChunked(client.received).chunks)))
      .events.flatMap(({ lastEventId }) => (lastEventId === '' ? [] : [Number(lastEventId)]));
    // One member from the first byte on, and no event is missing.
    expect([...new Set(ids)]).toEqual(Array.from({ length: ids.at(-1)! - ids[0]! + 1 }, (_, index) => ids[0]! + index));
  });

  it('tells a page what came over the wire, to the byte', async () => {
    const client = await openRaw(shared, '/metrics?page=one', await newestId(shared.url));
    const reports = (): { page: { streams: { metrics: { text: number; wire: number } } } }[] => {
      const { events } = new EventParser().push(Buffer.from(decode(parseChunked(client.received).chunks)));
      return events.filter(({ type }) => type === 'traffic').map(({ data }) => JSON.parse(data));
    };
    await expect.poll(() => reports().length, patient).toBeGreaterThan(2);

    const { head, chunks } = parseChunked(client.received);
    const ends = chunks.map((_, index) => {
      const sofar = chunks.slice(0, index + 1);
      const framed = sofar.map(({ length }) => length.toString(16).length + 2 + length + 2);
      return {
        text: Buffer.byteLength(decode(sofar)),
        wire: head.length + 4 + framed.reduce((sum, length) => sum + length, 0),
      };
    });
    for (const { page } of reports()) {
      expect(page.streams.metrics).toMatchObject({ coding: 'gzip', open: true });
      expect(ends).toContainEqual({ text: page.streams.metrics.text, wire: page.streams.metrics.wire });
    }
  });

  it('counts the streams of each page on their own', async () => {
    const { url } = shared;
    const streamsOf = async (page: string): Promise<Record<string, { open: boolean; text: number }>> => {
      const events = eventsOf(`${url}/metrics?page=${page}`);
      for (;;) {
        const [event] = await take(events, 1);
        if (event!.type !== 'traffic') continue;
        await events.return();
        return JSON.parse(event!.data).page.streams;
      }
    };
    const follower = await fetch(`${url}/follow?page=one`);
    await expect(fetch(`${url}/tokens?page=one`)).resolves.toMatchObject({ status: 400 });

    const [one, two] = await Promise.all([streamsOf('one'), streamsOf('two')]);

    expect(one).toEqual({
      metrics: expect.anything(),
      follow: { coding: expect.any(String), open: true, text: '{"line":"line"}\n'.length, wire: expect.any(Number) },
    });
    expect(two).toEqual({ metrics: expect.anything() });
    await follower.body!.cancel();
  });

  it.each([
    ['of another site', { 'sec-fetch-site': 'cross-site' }],
    ['of another origin of the site', { 'sec-fetch-site': 'same-site' }],
    ['that a user opened', { 'sec-fetch-site': 'none' }],
    ['of another origin', { origin: 'http://example.com' }],
    ['of another port', { origin: 'http://localhost:1' }],
    ['of an origin without a name', { origin: 'null' }],
  ])('is not switched by a page %s', async (_what, headers) => {
    const { url } = shared;
    const before = await stateOf(url);

    expect(await post(url, '{"enabled":false}', headers)).toBe(403);

    expect(await stateOf(url)).toMatchObject({ enabled: true, version: before.version });
  });

  it('is switched by a page of its own, also where the browser says only its origin', async () => {
    const { url } = shared;
    const { version } = await stateOf(url);

    expect(await post(url, '{"enabled":false}', { 'sec-fetch-site': 'same-origin', origin: url })).toBe(204);
    expect(await post(url, '{"enabled":true}', { origin: url })).toBe(204);

    expect(await stateOf(url)).toMatchObject({ enabled: true, version: version + 2 });
  });

  it.each([
    ['no body', ''],
    ['no member', '{}'],
    ['null', 'null'],
    ['a string', '{"enabled":"false"}'],
    ['no JSON', '{enabled'],
  ])('is not switched by %s', async (_what, body) => {
    const { url } = shared;
    const before = await stateOf(url);

    expect(await post(url, body)).toBe(400);
    expect(await post(url, '{"enabled":false}', { 'content-type': 'text/plain' })).toBe(400);

    expect(await stateOf(url)).toMatchObject({ enabled: true, version: before.version });
  });
});

const card = '#compression';
let browser: Browser;

async function expectState(page: Page, enabled: boolean, version: number): Promise<void> {
  await expect.poll(() => page.getAttribute(card, 'data-version'), patient).toBe(String(version));
  expect(await page.getAttribute(card, 'data-enabled')).toBe(String(enabled));
  expect(await page.getByRole('switch', { name: 'Compression' }).getAttribute('aria-checked')).toBe(String(enabled));
}

interface Cost {
  readonly coding: string;
  readonly text: number;
  readonly wire: number;
}

/** What the page shows of the streams of a name; `undefined` while it shows nothing. */
function costOf(page: Page, stream: string): Promise<Cost | undefined> {
  return page.evaluate<Cost | undefined>(`(() => {
    const row = document.querySelector('${card} [data-stream="${stream}"]');
    return row ? { coding: row.dataset.coding, text: Number(row.dataset.text), wire: Number(row.dataset.wire) } : undefined;
  })()`);
}

async function expectCoding(page: Page, stream: string, coding: string): Promise<void> {
  await expect.poll(async () => (await costOf(page, stream))?.coding, patient).toBe(coding);
}

/** Bytes on the wire for each of text, while some events come. */
async function costOfNextEvents(page: Page): Promise<number> {
  const enough = 1_500;
  // What was under way before the last change.
  const now = (await costOf(page, 'metrics'))!;
  await expect.poll(async () => (await costOf(page, 'metrics'))!.text, patient).toBeGreaterThan(now.text);
  const before = (await costOf(page, 'metrics'))!;
  await expect.poll(async () => (await costOf(page, 'metrics'))!.text, patient).toBeGreaterThan(before.text + enough);
  const after = (await costOf(page, 'metrics'))!;
  return (after.wire - before.wire) / (after.text - before.text);
}

/**
 * How many of the gaps that a page shows are not those of samples that were never taken: where the machine stood still,
 * if it did.
 */
async function missed(page: Page, url: string): Promise<number> {
  const [shown, newest] = await page.evaluate<[number, number]>(
    `[Number(document.querySelector('#gaps').dataset.gaps), Number(document.querySelector('#cpu').dataset.newest)]`,
  );
  let interval = 0;
  let before: number | undefined;
  let neverTaken = 0;
  // From the first that there is.
  for await (const { type, data } of eventsOf(`${url}/metrics`, '1')) {
    if (type === 'host') interval = (JSON.parse(data) as { interval: number }).interval / 1000;
    if (type !== 'sample') continue;
    const at = (JSON.parse(data) as { time: number }).time / 1000;
    if (at > newest) break;
    if (before !== undefined && at - before > 3 * interval) neverTaken += 1;
    before = at;
  }
  return shown - neverTaken;
}

async function expectNoSampleMissing(page: Page, url: string): Promise<void> {
  // A gap is counted when its sample comes, and the sample is there when it is drawn.
  await expect.poll(() => missed(page, url), patient).toBe(0);
}

/** The requests for a path that a page makes from now on. */
function requestsFor(page: Page, path: string): string[] {
  const requests: string[] = [];
  page.on('request', (sent) => {
    if (new URL(sent.url()).pathname === path) requests.push(sent.url());
  });
  return requests;
}

describe.skipIf(lacksBrowser('the compression card of the gateway'))(
  'the compression card of the gateway',
  { timeout: 180_000 },
  () => {
    beforeAll(async () => {
      browser = await launchBrowser();
    }, startTimeout);
    afterAll(() => browser?.close());

    it('switches the open streams of every page, which go on', async () => {
      const { url } = shared;
      const { version } = await stateOf(url);
      const [first, second] = [await openPage(browser, url), await openPage(browser, url)];
      await expectCoding(first, 'metrics', 'gzip');
      await expectCoding(second, 'metrics', 'gzip');
      const requests = [first, second].map((page) => requestsFor(page, '/metrics'));
      await first.evaluate(`{
      globalThis.seen = { ids: [], opened: 0, states: [] };
      const source = new EventSource('/metrics');
      source.addEventListener('open', () => (seen.opened += 1));
      source.addEventListener('sample', ({ lastEventId }) => seen.ids.push(Number(lastEventId)));
      source.addEventListener('compression', ({ data }) => seen.states.push(JSON.parse(data).enabled));
    }`);
      const seen = (): Promise<{ ids: number[]; opened: number; states: boolean[] }> => first.evaluate('seen');
      await expect.poll(async () => (await seen()).opened, patient).toBe(1);
      await expectState(first, true, version);

      await first.getByRole('switch', { name: 'Compression' }).click();
      await expectState(first, false, version + 1);
      await expectState(second, false, version + 1);
      await expect.poll(() => first.textContent(`${card} [data-stream="metrics"]`), patient).toContain('gzip, stored');
      const off = await costOfNextEvents(first);

      await second.keyboard.press('c');
      await expectState(second, true, version + 2);
      await expectState(first, true, version + 2);
      const on = await costOfNextEvents(first);

      expect(off).toBeGreaterThan(1);
      expect(on).toBeLessThan(0.6);
      const { ids, opened, states } = await seen();
      expect({ opened, states }).toEqual({ opened: 1, states: [false, true] });
      expect(ids).toEqual(ids.map((_, index) => ids[0]! + index));
      // One is the test's own.
      expect(requests.map(({ length }) => length)).toEqual([1, 0]);
      for (const page of [first, second]) await expectNoSampleMissing(page, url);
    });

    it('is in gzip, and says so', async () => {
      const { url } = shared;
      const page = await openPage(browser, 'about:blank');
      const codings = new Map<string, string | undefined>();
      page.on('response', (response) =>
        codings.set(new URL(response.url()).pathname, response.headers()['content-encoding']),
      );
      await page.goto(url);

      await page.getByRole('button', { name: 'Ask' }).click();
      for (const stream of ['metrics', 'follow', 'tokens']) {
        await expectCoding(page, stream, 'gzip');
        expect(codings.get(`/${stream}`)).toBe('gzip');
      }
      await expect.poll(async () => (await costOf(page, 'files'))?.coding ?? '', patient).toMatch(/^(br|zstd)$/);
      const files = await costOf(page, 'files');
      expect(files!.wire).toBeLessThan(0.6 * files!.text);
      expect(await page.textContent(`${card} .encoders`)).toMatch(/^\d+$/);
    });

    it('shows a page that comes while it is off so, and compresses its metrics from where they are', async () => {
      const { url } = shared;
      await setForTest(url, false);
      const { version } = await stateOf(url);
      const page = await openPage(browser, url);
      await expectState(page, false, version);
      await expectCoding(page, 'metrics', 'identity');
      await expectCoding(page, 'files', 'identity');
      const requests = requestsFor(page, '/metrics');

      await page.getByRole('switch', { name: 'Compression' }).click();

      await expectState(page, true, version + 1);
      await expectCoding(page, 'metrics', 'gzip');
      expect(await costOfNextEvents(page)).toBeLessThan(0.6);
      expect(requests).toHaveLength(1);
      await expectNoSampleMissing(page, url);
      expect(await page.getAttribute('#connection', 'data-state')).toBe('live');
    });

    it('leaves the key alone where a user types', async () => {
      const { url } = shared;
      const { version } = await stateOf(url);
      const page = await openPage(browser, url);
      await expectState(page, true, version);

      await page.getByLabel('Prompt').fill('');
      await page.keyboard.type('cC');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Control+c');
      await page.keyboard.press('c');

      await expectState(page, false, version + 1);
      await set(url, true);
      expect(await page.getByLabel('Prompt').inputValue()).toBe('cC');
    });

    it('goes on counting after the server was killed, and says meanwhile that it cannot be switched', async () => {
      const killed = await startGateway({ port: await lastingPort() });
      const page = await openPage(browser, killed.url);
      await expectCoding(page, 'metrics', 'gzip');
      await page.keyboard.press('c');
      await expectState(page, false, 1);
      const before = (await costOf(page, 'metrics'))!;

      await killed.stop('SIGKILL');
      await page.getByRole('switch', { name: 'Compression' }).click();
      await expect.poll(() => page.textContent(`${card} .failure`), patient).toMatch(/^Not switched: ./);
      expect(await page.getAttribute(card, 'data-enabled')).toBe('false');
      await startGateway({ port: killed.port });

      // That of the new server, which is as it began.
      await expectState(page, true, 0);
      expect(await page.textContent(`${card} .failure`)).toBe('');
      await expect.poll(async () => (await costOf(page, 'metrics'))!.text, patient).toBeGreaterThan(before.text);
      expect((await costOf(page, 'metrics'))!.wire).toBeGreaterThan(before.wire);
    });

    it('is not switched by a page of another origin', async () => {
      const { url } = shared;
      const { version } = await stateOf(url);
      const other = await listen((_req, res) =>
        res.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>'),
      );
      const page = await openPage(browser, other.url);
      const statuses: number[] = [];
      page.on('response', (response) => {
        if (response.url().endsWith('/compression')) statuses.push(response.status());
      });

      await page.evaluate(
        `fetch('${url}/compression', { method: 'POST', mode: 'no-cors', body: '{"enabled":false}' })`,
      );
      await page.evaluate(
        `fetch('${url}/compression', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"enabled":false}' }).catch(() => {})`,
      );

      await expect.poll(() => statuses, patient).toContain(403);
      expect(statuses).not.toContain(204);
      expect(await stateOf(url)).toMatchObject({ enabled: true, version });
    });
  },
);
