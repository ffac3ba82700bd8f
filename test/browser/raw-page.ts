import type { Browser } from 'playwright-core';
import { onTestFinished } from 'vitest';

/** A page without Playwright, which keeps its own pages seen and focused: they cannot be frozen. */
export interface RawPage {
  send(method: string, params?: object): Promise<unknown>;
  /** The value of an expression. */
  evaluate<T>(expression: string): Promise<T>;
}

interface Answer {
  readonly id: number;
  readonly error?: { readonly message: string };
  readonly result?: unknown;
}

/** Opens a page for one test. */
export async function openRawPage(browser: Browser, url: string): Promise<RawPage> {
  const devtools = await browser.newBrowserCDPSession();
  const { targetId } = await devtools.send('Target.createTarget', { url });
  onTestFinished(async () => {
    await devtools.send('Target.closeTarget', { targetId });
    await devtools.detach();
  });
  const { sessionId } = await devtools.send('Target.attachToTarget', { targetId, flatten: false });
  const waiting = new Map<number, (answer: Answer) => void>();
  devtools.on('Target.receivedMessageFromTarget', ({ message }) => {
    const answer = JSON.parse(message) as Answer;
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  });
  let lastId = 0;
  async function send(method: string, params: object = {}): Promise<unknown> {
    const id = ++lastId;
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve));
    await devtools.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method, params }) });
    const { error, result } = await answered;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }
  return {
    send,
    async evaluate<T>(expression: string) {
      const answer = await send('Runtime.evaluate', { expression, returnByValue: true });
      return (answer as { result: { value: T } }).result.value;
    },
  };
}
