import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { textOf } from '../../examples/cluster/model.js';
import { lacksBrowser, launchBrowser, openPage, patient, runExample, startTimeout, whenListening } from './support.ts';

describe.skipIf(lacksBrowser('the page of the cluster'))('the page of the cluster', { timeout: 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser.close());

  /** Where each stream is read from, and the answer, if there is one. */
  const badges = (page: Page): Promise<string[]> => page.locator('#streams .badge, #answer .badge').allTextContents();
  const answerBadge = (page: Page): Promise<string | null> => page.locator('#answer .badge').textContent();
  const answerText = async (page: Page): Promise<string> => (await page.locator('#text').textContent()) ?? '';
  const question = 'What happens when a server dies?';
  const press = (page: Page, name: string): Promise<void> => page.getByRole('button', { name }).click();
  const isIn = (page: Page, instance: string, state: string): Promise<void> =>
    page
      .locator('#instances li', { hasText: `Instance ${instance}` })
      .and(page.locator(`[data-state=${state}]`))
      .waitFor();

  /** Does what makes all streams of an instance go on elsewhere, and waits for them. */
  async function moves(page: Page, from: string, to: string, cause: () => Promise<void>): Promise<void> {
    const notes = page.locator('#log li', { hasText: `moved from ${from} to ${to}` });
    const before = await notes.count();
    const count = (await badges(page)).filter((badge) => badge === `instance ${from}`).length;
    expect(count).toBeGreaterThan(0);
    await cause();
    await expect.poll(() => notes.count(), patient).toBeGreaterThanOrEqual(before + count);
  }

  /** How many events came in all streams. */
  async function received(page: Page): Promise<number> {
    const counts = await page.locator('#streams [data-fact=received]').allTextContents();
    return counts.reduce((sum, count) => sum + Number(count), 0);
  }

  /** Waits for events in each stream, and for none that is missing or came twice. */
  async function losesNothing(page: Page): Promise<void> {
    const newest = async (): Promise<number[]> =>
      (await page.locator('#streams [data-fact=newest]').allTextContents()).map(Number);
    const before = Math.max(...(await newest()).filter((number) => !Number.isNaN(number)));
    await expect.poll(async () => (await newest()).every((number) => number > before + 5), patient).toBe(true);
    expect(await page.locator('#proof').textContent()).toMatch(/^[\d.,\s]+ events, 0 missed, 0 twice, 0 gaps told$/u);
  }

  /** Asks, and waits until the answer is read from another instance than the one that writes it. */
  async function ask(page: Page, words: number): Promise<{ reader: string; writer: string }> {
    await page.getByLabel('Words').selectOption(String(words));
    await press(page, 'Ask');
    let [reader, writer] = ['', ''];
    const isElsewhere = async (): Promise<boolean> => {
      [, reader = ''] = /^instance (.)$/.exec((await answerBadge(page)) ?? '') ?? [];
      writer = (await page.locator('#answer [data-fact="written by"]').textContent()) ?? '';
      // One instance may have got both connections, where the other did not answer in time.
      if (reader === writer) await press(page, 'Cut all connections');
      return /^[ab]{2}$/.test(reader + writer) && reader !== writer;
    };
    await expect.poll(isElsewhere, patient).toBe(true);
    return { reader, writer };
  }

  it('goes on at another instance when one is killed, paused or cut off, without losing an event', async () => {
    const program = runExample('cluster/index.js');
    // It ends its Redis and its instances then.
    onTestFinished(async () => {
      await program.stop('SIGTERM');
    });
    const { url, stop } = await whenListening(program);
    const page = await openPage(browser, url);
    await expect
      .poll(async () => (await badges(page)).filter((badge) => /^instance [ab]$/.test(badge)).length, patient)
      .toBe(4);
    await losesNothing(page);

    const { reader: first, writer: second } = await ask(page, 100);
    await moves(page, first, second, () => press(page, `Kill instance ${first}`));
    await losesNothing(page);
    await isIn(page, first, 'up');
    await expect.poll(() => answerBadge(page), patient).toBe('complete');
    expect(await answerText(page)).toBe(textOf(question, 100));

    await moves(page, second, first, () => press(page, `Pause instance ${second}`));
    await isIn(page, second, 'silent');
    await losesNothing(page);
    await press(page, `Resume instance ${second}`);
    await isIn(page, second, 'up');

    await ask(page, 900);
    const opening = page.waitForEvent('popup');
    await page.getByRole('link', { name: 'Read it in a second tab' }).click();
    const tab = await opening;
    const isRead = async (): Promise<boolean> => (await answerText(tab)).startsWith(`You asked: ${question}`);
    await expect.poll(isRead, patient).toBe(true);
    await tab.reload();
    await expect.poll(isRead, patient).toBe(true);
    await press(tab, 'Stop the answer');
    for (const each of [page, tab]) await expect.poll(() => answerBadge(each), patient).toBe('stopped');
    expect(await answerText(tab)).toBe(await answerText(page));
    expect(textOf(question, 900).startsWith(await answerText(page))).toBe(true);

    const before = await received(page);
    let asked = 0;
    page.on('request', (request) => (asked += new URL(request.url()).port === new URL(url).port ? 0 : 1));
    await press(page, 'Cut all connections');
    // Each stream asks again, and gets whichever instance is next.
    await expect.poll(() => asked, patient).toBeGreaterThanOrEqual(4);
    await losesNothing(page);
    expect(await received(page)).toBeGreaterThan(before);
    expect(await stop('SIGTERM')).toEqual({ code: 0, signal: null, stderr: '' });
  });
});

it('says what to install where there is no redis-server', () => {
  const script = fileURLToPath(new URL('../../examples/cluster/index.js', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [script], {
    env: { ...process.env, PATH: '/nowhere', REDIS_URL: '', PORT: '0' },
    encoding: 'utf8',
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^There is no redis-server on this machine\. Install it .*or set REDIS_URL to one that runs: /,
  );
});
