import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  consoleErrorsOf,
  eventsOf,
  lacksBrowser,
  lastingPort,
  launchBrowser,
  listen,
  openPage,
  patient,
  startClient,
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

/** What all charts of a page say, one entry each. */
function charts(page: Page): Promise<{ id: string; points: number; window: string; gaps: string }[]> {
  return page.evaluate(
    `Array.from(document.querySelectorAll('.card:has(.plot)'), ({ id, dataset: { points, window, gaps } }) => ({ id, points: Number(points), window, gaps }))`,
  );
}

/** Numbers of points on the four charts of samples. */
async function points(page: Page): Promise<number[]> {
  return (await charts(page)).flatMap(({ id, points: count }) => (id === 'compression' ? [] : [count]));
}

/** How many gaps are marked: each restart is one, and so is a machine that stood still. */
async function gaps(page: Page): Promise<number> {
  return Number(await page.getAttribute('#gaps', 'data-gaps'));
}

async function expectState(page: Page, selector: string, state: string): Promise<void> {
  await expect.poll(() => page.getAttribute(selector, 'data-state'), patient).toBe(state);
}

async function expectNewPoints(page: Page): Promise<void> {
  const newest = async (): Promise<number> => Number(await page.getAttribute('#cpu', 'data-newest'));
  const since = await newest();
  await expect.poll(newest, patient).toBeGreaterThan(since + 0.3);
}

/** What stays the same until the page is loaded again. */
function identity(page: Page): Promise<number> {
  return page.evaluate<number>('performance.timeOrigin');
}

async function ask(page: Page, prompt: string): Promise<void> {
  await page.getByLabel('Prompt').fill(prompt);
  await page.getByRole('button', { name: 'Ask' }).click();
}

interface Progress {
  readonly state: string;
  readonly count: number;
  readonly text: string;
}

function progress(page: Page): Promise<Progress> {
  return page.evaluate(`(() => {
    const { dataset } = document.querySelector('#tokens');
    return { state: dataset.state, count: Number(dataset.tokens), text: document.querySelector('.answer').textContent };
  })()`);
}

async function expectTokens(page: Page, since = 0): Promise<Progress> {
  let now = await progress(page);
  await expect.poll(async () => (now = await progress(page)).count, patient).toBeGreaterThan(since + 2);
  return now;
}

/** The answer that the server gives to a prompt, whole. */
async function answerOf(url: string, prompt: string): Promise<{ count: number; text: string }> {
  const pieces: string[] = [];
  for await (const { type, data } of eventsOf(`${url}/tokens?prompt=${encodeURIComponent(prompt)}`)) {
    if (type === 'token') pieces.push((JSON.parse(data) as { text: string }).text);
  }
  return { count: pieces.length, text: pieces.join('') };
}

/** What a page says of numbers that are old: the banner, and the labels of the cards that have numbers. */
function oldness(page: Page): Promise<{ banner: string; labels: string[]; isGrey: boolean }> {
  return page.evaluate(`(() => {
    const shown = (element) => (element.checkVisibility() ? element.textContent : '');
    const muted = getComputedStyle(document.querySelector('#host')).color;
    return {
      banner: shown(document.querySelector('#old')),
      labels: Array.from(document.querySelectorAll('.live'), (card) => shown(card.querySelector('.old'))),
      isGrey: Array.from(document.querySelectorAll('.live .value strong')).every(
        (number) => getComputedStyle(number).color === muted,
      ),
    };
  })()`);
}

async function expectOld(page: Page, reason: RegExp): Promise<void> {
  const { banner, labels, isGrey } = await oldness(page);
  expect(banner).toMatch(reason);
  expect(labels).toEqual(Array(6).fill(expect.stringMatching(/^Old from \d\d:\d\d:\d\d$/)));
  expect(isGrey).toBe(true);
}

async function expectFresh(page: Page): Promise<void> {
  expect(await oldness(page)).toEqual({ banner: '', labels: Array(6).fill(''), isGrey: false });
}

