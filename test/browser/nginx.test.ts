import express, { type RequestHandler } from 'express';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { compress, heartbeat, sse } from '../../src/index.ts';
import { proxy } from '../../src/proxy/index.ts';
import { lacksNginx, startNginx } from '../support/nginx.ts';
import { until } from '../support/until.ts';
import { lacksBrowser, launchBrowser, listen, openPage, patient, startTimeout } from './support.ts';

/** What docs/deploying.md says of two nginx in a row. */
const configurations: [name: string, front: string, behind: string][] = [
  ['proxy_buffering off in front', 'proxy_buffering off;', ''],
  ['X-Accel-Buffering passed on behind', '', 'proxy_pass_header X-Accel-Buffering;'],
];

/** An application whose events the test sends one by one. */
function service() {
  const streams: { send(data: string, id: number): void; cut(): void }[] = [];
  const resumedFrom: string[] = [];
  const app = express();
  app.get('/', (_req, res) => void res.send('<!doctype html><title>events</title>'));
  app.get(
    '/events',
    sse(
      async (stream, req) => {
        resumedFrom.push(stream.lastEventId);
        streams.push({
          send: (data, id) => void stream.send({ data, id: String(id) }),
          cut: () => req.socket.destroy(),
        });
        await new Promise((resolve) => stream.onClose(resolve));
      },
      { retry: 20 },
    ),
  );
  return { app, streams, resumedFrom };
}

describe.skipIf(lacksBrowser('Chromium through nginx') || lacksNginx('Chromium through nginx'))(
  'an EventSource of Chromium, behind nginx, the proxy and nginx',
  { timeout: 120_000 },
  () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await launchBrowser();
    }, startTimeout);
    afterAll(() => browser?.close());

    it.each(configurations)('gets each event at once, and resumes: %s', async (_name, front, behind) => {
      const { app, streams, resumedFrom } = service();
      const origin = await startNginx((await listen(app)).url.replace('localhost', '127.0.0.1'), behind);
      // The stream of `sse` forbids those on its way to change it; this proxy is allowed to compress it.
      const passing = proxy({ target: origin, responseHeaders: { 'Cache-Control': 'no-store' } });
      onTestFinished(() => passing.close());
      const beat = heartbeat({ every: 50 });
      const gateway = express();
      gateway.use(beat as unknown as RequestHandler, compress() as unknown as RequestHandler);
      gateway.use(passing as unknown as RequestHandler);
      const site = await startNginx((await listen(gateway)).url.replace('localhost', '127.0.0.1'), front);
      const page = await openPage(browser, site);
      const codings: unknown[] = [];
      page.on('response', (response) => codings.push(response.headers()['content-encoding']));
      await page.evaluate(`
        const seen = (globalThis.seen = []);
        new EventSource('/events').onmessage = ({ data, lastEventId }) => seen.push(lastEventId + ' ' + data);
      `);
      const expected: string[] = [];
      const sendOne = async (): Promise<void> => {
        const id = expected.push(`${expected.length + 1} event`);
        streams.at(-1)!.send('event', id);
        // The next one is sent only when this one is there: nothing on the way may wait for more.
        await expect.poll(() => page.evaluate('globalThis.seen'), { ...patient, interval: 20 }).toEqual(expected);
      };
      for (const connection of [1, 2, 3]) {
        await until(() => streams.length === connection);
        for (let event = 0; event < 5; event += 1) await sendOne();
        const { heartbeats } = beat.registry.stats();
        await until(() => beat.registry.stats().heartbeats >= heartbeats + 2);
        await sendOne();
        streams.at(-1)!.cut();
      }
      await until(() => streams.length === 4);
      expect(resumedFrom).toEqual(['', '6', '12', '18']);
      await page.close();
      await until(() => passing.upstreams().every(({ active }) => active === 0));
      // The page may be closed before it is told of the last one.
      expect(codings.slice(0, 3)).toEqual(['gzip', 'gzip', 'gzip']);
    });
  },
);
