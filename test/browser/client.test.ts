import { createReadStream } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compress, sse } from '../../src/index.ts';
import { openRawPage, type RawPage } from './raw-page.ts';
import { lacksBrowser, lastingPort, launchBrowser, listen, openPage, patient, startTimeout } from './support.ts';

// The built package as a page without a bundler loads it: native ES modules, and an import map for the parser.

const root = new URL('../../', import.meta.url);
const parser = 'node_modules/eventsource-parser/dist/index.js';
const html = `<!doctype html><title>client</title>
<script type="importmap">{ "imports": { "eventsource-parser": "/${parser}" } }</script>
<script type="module">
  import { connect } from '/dist/client/index.mjs';
  globalThis.shown = [];
  globalThis.lifecycle = [];
  for (const type of ['freeze', 'resume']) document.addEventListener(type, () => lifecycle.push(type));
  addEventListener('pageshow', ({ persisted }) => shown.push(persisted));
  globalThis.follow = (url, options) => {
    const connection = connect(url, { retry: { min: 10, max: 100 }, ...options });
    const log = { ids: [], states: [], error: undefined };
    connection.onStateChange(({ state, error }) => log.states.push(error ? state + ' ' + error.code : state));
    (async () => {
      for await (const { id } of connection) log.ids.push(Number(id));
    })().catch((error) => (log.error = error.code));
    globalThis.log = log;
  };
  globalThis.ready = true;
</script>`;

interface Log {
  readonly ids: number[];
  readonly states: string[];
  readonly error?: string;
}

let browser: Browser;

/** Serves a page with the client, and `/events`. */
function site(events: (req: IncomingMessage, res: ServerResponse) => void): RequestListener {
  return (req, res) => {
    const path = req.url!;
    if (path.startsWith('/events')) events(req, res);
    else if (path.startsWith('/dist/client/') || path === `/${parser}`) {
      res.setHeader('Content-Type', 'text/javascript');
      createReadStream(fileURLToPath(new URL(`.${path}`, root))).pipe(res);
    } else res.setHeader('Content-Type', 'text/html').end(path === '/' ? html : '<!doctype html><title>other</title>');
  };
}

