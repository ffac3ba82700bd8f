import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  eventsOf,
  lacksBrowser,
  launchBrowser,
  openPage,
  patient,
  startGateway,
  startTimeout,
  temporaryFile,
} from './support.ts';

const card = '#connections';

let browser: Browser;

interface Stats {
  readonly connections: number;
  readonly ended: Record<string, number>;
}

/** What a page is told the next time. */
async function nextStats(url: string): Promise<Stats> {
  for await (const { type, data } of eventsOf(`${url}/metrics?page=asking`)) {
    if (type === 'connections') return JSON.parse(data) as Stats;
  }
  throw new Error('The stream ended');
}

/** A client in a process of its own, that reads a stream until it is killed. */
async function startClient(url: string): Promise<{ kill(): Promise<void> }> {
  const program = `const { body } = await fetch(${JSON.stringify(url)}); for await (const chunk of body) process.stdout.write(chunk);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  onTestFinished(kill);
  await once(child.stdout, 'data');
  child.stdout.resume();
  return { kill };
}

/** What the card says: how many there are, twice, and those of one transport by state. */
function shown(page: Page): Promise<unknown> {
  return page.evaluate(`(() => {
    const card = document.querySelector('${card}');
    const cells = card.querySelectorAll('[data-transport="http1"] td');
    return [card.dataset.open, card.querySelector('.value').textContent, Object.fromEntries(Array.from(cells, ({ dataset, textContent }) => [dataset.state, textContent]))];
  })()`);
}

async function expectHealthy(page: Page, count: number): Promise<void> {
  const text = String(count);
  await expect
    .poll(() => shown(page), patient)
    .toEqual([text, `${text} open`, { healthy: text, 'read-late': '0', 'write-late': '0', dead: '0' }]);
}

describe('the connections of the gateway', { timeout: 120_000 }, () => {
  it('are counted, and the ended ones by reason', async () => {
    const { url } = await startGateway();
    const client = await startClient(`${url}/metrics`);
    expect(await nextStats(url)).toMatchObject({
      connections: 2,
      unresponsive_ratio: 0,
      refused: { total: 0, client: 0 },
    });

    await client.kill();

    await expect
      .poll(() => nextStats(url), patient)
      .toMatchObject({ connections: 1, ended: { 'client-closed': expect.any(Number) } });
  });

  it('do not include what is no stream', async () => {
    const { url } = await startGateway();
    for (const path of ['/', '/style.css', '/livez']) await (await fetch(url + path)).arrayBuffer();

    expect(await nextStats(url)).toMatchObject({ connections: 1, ended: {} });
  });
});

describe.skipIf(lacksBrowser('the card of connections of the gateway'))(
  'the card of connections of the gateway',
  { timeout: 180_000 },
  () => {
    beforeAll(async () => {
      browser = await launchBrowser();
    }, startTimeout);
    afterAll(() => browser?.close());

    it('shows the streams of the page, then those of others, and loses what is killed', async () => {
      const file = await temporaryFile('line\n');
      const { url } = await startGateway({ file: file.path });
      const page = await openPage(browser, url);
      // /metrics and /follow.
      await expectHealthy(page, 2);
      expect(await page.textContent(`${card} .ended`)).toBe('0');

      const client = await startClient(`${url}/metrics`);
      await expectHealthy(page, 3);
      const second = await openPage(browser, url);
      await expectHealthy(second, 5);
      await expectHealthy(page, 5);

      await client.kill();
      await expectHealthy(page, 4);
      expect(await page.textContent(`${card} .ended`)).toBe('1');
      expect(await page.textContent(`${card} .reasons`)).toBe('1 client-closed');

      await second.close();
      await expectHealthy(page, 2);
      expect(await page.textContent(`${card} .reasons`)).toBe('3 client-closed');
      expect(await page.textContent(`${card} .unresponsive`)).toBe('0 %');
    });

    it('counts an answer while it is given', async () => {
      const { url } = await startGateway();
      const page = await openPage(browser, url);
      await expectHealthy(page, 1);

      await page.getByRole('button', { name: 'Ask' }).click();

      await expectHealthy(page, 2);
      await expectHealthy(page, 1);
      expect(await page.textContent(`${card} .reasons`)).toBe('1 ended');
    });
  },
);
