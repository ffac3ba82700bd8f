import type { Server, ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { UIMessage } from 'ai';
import type { Browser, Page } from 'playwright-core';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ended, Script, serveAnswers } from '../channel/resumable/site.ts';
import { compress, mergeDeltas } from '../../src/index.ts';
import type { Middleware } from '../support/carriers.ts';
import { lacksBrowser, launchBrowser, openPage, patient, startTimeout } from './support.ts';

describe.skipIf(lacksBrowser('a chat of the AI SDK'))('a chat of the AI SDK', () => {
  let browser: Browser;
  let program: string;
  beforeAll(async () => {
    [browser, program] = await Promise.all([launchBrowser(), bundle()]);
  }, startTimeout);
  afterAll(() => browser.close());

  async function bundle(): Promise<string> {
    const input = fileURLToPath(new URL('ui-chat-page.ts', import.meta.url));
    const build = await rolldown({ input, platform: 'browser', logLevel: 'silent' });
    const { output } = await build.generate({ format: 'esm', codeSplitting: false });
    await build.close();
    return output[0].code;
  }

  /** Serves the page, and the messages that the server has kept. */
  const pageOf =
    (kept: () => readonly UIMessage[]): Middleware =>
    ({ url }, res, next) => {
      const answer = (type: string, body: string): void => {
        res.setHeader('Content-Type', type);
        (res as ServerResponse).end(body);
      };
      if (url === '/') answer('text/html', '<!doctype html><script type="module" src="/page.js"></script>');
      else if (url === '/page.js') answer('text/javascript', program);
      else if (url === '/messages') answer('application/json', JSON.stringify(kept()));
      else next();
    };

  /** What a page shows, and whether the answer goes on there. */
  const shown = (page: Page): Promise<unknown> =>
    page.evaluate(
      `globalThis.chat && [chat.status, ...chat.messages.map(({ role, parts }) =>
        role + ': ' + parts.map(({ text }) => text).join('|'))]`,
    );
  async function shows(page: Page, ...texts: string[]): Promise<void> {
    await expect.poll(() => shown(page), patient).toEqual(texts);
  }
  const say = (page: Page, text: string): Promise<unknown> =>
    page.evaluate(`void chat.sendMessage({ text: '${text}' })`);

  it('has an answer whole and once, after a reload, in a second tab, and after a cut', async () => {
    const script = new Script();
    let kept: readonly UIMessage[] = [];
    const site = await serveAnswers({
      format: 'ui-message',
      coalesce: mergeDeltas({ ms: 5 }),
      run(given) {
        ({ messages: kept } = given.req.body as { messages: UIMessage[] });
        return script.run(given);
      },
      before: [compress() as Middleware, pageOf(() => kept)],
    });
    const page = await openPage(browser, site.running.origin);
    await shows(page, 'ready');
    await say(page, 'hello');
    script.yields({ type: 'start', messageId: 'm1' }, { type: 'text-start', id: 't' });
    script.yields(...'Hello, '.split('').map((delta) => ({ type: 'text-delta', id: 't', delta })));
    await shows(page, 'streaming', 'user: hello', 'assistant: Hello, ');
    await page.reload();
    await shows(page, 'streaming', 'user: hello', 'assistant: Hello, ');
    const tab = await openPage(browser, site.running.origin);
    await shows(tab, 'streaming', 'user: hello', 'assistant: Hello, ');
    (site.running.server as Server).closeAllConnections();
    await shows(page, 'error', 'user: hello', 'assistant: Hello, ');
    await page.evaluate('void chat.resumeStream()');
    await shows(page, 'streaming', 'user: hello', 'assistant: Hello, ');
    script.yields({ type: 'text-delta', id: 't', delta: 'world' }, { type: 'text-end', id: 't' }, { type: 'finish' });
    script.returns({ totalTokens: 7 });
    await shows(page, 'ready', 'user: hello', 'assistant: Hello, world');
    expect((await ended(site)).map(({ status, value }) => [status, value as unknown])).toEqual([
      ['done', { totalTokens: 7 }],
    ]);
    expect(script.begun).toBe(1);
  });
});
