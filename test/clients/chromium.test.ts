import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksBrowser, launchBrowser, startTimeout } from '../browser/support.ts';
import type { Running } from '../support/carriers.ts';
import { EventParser } from '../support/event-parser.ts';
import { settles } from '../support/until.ts';
import { chunks, type Ending, expectedOf, scenarios, startSite } from './site.ts';

interface Outcome {
  readonly data: readonly unknown[];
  readonly ending: Ending;
}

/** In the page: an `EventSource` that closes when it has all, as a page does, or when it was told to stay away. */
async function readByEventSource(page: Page, path: string, isStopped: boolean): Promise<Outcome> {
  const { data, ending } = await page.evaluate<{ data: string[]; ending: Ending }>(`new Promise((resolve) => {
    const data = [];
    const source = new EventSource(${JSON.stringify(path)});
    for (const type of ['message', 'chunk']) source.addEventListener(type, (event) => data.push(event.data));
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) resolve({ data, ending: 'stopped' });
      else if (data.length >= ${chunks.length} && !${isStopped}) {
        source.close();
        resolve({ data, ending: 'end' });
      }
    });
  })`);
  return { data: data.map((text) => JSON.parse(text) as unknown), ending };
}

/** In the page: a POST whose body is read piece by piece. */
async function readByFetch(page: Page, path: string): Promise<Outcome> {
  const { text, ending } = await page.evaluate<{ text: string; ending: Ending }>(`(async () => {
    const response = await fetch(${JSON.stringify(path)}, { method: 'POST', headers: { Accept: 'application/json' }, body: '{}' });
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let text = '';
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { text, ending: 'end' };
        text += decoder.decode(value, { stream: true });
      }
    } catch {
      return { text, ending: 'cut' };
    }
  })()`);
  return {
    data: new EventParser().push(Buffer.from(text)).events.map((event) => JSON.parse(event.data) as unknown),
    ending,
  };
}

describe.skipIf(lacksBrowser('the clients of Chromium'))('Chromium', { timeout: 120_000 }, () => {
  let browser: Browser | undefined;
  let site: Running | undefined;
  let page: Page;
  beforeAll(async () => {
    site = await startSite();
    browser = await launchBrowser();
    page = await browser.newPage();
    await page.goto(site.origin);
  }, startTimeout);
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  const cases = ['plain', 'gzip'].flatMap((coding) =>
    scenarios.map((scenario, number) => [coding, scenario.name, scenario, `/${coding}/open/${number}`] as const),
  );

  it.each(cases)(
    'gets exactly the events of a %s stream by EventSource: %s',
    async (_coding, _name, scenario, path) => {
      const outcome = await settles(readByEventSource(page, path, scenario.isStopped === true));
      expect(outcome).toEqual(expectedOf(scenario, { resumes: true, stops: true }));
    },
  );

  it.each(cases)('gets exactly the events of a %s stream by fetch: %s', async (_coding, _name, scenario, path) => {
    expect(await settles(readByFetch(page, path))).toEqual(expectedOf(scenario, { resumes: false, stops: false }));
  });
});
