import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  eventsOf,
  lacksBrowser,
  lastingPort,
  launchBrowser,
  listen,
  openPage,
  patient,
  startGateway,
  startTimeout,
  temporaryFile,
  useGateway,
} from './support.ts';

let browser: Browser;

const connection = '#connection';
const life = '#lifecycle';
const following = '#follow';
const answering = '#tokens';

/** Numbers of points on the four canvases. */
function points(page: Page): Promise<number[]> {
  return page.evaluate<number[]>(
    `Array.from(document.querySelectorAll('.charts .card'), ({ dataset }) => Number(dataset.points))`,
  );
}

/** The time of the newest point that is drawn. */
async function newest(page: Page): Promise<number> {
  return Number(await page.getAttribute('#cpu', 'data-newest'));
}

/** How many gaps are marked: each restart is one, and so is a machine that stood still. */
async function gaps(page: Page): Promise<number> {
  return Number(await page.getAttribute('#gaps', 'data-gaps'));
}

async function expectState(page: Page, selector: string, state: string): Promise<void> {
  await expect.poll(() => page.getAttribute(selector, 'data-state'), patient).toBe(state);
}

async function expectNewPoints(page: Page): Promise<void> {
  const before = await points(page);
  const since = await newest(page);
  await expect
    .poll(async () => (await points(page)).every((count, index) => count > before[index]! + 1), patient)
    .toBe(true);
  expect(await newest(page)).toBeGreaterThan(since);
}

/** What stays the same until the page is loaded again. */
function identity(page: Page): Promise<number> {
  return page.evaluate<number>('performance.timeOrigin');
}

async function ask(page: Page, prompt: string): Promise<void> {
  await page.getByLabel('Prompt').fill(prompt);
  await page.getByRole('button', { name: 'Ask' }).click();
}

function progress(page: Page): Promise<{ state: string; count: number; text: string }> {
  return page.evaluate(`(() => {
    const { dataset } = document.querySelector('#tokens');
    return { state: dataset.state, count: Number(dataset.tokens), text: document.querySelector('.answer').textContent };
  })()`);
}

/** The answer that the server gives to a prompt, whole. */
async function answerOf(url: string, prompt: string): Promise<{ count: number; text: string }> {
  const pieces: string[] = [];
  for await (const { type, data } of eventsOf(`${url}/tokens?prompt=${encodeURIComponent(prompt)}`)) {
    if (type === 'token') pieces.push((JSON.parse(data) as { text: string }).text);
  }
  return { count: pieces.length, text: pieces.join('') };
}

describe.skipIf(lacksBrowser('the page of the gateway'))('the page of the gateway', { timeout: 180_000 }, () => {
  const shared = useGateway();
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  it('draws what the server measures', async () => {
    const page = await openPage(browser, shared.url);

    await expectState(page, connection, 'live');
    await expectNewPoints(page);
    for (const [card, unit] of [
      ['#cpu', /^\d+ %/],
      ['#load', /^\d+\.\d\d/],
      ['#memory', /^[\d.]+ [GM]iB/],
      ['#delay', /^[\d.]+ ms/],
    ] as const) {
      expect(await page.textContent(`${card} .value`)).toMatch(unit);
    }
  });

  it('gives a page that comes later the past minute', async () => {
    const { url } = shared;
    const first = await openPage(browser, url);
    await expect.poll(async () => (await points(first)).every((count) => count > 3), patient).toBe(true);

    const second = await openPage(browser, url);

    await expect.poll(async () => (await points(second))[0]! >= 3, patient).toBe(true);
  });

  it('shows a line that is appended to the followed file', async () => {
    const file = await temporaryFile('old line\n');
    const { url } = await startGateway({ file: file.path });
    const page = await openPage(browser, url);
    const lines = page.locator('.lines li');
    await expect.poll(() => lines.allTextContents(), patient).toEqual(['old line']);

    await file.append('new line with <b>markup</b>\n');

    await expect.poll(() => lines.allTextContents(), patient).toEqual(['old line', 'new line with <b>markup</b>']);
  });

  it('says that no file is followed', async () => {
    const page = await openPage(browser, shared.url);

    await expectState(page, following, 'off');
    expect(await page.getAttribute('.lines', 'data-empty')).toMatch(/no file/i);
  });

  it('shows tokens as they come', async () => {
    const { url } = shared;
    const page = await openPage(browser, url);

    await ask(page, 'What is a token?');

    let early = await progress(page);
    await expect.poll(async () => (early = await progress(page)).count, patient).toBeGreaterThan(2);
    expect(early.state).toBe('streaming');
    await expect.poll(async () => (await progress(page)).count, patient).toBeGreaterThan(early.count);
    await expectState(page, answering, 'done');
    const late = await progress(page);
    expect(late.text.startsWith(early.text)).toBe(true);
    expect(late).toMatchObject(await answerOf(url, 'What is a token?'));
  });

  it('goes on after the server was killed', async () => {
    const file = await temporaryFile('before\n');
    const killed = await startGateway({ port: await lastingPort(), file: file.path });
    const page = await openPage(browser, killed.url);
    const loaded = await identity(page);
    await expectState(page, connection, 'live');
    await expectNewPoints(page);
    await ask(page, 'Does an answer survive?');
    await expect.poll(async () => (await progress(page)).count, patient).toBeGreaterThan(2);

    await killed.stop('SIGKILL');
    await expectState(page, connection, 'reconnecting');
    await expectState(page, following, 'reconnecting');
    await expectState(page, answering, 'reconnecting');
    await file.append('meanwhile\n');
    const restarted = await startGateway({ port: killed.port, file: file.path });

    await expectState(page, connection, 'live');
    await expectNewPoints(page);
    expect(await gaps(page)).toBeGreaterThan(0);
    await expect.poll(() => page.locator('.lines li').allTextContents(), patient).toEqual(['before', 'meanwhile']);
    await expectState(page, answering, 'done');
    expect(await progress(page)).toMatchObject(await answerOf(restarted.url, 'Does an answer survive?'));
    expect(await identity(page)).toBe(loaded);
  });

  it('goes on after the server was asked to stop', async () => {
    const stopped = await startGateway({ port: await lastingPort() });
    const page = await openPage(browser, stopped.url);
    const loaded = await identity(page);
    await expectState(page, connection, 'live');
    await expectNewPoints(page);

    await expectState(page, life, 'active');
    const exit = stopped.stop('SIGTERM');
    await expectState(page, life, 'draining');
    expect(await exit).toEqual({ code: 0, signal: null, stderr: '' });
    await expectState(page, connection, 'reconnecting');
    await startGateway({ port: stopped.port });

    await expectState(page, connection, 'live');
    await expectState(page, life, 'active');
    await expectNewPoints(page);
    expect(await gaps(page)).toBeGreaterThan(0);
    expect(await identity(page)).toBe(loaded);
  });

  it('goes on after a proxy answered for the server', async () => {
    const stopped = await startGateway({ port: await lastingPort() });
    const page = await openPage(browser, stopped.url);
    await expectState(page, connection, 'live');
    await stopped.stop('SIGTERM');

    let refused = 0;
    const proxy = await listen((req, res) => {
      refused += req.url?.startsWith('/metrics') ? 1 : 0;
      res.writeHead(502).end();
    }, stopped.port);
    await expect.poll(() => refused, patient).toBeGreaterThan(0);
    await proxy.close();
    await startGateway({ port: stopped.port });

    await expectState(page, connection, 'live');
    await expectNewPoints(page);
  });
});
