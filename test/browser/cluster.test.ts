import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksBrowser, launchBrowser, openPage, patient, runExample, startTimeout, whenListening } from './support.ts';

describe.skipIf(lacksBrowser('the page of the cluster'))('the page of the cluster', { timeout: 120_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser.close());

  const badges = (page: Page): Promise<string[]> => page.locator('#streams .badge').allTextContents();
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

  it('goes on at another instance when one is killed, paused or cut off, without losing an event', async () => {
    const { url, stop } = await whenListening(runExample('cluster/index.js'));
    const page = await openPage(browser, url);
    await expect
      .poll(async () => (await badges(page)).toSorted(), patient)
      .toEqual(['instance a', 'instance a', 'instance b', 'instance b']);
    await losesNothing(page);

    await moves(page, 'a', 'b', () => press(page, 'Kill instance a'));
    await losesNothing(page);
    await isIn(page, 'a', 'up');

    await moves(page, 'b', 'a', () => press(page, 'Pause instance b'));
    await isIn(page, 'b', 'silent');
    await losesNothing(page);
    await press(page, 'Resume instance b');
    await isIn(page, 'b', 'up');

    const before = await received(page);
    await press(page, 'Cut all connections');
    await page.locator('#log li', { hasText: 'moved from a to b' }).nth(2).waitFor();
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
