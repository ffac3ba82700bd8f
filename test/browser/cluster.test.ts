import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
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

    // Streams go to an instance that answers in time: on a slow machine that may be one for all.
    const first = (await badges(page)).includes('instance a') ? 'a' : 'b';
    const second = first === 'a' ? 'b' : 'a';
    await moves(page, first, second, () => press(page, `Kill instance ${first}`));
    await losesNothing(page);
    await isIn(page, first, 'up');

    await moves(page, second, first, () => press(page, `Pause instance ${second}`));
    await isIn(page, second, 'silent');
    await losesNothing(page);
    await press(page, `Resume instance ${second}`);
    await isIn(page, second, 'up');

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
