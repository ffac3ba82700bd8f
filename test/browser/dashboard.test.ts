import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type RequestHandler } from 'express';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import {
  type Canary,
  compress,
  type Compression,
  type ConnectionInfo,
  createCanary,
  createRegistry,
  heartbeat,
  type Lifecycle,
  lifecycle,
  type Monitor,
  monitor,
  type MonitorOptions,
  sse,
  watchWebSockets,
} from '../../src/index.ts';
import { consoleErrorsOf, lacksBrowser, launchBrowser, openPage, patient, startTimeout } from './support.ts';

let browser: Browser;

interface Service {
  readonly url: string;
  readonly port: number;
  readonly watch: Monitor;
  readonly compression: Compression;
  readonly life: Lifecycle;
  readonly canary: Canary;
  /** `Last-Event-ID` of each request for `/ticks`. */
  readonly resumed: string[];
  close(): Promise<void>;
}

/** A service with a dashboard and all that it can change, for one test. */
async function startService(options: MonitorOptions = {}): Promise<Service> {
  const registry = createRegistry();
  const compression = compress();
  const life = lifecycle({ signals: false, preDrain: 0 });
  const arms = {
    stable: { target: 'http://127.0.0.1:1', weight: 90 },
    next: { target: 'http://127.0.0.1:2', weight: 10 },
  };
  const canary = createCanary({ arms });
  const watch = monitor({
    authorize: () => true,
    registry,
    compress: compression,
    profiles: { plain: { codecs: [] } },
    lifecycle: life,
    canaries: { checkout: canary },
    interval: 200,
    alerts: { unresponsive_ratio: { above: 0.3, for: 300 } },
    ...options,
  });
  const resumed: string[] = [];
  const ticks = sse(
    (stream) => {
      resumed.push(stream.lastEventId);
      let last = Number(stream.lastEventId);
      const timer = setInterval(() => void stream.send({ id: String((last += 1)), data: last }), 50);
      stream.onClose(() => clearInterval(timer));
    },
    { reconnectDelay: 50 },
  );
  const app = express();
  app.use(watch, life, compression);
  app.use('/sluice', watch.dashboard);
  app.get('/ticks', heartbeat({ registry }), ticks as RequestHandler);
  app.get('/text', (_req, res) => void res.type('text').send('words '.repeat(1_000)));
  app.get('/blank', (_req, res) => void res.type('html').send('<title>client</title>'));
  const server = createServer(app).listen(0);
  life.attach(server);
  await once(server, 'listening');
  // Never given up: a client that goes on is healthy again.
  const sockets = new WebSocketServer({ server });
  const undo = watchWebSockets(sockets, { registry, every: 200, readDeadline: 600, failures: 10_000, grace: '1h' });
  const close = async (): Promise<void> => {
    watch.close();
    for (const each of [compression, life]) each.close();
    undo();
    for (const client of sockets.clients) client.terminate();
    sockets.close();
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  onTestFinished(close);
  const { port } = server.address() as AddressInfo;
  return { url: `http://localhost:${port}`, port, watch, compression, life, canary, resumed, close };
}

/** Opens the dashboard, which must be quiet about it: a blocked script or style is an error of the console. */
async function openDashboard({ url }: { url: string }, options?: Parameters<typeof openPage>[2]): Promise<Page> {
  const page = await openPage(browser, `${url}/sluice`, options);
  await expectText(page, '#link', 'Live');
  return page;
}

async function expectText(page: Page, selector: string, text: string | RegExp): Promise<void> {
  await expect.poll(() => page.textContent(selector), patient).toMatch(text);
}

/** A process with two WebSockets. */
async function startClients(port: number): Promise<ChildProcess> {
  const program = `
    const { WebSocket } = require('ws');
    let open = 0;
    for (const _ of [1, 2]) new WebSocket('ws://127.0.0.1:${port}').on('open', () => (open += 1) === 2 && console.log('open'));
  `;
  const child = spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  await once(child.stdout, 'data');
  return child;
}

/** What is used of a connection that is watched. */
function connectionOf(info: ConnectionInfo): object {
  return { id: info.id, transport: info, liveness: info, info: () => info };
}

async function codingOf(url: string): Promise<string | null> {
  const response = await fetch(`${url}/text`, { headers: { 'accept-encoding': 'gzip' } });
  await response.text();
  return response.headers.get('content-encoding');
}

describe.skipIf(lacksBrowser('the dashboard'))('the dashboard', () => {
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  it('moves its charts, over our own stream, and breaks no rule of its own policy', async () => {
    const service = await startService();
    const page = await openDashboard(service);
    const newest = async (): Promise<number[]> =>
      page.evaluate(`Array.from(document.querySelectorAll('.chart'), ({ dataset }) => Number(dataset.newest))`);
    const before = await newest();
    expect(before).toHaveLength(6);
    await expect.poll(async () => Math.min(...(await newest())), patient).toBeGreaterThan(Math.max(...before) + 0.3);
    // The canvas says it in words, too.
    const labels = await page.evaluate<string[]>(
      `Array.from(document.querySelectorAll('.plot'), (plot) => plot.getAttribute('aria-label'))`,
    );
    expect(labels[1]).toMatch(/^Throughput, since .*before compression: now .*, between .* and .*as sent: now /);
    expect(await page.locator('.plot canvas').count()).toBe(6);
    expect(consoleErrorsOf(page)).toEqual([]);
  });

  it('flips the switch, by mouse and by keyboard, and new responses show it', async () => {
    const service = await startService();
    const page = await openDashboard(service);
    expect(await codingOf(service.url)).toBe('gzip');
    const toggle = page.getByRole('switch', { name: 'Compression' });
    await toggle.click();
    await expect.poll(() => toggle.getAttribute('aria-checked'), patient).toBe('false');
    expect(service.compression.switch.enabled).toBe(false);
    expect(await codingOf(service.url)).toBeNull();

    await toggle.focus();
    await page.keyboard.press('Space');
    await expect.poll(() => toggle.getAttribute('aria-checked'), patient).toBe('true');
    expect(await codingOf(service.url)).toBe('gzip');

    await page.getByLabel('Profile', { exact: true }).selectOption('plain');
    await page.getByRole('button', { name: 'Apply', exact: true }).click();
    await expectText(page, '#compression .facts', /Profileplain/);
    expect(await codingOf(service.url)).toBeNull();
  });

  it('evicts one client, which resumes where it was', async () => {
    const service = await startService();
    const client = await openPage(browser, `${service.url}/blank`);
    const seen = (): Promise<number[]> => client.evaluate<number[]>('seen');
    await client.evaluate(
      `{ globalThis.seen = []; new EventSource('/ticks').onmessage = ({ data }) => seen.push(Number(data)); }`,
    );
    await expect.poll(async () => (await seen()).length, patient).toBeGreaterThan(2);
    const page = await openDashboard(service);
    const row = page.locator('#rows tbody tr:not(.spacer)', { hasText: '/ticks' });
    await expect.poll(() => row.count(), patient).toBe(1);
    await row.getByRole('button', { name: /^Evict http1-/ }).click();

    await expect.poll(() => service.resumed.length, { ...patient, interval: 20 }).toBe(2);
    const at = Number(service.resumed[1]);
    expect(at).toBeGreaterThan(2);
    await expect.poll(async () => (await seen()).at(-1), patient).toBeGreaterThan(at + 2);
    const numbers = await seen();
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    await expectText(page, '#connections .done', /^http1-1 was told to connect again\.$/);
    await expectText(page, '#ends', /draining/);
  });

  it('shows an alert while half of the clients are stopped, and that it is over', async () => {
    const service = await startService();
    const [stopped] = [await startClients(service.port), await startClients(service.port)];
    const page = await openDashboard(service);
    await expectText(page, '#transports', /websocket4/);
    expect(await page.locator('#alerts .firing li').count()).toBe(0);

    stopped.kill('SIGSTOP');
    await expectText(page, '#alerts .firing', /Too many connections are unresponsive.* above 30 % since .*now 50 %/);
    expect(await page.title()).toBe('(1) sluice dashboard');
    await page.getByLabel('State', { exact: true }).selectOption('unresponsive');
    await expectText(page, '#found', /^2 connections$/);

    stopped.kill('SIGCONT');
    await expectText(page, '#alerts .past', /Too many connections are unresponsive: .* to .*, over/);
    // The late answers of the stopped clients may be an alert of their own for a moment.
    await expect.poll(() => page.locator('#alerts .firing li').count(), patient).toBe(0);
    await expectText(page, '#found', /^0 connections$/);
  });

  it('changes the weights of a canary', async () => {
    const service = await startService();
    const page = await openDashboard(service);
    const weight = page.getByLabel('Weight of next');
    await expect.poll(() => weight.inputValue(), patient).toBe('10');
    await weight.fill('30');
    await expectText(page, '#canaries tbody', /25 %/);
    await page.getByRole('button', { name: 'Apply weights' }).click();
    await expectText(page, '#canaries .version', 'version 2');
    expect(service.canary.config.arms['next']!.weight).toBe(30);
    // What another one has set is there, too; what is wrong is said.
    service.canary.setWeights({ next: 40 });
    await expect.poll(() => weight.inputValue(), patient).toBe('40');
    await page.getByLabel('Weight of stable').fill('0');
    await weight.fill('0');
    await page.getByRole('button', { name: 'Apply weights' }).click();
    await expectText(page, '#canaries .failure', /at least one arm/);
  });

  it('asks before it drains, and says so when the server is gone', async () => {
    const service = await startService();
    const page = await openDashboard(service);
    const drain = page.getByRole('button', { name: 'Drain …' });
    const dialog = page.getByRole('dialog', { name: 'Drain this process?' });
    await drain.click();
    expect(await dialog.isVisible()).toBe(true);
    // The harmless answer has the focus.
    expect(await page.evaluate('document.activeElement.id')).toBe('confirm-no');
    await page.keyboard.press('Escape');
    expect(await dialog.isVisible()).toBe(false);
    await drain.click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(service.life.state).toBe('active');

    await drain.click();
    await dialog.getByRole('button', { name: 'Drain' }).click();
    await expect.poll(() => service.life.state, patient).not.toBe('active');
    await service.life.drain();
    await expectText(page, '#link', 'Reconnecting');
    await expect.poll(() => page.getAttribute('body', 'data-stale'), patient).toBe('true');
  });

  it('shows 10,000 connections with few rows in the document', async () => {
    const registry = createRegistry();
    const infos = Array.from({ length: 10_000 }, (_, index): ConnectionInfo => ({
      id: `http1-${index}`,
      transport: index % 2 === 0 ? 'http1' : 'websocket',
      state: index === 7_777 ? 'write-late' : 'healthy',
      remoteAddress: '192.0.2.1',
      // Names come from clients.
      label: `/<img src=x onerror=alert(1)>/${index}`,
      age: 1_000 * index,
      silence: 10,
      roundTrip: 12,
      bufferedBytes: 0,
      failures: 0,
    }));
    Object.assign(registry, { members: new Map(infos.map((info, index) => [index, connectionOf(info)])) });
    const evicted: string[] = [];
    registry.evict = (id) => evicted.push(id) > 0;
    const page = await openDashboard(await startService({ registry }));
    const rows = page.locator('#rows tbody tr:not(.spacer)');
    const indexes = async (): Promise<number[]> =>
      page.evaluate(
        `Array.from(document.querySelectorAll('#rows tbody tr:not(.spacer)'), (row) => Number(row.ariaRowIndex ?? row.getAttribute('aria-rowindex')))`,
      );
    await expectText(page, '#found', /^10,000 connections$/);
    expect(await page.locator('#rows table').getAttribute('aria-rowcount')).toBe('10001');
    expect((await indexes())[0]).toBe(2);

    for (const share of [0.3, 0.77, 1]) {
      await page.evaluate(
        `{ const rows = document.querySelector('#rows'); rows.scrollTop = ${share} * rows.scrollHeight; }`,
      );
      const wanted = Math.round(share * 9_990);
      await expect
        .poll(async () => (await indexes()).some((index) => Math.abs(index - wanted) < 20), patient)
        .toBe(true);
      expect(await rows.count()).toBeLessThan(60);
    }
    // What is seen is at the end, and nothing of it was taken for markup.
    await expect.poll(() => rows.last().textContent(), patient).toContain('/<img src=x onerror=alert(1)>/9999');
    expect(await page.locator('#rows img').count()).toBe(0);
    await rows.last().getByRole('button').click();
    await expect.poll(() => evicted, patient).toEqual(['http1-9999']);

    await page.getByLabel('State', { exact: true }).selectOption('Not healthy');
    await expectText(page, '#found', /^1 connection$/);
    expect(await rows.allTextContents()).toEqual([expect.stringContaining('/7777')]);
    await page.getByLabel('State', { exact: true }).selectOption('Any');
    await page.getByLabel('Filter', { exact: true }).fill('/99');
    await expectText(page, '#found', /^111 connections$/);
    expect(consoleErrorsOf(page)).toEqual([]);
  });

  it('says what it was not given', async () => {
    const service = await startService({
      registry: undefined,
      compress: undefined,
      lifecycle: undefined,
      canaries: undefined,
    });
    const page = await openDashboard(service);
    await expectText(page, '#link', 'Live');
    for (const [card, option] of [
      ['#compression', 'compress'],
      ['#canaries', 'canaries'],
      ['#process', 'lifecycle'],
      ['#connections', 'registry'],
    ] as const) {
      expect.soft(await page.locator(`${card} > .empty`).innerText()).toContain(`no option ${option}`);
      expect.soft(await page.locator(`${card} > .given`).isVisible()).toBe(false);
    }
  });

  it('fits phones and wide screens, in light and in dark', async () => {
    const service = await startService();
    const page = await openDashboard(service, { colorScheme: 'light', viewport: { width: 390, height: 844 } });
    const background = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const columns = (): Promise<number> =>
      page.evaluate(`new Set(Array.from(document.querySelectorAll('.chart'), (chart) => chart.offsetLeft)).size`);
    for (const [width, wanted] of [
      [390, 1],
      [1000, 2],
      [1920, 3],
    ] as const) {
      await page.setViewportSize({ width, height: 900 });
      // The charts get their width a moment later.
      await expect
        .poll(
          async () => [await columns(), await page.evaluate('document.documentElement.scrollWidth <= innerWidth')],
          patient,
        )
        .toEqual([wanted, true]);
    }
    const light = await background();
    const theme = page.getByRole('button', { name: /^Theme: / });
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await background()).not.toBe(light);
    await theme.click();
    expect([await theme.textContent(), await background()]).toEqual(['Theme: light', light]);
    await page.reload();
    await expectText(page, '#theme', 'Theme: light');
    await theme.click();
    expect(await background()).not.toBe(light);
  });

  it('has a name for each control and a header for each column', async () => {
    const page = await openDashboard(await startService());
    const faults = await page.evaluate<string[]>(`(() => {
      const faults = [];
      const visible = (element) => element.checkVisibility();
      for (const each of document.querySelectorAll('button, input, select, [tabindex="0"]')) {
        if (!visible(each)) continue;
        const name = each.getAttribute('aria-label') ?? (each.getAttribute('aria-labelledby') && document.getElementById(each.getAttribute('aria-labelledby'))?.textContent) ?? each.labels?.[0]?.textContent ?? each.textContent;
        if (!name?.trim()) faults.push('no name: ' + each.outerHTML);
      }
      for (const table of document.querySelectorAll('table')) {
        const columns = table.tHead.rows[0].cells.length;
        for (const cell of table.tHead.rows[0].cells) if (cell.scope !== 'col' || !cell.textContent.trim()) faults.push('no header: ' + table.outerHTML.slice(0, 200));
        for (const row of table.tBodies[0].rows) if (!row.matches('.spacer') && row.cells.length !== columns && !row.querySelector('.none')) faults.push('columns: ' + row.outerHTML);
      }
      const levels = Array.from(document.querySelectorAll('h1, h2, h3, h4'), ({ tagName }) => Number(tagName[1]));
      if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) faults.push('h1: ' + levels);
      levels.reduce((before, level) => { if (level > before + 1) faults.push('levels: ' + levels); return level; });
      if (document.querySelectorAll('main').length !== 1) faults.push('main');
      if (!document.querySelector('#alerts .firing[aria-live="assertive"]')) faults.push('alerts');
      return faults;
    })()`);
    expect(faults).toEqual([]);
    // The first stop of a keyboard leads past the charts.
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to connections');
  });
});