/** A stream that counts on from where the client is, and what the server saw of its clients. */
function counter({ coding = 'plain' } = {}): {
  handle: (req: IncomingMessage, res: ServerResponse) => void;
  readonly methods: string[];
  readonly from: number[];
  readonly sent: number;
  readonly open: number;
  /** Breaks off what is open. */
  cut(): void;
} {
  const [methods, from]: [string[], number[]] = [[], []];
  const responses = new Set<ServerResponse>();
  let sent = 0;
  const events = sse(async (stream) => {
    from.push(Number(stream.lastEventId));
    for (let n = Number(stream.lastEventId) + 1; !stream.signal.aborted; n++) {
      await stream.send({ id: String(n), data: n });
      sent = n;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  const compression = compress();
  return {
    handle(req, res) {
      methods.push(req.method!);
      responses.add(res);
      res.on('close', () => responses.delete(res));
      if (coding === 'plain') events(req, res);
      else compression(req, res, () => events(req, res));
    },
    methods,
    from,
    get sent() {
      return sent;
    },
    get open() {
      return responses.size;
    },
    cut() {
      for (const response of responses) response.destroy();
    },
  };
}

type AnyPage = Pick<RawPage, 'evaluate'>;

const logOf = (page: AnyPage): Promise<Log> => page.evaluate<Log>('globalThis.log');

async function follow(page: AnyPage, options: object = {}): Promise<void> {
  await expect.poll(() => page.evaluate('globalThis.ready === true'), patient).toBe(true);
  await page.evaluate(`follow('/events', ${JSON.stringify(options)})`);
}

/** Waits for more events than there are, and looks whether each came once, in order. */
async function goesOn(page: AnyPage): Promise<Log> {
  const { length } = (await logOf(page)).ids;
  await expect.poll(async () => (await logOf(page)).ids.length, patient).toBeGreaterThan(length + 10);
  const log = await logOf(page);
  expect(log.ids).toEqual(log.ids.map((_, index) => index + 1));
  expect(log.error).toBeUndefined();
  return log;
}

/** Freezes a page for as long as the server needs for a hundred events more. */
async function freeze(page: RawPage, events: { readonly sent: number }): Promise<void> {
  await page.send('Page.setWebLifecycleState', { state: 'frozen' });
  const before = events.sent;
  await expect.poll(() => events.sent, patient).toBeGreaterThan(before + 100);
  await page.send('Page.setWebLifecycleState', { state: 'active' });
}

describe.skipIf(lacksBrowser('the client in Chromium'))('the client in Chromium', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    // Playwright turns off what keeps pages for the way back.
    browser = await launchBrowser(['--disable-back-forward-cache']);
  }, startTimeout);
  afterAll(() => browser?.close());

  it.each(['plain', 'gzip'])('reads, and survives a restart of the server: %s', async (coding) => {
    const port = await lastingPort();
    const { handle } = counter({ coding });
    const first = await listen(site(handle), port);
    const page = await openPage(browser, first.url);
    await follow(page);
    await goesOn(page);
    await first.close();
    await expect
      .poll(async () => (await logOf(page)).states, patient)
      .toContain('waiting ERR_SLUICE_CLIENT_UNREACHABLE');
    await listen(site(handle), port);
    await goesOn(page);
  });

  it('keeps up with a server that sends all it can', async () => {
    const total = 50_000;
    const { url } = await listen(
      site(
        sse(async (stream) => {
          for (let n = Number(stream.lastEventId) + 1; n <= total; n++)
            await stream.send({ id: String(n), data: { n } });
          await stream.stop();
        }),
      ),
    );
    const page = await openPage(browser, url);
    await follow(page);
    await expect.poll(async () => (await logOf(page)).states.at(-1), patient).toBe('closed');
    const { ids, states } = await logOf(page);
    expect(states).toEqual(['open', 'closed']);
    expect(ids.length).toBe(total);
    expect(ids.findIndex((id, index) => id !== index + 1)).toBe(-1);
  });

  it('notices a server that fell silent', async () => {
    let requests = 0;
    const { handle } = counter();
    const { url } = await listen(
      site((req, res) => {
        if (requests++ > 0) handle(req, res);
        else res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(':ok\n');
      }),
    );
    const page = await openPage(browser, url);
    await follow(page, { heartbeat: 200 });
    const { states } = await goesOn(page);
    expect(states.slice(0, 4)).toEqual(['open', 'waiting ERR_SLUICE_CLIENT_SILENT', 'connecting', 'open']);
  });

  it('loses and doubles nothing when its tab is frozen and resumed', async () => {
    const events = counter();
    const { url } = await listen(site(events.handle));
    const page = await openRawPage(browser, url);
    await follow(page, { heartbeat: 300 });
    await goesOn(page);
    for (let times = 1; times <= 2; times++) {
      await freeze(page, events);
      await goesOn(page);
      // It has been silent for longer than a heartbeat: it does not wait for the watchdog.
      expect(events.from).toHaveLength(times + 1);
    }
    expect(await page.evaluate('lifecycle')).toEqual(['freeze', 'resume', 'freeze', 'resume']);
  });

  it('does not send a POST again when its tab was frozen and hidden', async () => {
    const events = counter();
    const { url } = await listen(site(events.handle));
    const page = await openRawPage(browser, url);
    await follow(page, { method: 'POST', body: '{}', heartbeat: 300 });
    await goesOn(page);
    await freeze(page, events);
    await page.evaluate("dispatchEvent(new Event('online'))");
    const { length } = (await logOf(page)).ids;
    // It reads what came meanwhile, or tells the loop that the answer is lost.
    const settled = async (): Promise<boolean> => {
      const { ids, error } = await logOf(page);
      return ids.length > length || error === 'ERR_SLUICE_CLIENT_SILENT';
    };
    await expect.poll(settled, patient).toBe(true);
    expect(events.methods).toEqual(['POST']);
  });

  it('lets the browser keep its page, and goes on after the way back', async () => {
    const events = counter();
    const { url } = await listen(site(events.handle));
    const page = await openPage(browser, url);
    await follow(page);
    await goesOn(page);
    await page.goto(`${url}/other`);
    await expect.poll(() => events.open, patient).toBe(0);
    await page.goBack({ waitUntil: 'commit' });
    await goesOn(page);
    // The same page, not a new one.
    expect(await page.evaluate('globalThis.shown')).toEqual([false, true]);
    expect(events.from.length).toBe(2);
  });

  it('reconnects at once when the network is back', async () => {
    const events = counter();
    const { url } = await listen(site(events.handle));
    const page = await openPage(browser, url);
    // Without the event of the network the next try would be in minutes.
    await follow(page, { retry: { min: 600_000, max: 600_000 } });
    await goesOn(page);
    await page.context().setOffline(true);
    events.cut();
    await expect.poll(async () => (await logOf(page)).states.at(-1), patient).toMatch(/^waiting/);
    await page.context().setOffline(false);
    await goesOn(page);
  });
});