/** Waits until the card says so: how many there are, twice, and those of the one transport by state. */
async function expectHealthy(page: Page, count: number): Promise<void> {
  const text = String(count);
  const shown = (): Promise<unknown> =>
    page.evaluate(`(() => {
      const card = document.querySelector('#connections');
      const cells = card.querySelectorAll('[data-transport="http1"] td');
      return [card.dataset.open, card.querySelector('.value').textContent, Object.fromEntries(Array.from(cells, ({ dataset, textContent }) => [dataset.state, textContent]))];
    })()`);
  await expect
    .poll(shown, patient)
    .toEqual([text, `${text} open`, { healthy: text, 'read-late': '0', 'write-late': '0', dead: '0' }]);
}

describe.skipIf(lacksBrowser('the page of the gateway'))('the page of the gateway', { timeout: 180_000 }, () => {
  const shared = useGateway({ follows: false });
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  it('draws what the server measures, and finds nothing missing', async () => {
    const page = await openPage(browser, shared.url);

    await expectState(page, connection, 'live');
    await expectState(page, life, 'active');
    await expectNewPoints(page);
    for (const [card, unit] of [
      ['#cpu', /^\d+ %/],
      ['#load', /^\d+\.\d\d/],
      ['#memory', /^[\d.]+ [GM]iB/],
      ['#delay', /^[\d.]+ m?s/],
      ['#compression', /^[\d.]+ k?B\/s/],
    ] as const) {
      await expect.poll(() => page.textContent(`${card} .value`), patient).toMatch(unit);
    }
    const windows = new Set((await charts(page)).map(({ window }) => window));
    expect(windows.size).toBe(1);
    await expectFresh(page);
    // Without a file there is no card for one, and no request.
    expect(await page.isVisible(following)).toBe(false);
    expect(await page.textContent('#no-file')).toContain('npm start -- app.log');
    const follow = await fetch(`${shared.url}/follow`);
    expect([follow.status, await follow.json()]).toEqual([404, { error: expect.stringMatching(/no file/i) }]);
    expect(consoleErrorsOf(page)).toEqual([]);

    // A page that comes later has the past minute.
    const taken = Math.min(...(await points(page)));
    const second = await openPage(browser, shared.url);
    await expect.poll(async () => Math.min(...(await points(second))), patient).toBeGreaterThanOrEqual(taken);
  });

  it('fits windows of all widths: each row is full, and nothing is cut off', async () => {
    const page = await openPage(browser, shared.url);
    await expectState(page, connection, 'live');

    for (const [width, height] of [
      [390, 844],
      [1280, 800],
      [1920, 1080],
    ] as const) {
      await page.setViewportSize({ width, height });
      const layout = (): Promise<unknown> =>
        page.evaluate(`(() => {
          const main = document.querySelector('main').getBoundingClientRect();
          const rows = Map.groupBy(
            Array.from(document.querySelectorAll('.card:not([hidden])'), (card) => card.getBoundingClientRect()),
            ({ top }) => Math.round(top),
          );
          return {
            columns: Math.max(...Array.from(rows.values(), ({ length }) => length)),
            isCut: document.documentElement.scrollWidth > innerWidth,
            isFull: Array.from(rows.values()).every((row) => Math.abs(main.right - Math.max(...row.map(({ right }) => right))) < 1),
          };
        })()`);
      const columns = { 390: 1, 1280: 2, 1920: 4 }[width];
      // The charts get their width a moment later.
      await expect.poll(layout, patient).toEqual({ columns, isCut: false, isFull: true });
    }
  });

  it('says what each card shows, with links to pages that are there, and each column has a header', async () => {
    const page = await openPage(browser, shared.url);
    await expect.poll(() => page.locator('#connections tbody tr').count(), patient).toBeGreaterThan(0);

    const { sentences, links, widths } = await page.evaluate<{
      sentences: string[][];
      links: string[];
      widths: number[][];
    }>(`({
      sentences: Array.from(document.querySelectorAll('.card'), (card) =>
        Array.from(card.querySelectorAll('.proves'), (each) => each.textContent.trim())),
      links: Array.from(document.querySelectorAll('a'), ({ href }) => href),
      widths: Array.from(document.querySelectorAll('.figures'), (table) => Array.from(table.rows, ({ cells }) => cells.length)),
    })`);
    expect(sentences).toEqual(sentences.map(() => [expect.stringMatching(/^[A-Z].{40,}/s)]));
    expect(sentences).toHaveLength(8);
    for (const row of widths) expect(new Set(row).size).toBe(1);
    expect(await page.locator('.figures thead :is(th, td):not(:has(.term))').count()).toBe(0);
    for (const link of new Set(links)) {
      const response = await fetch(link);
      expect.soft([link, response.status]).toEqual([link, 200]);
      // The dashboard is no page of the documentation.
      expect(await response.text()).toMatch(link.endsWith('/dashboard/') ? /<title>/ : /<h1 id="[^"]+">/);
    }
  });

  it('explains each term: to a keyboard, a mouse and a finger', async () => {
    const page = await openPage(browser, shared.url, { viewport: { width: 390, height: 844 }, hasTouch: true });
    await expectState(page, connection, 'live');
    const found = await page.evaluate<{ tips: string[]; described: boolean; isInside: boolean; text: string }[]>(
      `(async () => {
        const found = [];
        for (const term of document.querySelectorAll('.term')) {
          term.focus();
          // What the scrolling to it sets off comes with the next frames.
          for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
          const tips = Array.from(document.querySelectorAll('.tip')).filter((tip) => tip.checkVisibility());
          const boxes = tips.map((tip) => tip.getBoundingClientRect());
          found.push({
            tips: tips.map(({ id }) => id),
            described: term.getAttribute('aria-describedby') === tips[0]?.id,
            isInside: boxes.every(({ left, right, top, bottom }) => left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight),
            text: tips.map(({ textContent }) => textContent).join(),
          });
        }
        return found;
      })()`,
    );
    expect(found.length).toBeGreaterThan(15);
    expect(found).toEqual(
      found.map(() => ({
        tips: [expect.any(String)],
        described: true,
        isInside: true,
        text: expect.stringMatching(/^[A-Z].{10,}\.$/s),
      })),
    );
    const tips = page.locator('.tip:visible');
    await page.keyboard.press('Escape');
    expect(await tips.count()).toBe(0);
    await page.keyboard.press('Shift+Tab');
    expect(await tips.count()).toBe(1);

    const term = page.getByRole('button', { name: 'Write late' });
    await term.tap();
    expect(await tips.textContent()).toContain('reads too slowly');
    await page.locator('h1').tap();
    await expect.poll(() => tips.count(), patient).toBe(0);
    await term.hover();
    expect(await tips.textContent()).toContain('reads too slowly');
  });

  it('follows the colour scheme while it is open, legends too', async () => {
    const page = await openPage(browser, shared.url, { colorScheme: 'light' });
    await expectNewPoints(page);
    const colors = (): Promise<{ series: string; marker: string; page: string }> =>
      page.evaluate(`(() => {
        const style = (element) => getComputedStyle(element).backgroundColor;
        const probe = document.body.appendChild(document.createElement('i'));
        probe.style.background = 'var(--series-1)';
        const series = style(probe);
        probe.remove();
        return { series, marker: style(document.querySelector('#load .u-legend tr:nth-child(2) .u-marker')), page: style(document.body) };
      })()`);

    const light = await colors();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await colors();

    expect(light.marker).toBe(light.series);
    expect(dark.marker).toBe(dark.series);
    expect(dark.marker).not.toBe(light.marker);
    expect(dark.page).not.toBe(light.page);
  });

  it('shows tokens as they come, by itself and until it is stopped', async () => {
    const page = await openPage(browser, shared.url, { reducedMotion: 'no-preference' });

    const early = await expectTokens(page);
    expect(early.state).toBe('streaming');
    const late = await expectTokens(page, early.count);
    expect(late.text.startsWith(early.text)).toBe(true);
    expect(await page.locator('.card').first().getAttribute('id')).toBe('tokens');

    await page.getByRole('button', { name: 'Stop' }).click();
    await expectState(page, answering, 'stopped');
    // The server heard of it.
    await expect.poll(() => page.textContent('#connections .reasons'), patient).toContain('client-closed');
    const stopped = await progress(page);
    await ask(page, 'What is a token?');
    await expectTokens(page);
    expect((await progress(page)).text).not.toContain(stopped.text);
    expect(await page.getAttribute(answering, 'data-runs')).toBe('false');
  });

  it('runs nothing by itself for a user who prefers less motion', async () => {
    const page = await openPage(browser, shared.url);
    await expectNewPoints(page);

    expect((await progress(page)).state).toBe('idle');
    await page.getByRole('button', { name: 'Run' }).click();

    await expectTokens(page);
  });

  it('counts the streams of all clients, as they come and go', async () => {
    const { url } = await startGateway();
    const page = await openPage(browser, url);
    await expectHealthy(page, 1);
    expect(await page.textContent('#connections .ended')).toBe('0');

    const client = await startClient(`${url}/metrics`);
    await expectHealthy(page, 2);
    const second = await openPage(browser, url);
    await second.getByRole('button', { name: 'Run' }).click();
    for (const each of [page, second]) await expectHealthy(each, 4);

    await client.kill();
    await expectHealthy(page, 3);
    expect(await page.textContent('#connections .reasons')).toBe('1 client-closed');
    await second.getByRole('button', { name: 'Stop' }).click();
    await expectHealthy(page, 2);
    await second.close();
    await expectHealthy(page, 1);
    expect(await page.textContent('#connections .reasons')).toBe('3 client-closed');
    expect(await page.textContent('#connections .unresponsive')).toBe('0 %');
  });

  it('is honest about a server that was killed, and goes on with the next', async () => {
    const prompt = 'Does an answer survive?';
    const whole = answerOf(shared.url, prompt);
    const file = await temporaryFile('before\n');
    const killed = await startGateway({ port: await lastingPort(), file: file.path });
    const page = await openPage(browser, killed.url);
    const loaded = await identity(page);
    const lines = page.locator('.lines li');
    await expectState(page, connection, 'live');
    await expectNewPoints(page);
    await file.append('<b>markup</b>\n');
    await expect.poll(() => lines.allTextContents(), patient).toEqual(['before', '<b>markup</b>']);
    // Last: on a slow machine the answer would be over.
    await ask(page, prompt);
    await expectTokens(page);

    await killed.stop('SIGKILL');
    await expectState(page, connection, 'reconnecting');
    await expectState(page, life, 'lost');
    await expectState(page, following, 'reconnecting');
    await expectState(page, answering, 'reconnecting');
    await expectOld(page, /^The server does not answer\./);
    await file.append('meanwhile\n');
    await startGateway({ port: killed.port, file: file.path });

    await expectState(page, connection, 'live');
    await expectState(page, life, 'active');
    await expectNewPoints(page);
    await expectFresh(page);
    expect(await gaps(page)).toBeGreaterThan(0);
    // The same gaps in all charts, at the same place.
    const marked = await charts(page);
    expect(marked.map(({ gaps, window }) => ({ gaps, window }))).toEqual(
      marked.map(() => ({ gaps: expect.stringMatching(/^[\d.]+–[\d.]+/), window: marked[0]!.window })),
    );
    expect(new Set(marked.map(({ gaps }) => gaps)).size).toBe(1);
    await expect.poll(() => lines.allTextContents(), patient).toEqual(['before', '<b>markup</b>', 'meanwhile']);
    await expectState(page, answering, 'done');
    expect(await progress(page)).toMatchObject(await whole);
    expect(await identity(page)).toBe(loaded);
  });

  it('is honest about a server that drained, and goes on after a proxy answered for it', async () => {
    const stopped = await startGateway({ port: await lastingPort() });
    const page = await openPage(browser, stopped.url);
    const loaded = await identity(page);
    await expectState(page, life, 'active');
    await expectNewPoints(page);

    const exit = stopped.stop('SIGTERM');
    await expectState(page, life, 'draining');
    await expectFresh(page);
    expect(await exit).toEqual({ code: 0, signal: null, stderr: '' });
    await expectState(page, life, 'drained');
    await expectState(page, connection, 'reconnecting');
    await expectOld(page, /^The server shut down gracefully/);

    let refused = 0;
    const proxy = await listen((req, res) => {
      refused += req.url?.startsWith('/metrics') ? 1 : 0;
      res.writeHead(502).end();
    }, stopped.port);
    await expect.poll(() => refused, patient).toBeGreaterThan(0);
    await expectState(page, life, 'drained');
    await proxy.close();
    await startGateway({ port: stopped.port });

    await expectState(page, connection, 'live');
    await expectState(page, life, 'active');
    await expectNewPoints(page);
    await expectFresh(page);
    expect(await gaps(page)).toBeGreaterThan(0);
    expect(await identity(page)).toBe(loaded);
  });
});
