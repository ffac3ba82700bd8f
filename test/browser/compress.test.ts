import type { RequestListener, ServerResponse } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Codec,
  brotli,
  compress,
  type Compression,
  type CompressOptions,
  deflate,
  gzip,
  zstd,
} from '../../src/compress/index.ts';
import { type EventStream, sse } from '../../src/index.ts';
import { codings, hasZstd } from '../support/decoders.ts';
import { deferred } from '../support/deferred.ts';
import { useRandom } from '../support/random.ts';
import { noise, prose } from '../support/texts.ts';
import { lacksBrowser, launchBrowser, listen, openPage, patient, startTimeout } from './support.ts';

let browser: Browser;

const codecs: Record<string, () => Codec> = { gzip, deflate, br: brotli, zstd };

/** One that offers a single coding; a browser cannot ask for one. */
const only = (coding: string, options?: CompressOptions): Compression =>
  compress({ codecs: [codecs[coding]!()], idleFlush: 5, ...options });

/** Opens a page whose origin answers by path. */
async function visit(answers: Record<string, RequestListener>): Promise<Page> {
  const { url } = await listen((req, res) => {
    const answer = answers[req.url!];
    if (answer) answer(req, res);
    else res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>codings</title>');
  });
  return openPage(browser, url);
}

const behind =
  (compression: Compression, answer: RequestListener): RequestListener =>
  (req, res) =>
    compression(req, res, () => answer(req, res));

interface Fetched {
  readonly coding: string | null;
  readonly text?: string;
  readonly error?: string;
}

function fetchAt(page: Page, path: string): Promise<Fetched> {
  return page.evaluate<Fetched>(`
    (async () => {
      let coding = null;
      try {
        const response = await fetch('${path}');
        coding = response.headers.get('content-encoding');
        return { coding, text: await response.text() };
      } catch (error) {
        return { coding, error: error.name };
      }
    })()
  `);
}

const text = { 'Content-Type': 'text/plain; charset=utf-8' };

function complete(res: ServerResponse, body: string): void {
  res.setHeader('Content-Type', text['Content-Type']).end(body);
}

interface Body {
  readonly text: string;
  readonly answer: (res: ServerResponse) => void;
}

const bodies: Record<string, Body> = {
  complete: { text: prose(4000), answer: (res) => complete(res, prose(4000)) },
  // For the thread pool.
  large: { text: prose(300_000), answer: (res) => complete(res, prose(300_000)) },
  long: {
    text: prose(50_000) + noise(50_000),
    answer: (res) => {
      res.writeHead(200, text);
      for (let at = 0; at < 50_000; at += 5000) res.write(prose(50_000).slice(at, at + 5000));
      setTimeout(() => res.end(noise(50_000)), 5);
    },
  },
};

const untilClosed = (stream: EventStream): Promise<unknown> => new Promise((resolve) => stream.onClose(resolve));

describe.skipIf(lacksBrowser('codings in Chromium'))('Chromium', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  it('offers all codings to localhost, and gets the best for each kind of body', async () => {
    const accepted = new Set<unknown>();
    const compression = compress();
    const note = (answer: RequestListener): RequestListener =>
      behind(compression, (req, res) => {
        accepted.add(req.headers['accept-encoding']);
        answer(req, res);
      });
    const page = await visit({
      '/complete': note((_req, res) => bodies['complete']!.answer(res)),
      '/long': note((_req, res) => bodies['long']!.answer(res)),
      '/events': note(sse(async (stream) => stream.send('event'))),
    });
    const seen = [];
    for (const path of ['/complete', '/long', '/events']) seen.push((await fetchAt(page, path)).coding);
    expect([...accepted]).toEqual(['gzip, deflate, br, zstd']);
    expect(seen).toEqual([hasZstd ? 'zstd' : 'gzip', 'br', 'gzip']);
  });

  it('decodes all kinds of bodies in all codings, padded and not', async () => {
    useRandom(() => 0.99);
    const cases = codings.flatMap((coding) =>
      Object.entries(bodies).flatMap(([name, body]) =>
        [false, { max: 300 }].map((randomPadding) => ({
          path: `/${coding}/${name}/${randomPadding ? 'padded' : 'plain'}`,
          // Brotli pads complete bodies only, and is not used for others then.
          coding: coding === 'br' && name === 'long' && randomPadding ? null : coding,
          body,
          compression: only(coding, { randomPadding }),
        })),
      ),
    );
    const page = await visit(
      Object.fromEntries(
        cases.map(({ path, compression, body }) => [path, behind(compression, (_req, res) => body.answer(res))]),
      ),
    );
    for (const { path, coding, body } of cases) {
      const fetched = await fetchAt(page, path);
      expect([path, fetched.error, fetched.coding, fetched.text === body.text]).toEqual([
        path,
        undefined,
        coding,
        true,
      ]);
    }
  });

  it.each(codings)('reads a long body in %s piece by piece', async (coding) => {
    const gates = [deferred(), deferred()] as const;
    const page = await visit({
      '/it': behind(only(coding), (_req, res) => {
        void (async () => {
          res.writeHead(200, text);
          for (const [index, gate] of gates.entries()) {
            res.write(`piece ${index}, `);
            await gate.promise;
          }
          res.end('end');
        })();
      }),
    });
    await page.evaluate(`
      globalThis.seen = '';
      fetch('/it').then(async ({ body }) => {
        for await (const text of body.pipeThrough(new TextDecoderStream())) globalThis.seen += text;
      });
      undefined
    `);
    const seen = (): Promise<string> => page.evaluate<string>('globalThis.seen');
    await expect.poll(seen, patient).toBe('piece 0, ');
    gates[0].resolve();
    await expect.poll(seen, patient).toBe('piece 0, piece 1, ');
    gates[1].resolve();
    await expect.poll(seen, patient).toBe('piece 0, piece 1, end');
  });

  it('takes a body that fails for a failure in all codings', async () => {
    const page = await visit(
      Object.fromEntries(
        codings.map((coding) => [
          `/${coding}`,
          behind(only(coding), (_req, res) => {
            res.writeHead(200, text);
            res.write(prose(5000));
            (res as ServerResponse & { flush(callback: () => void): void }).flush(() =>
              setTimeout(() => res.destroy(), 50),
            );
          }),
        ]),
      ),
    );
    for (const coding of codings)
      expect([coding, (await fetchAt(page, `/${coding}`)).error]).toEqual([coding, 'TypeError']);
  });

  it.each(codings)('hands each event of a stream in %s to its EventSource before the next is made', async (coding) => {
    const arrived = [deferred(), deferred(), deferred()] as const;
    let made = 0;
    const page = await visit({
      '/it': behind(
        only(coding),
        sse(async function* (stream) {
          for (const [index, gate] of arrived.entries()) {
            made++;
            yield { id: String(index), data: index === 2 ? noise(70_000) : `event ${index}, grüße 🌊` };
            await gate.promise;
          }
          await untilClosed(stream);
        }),
      ),
    });
    await page.evaluate(`
      const seen = (globalThis.seen = []);
      const source = new EventSource('/it');
      source.addEventListener('message', ({ data, lastEventId }) => seen.push([lastEventId, data.length, data.slice(0, 20)]));
      undefined
    `);
    const seen = (): Promise<unknown[]> => page.evaluate<unknown[]>('globalThis.seen');
    const expected = [
      ['0', 17, 'event 0, grüße 🌊'],
      ['1', 17, 'event 1, grüße 🌊'],
      ['2', 70_000, noise(20)],
    ];
    for (const [index, gate] of arrived.entries()) {
      await expect.poll(seen, patient).toEqual(expected.slice(0, index + 1));
      expect(made).toBe(index + 1);
      gate.resolve();
    }
  });

  it('keeps a stream open while it is switched off and on again, in one coding', async () => {
    const compression = compress({ live: true, idleFlush: 5 });
    const steps = [deferred(), deferred(), deferred()] as const;
    const page = await visit({
      '/it': behind(
        compression,
        sse(async function* (stream) {
          for (const [index, gate] of steps.entries()) {
            yield `event ${index}, ${prose(400)}`;
            await gate.promise;
          }
          await untilClosed(stream);
        }),
      ),
    });
    await page.evaluate(`
      const seen = (globalThis.seen = []);
      const source = new EventSource('/it');
      for (const type of ['open', 'message', 'error']) source.addEventListener(type, ({ data }) => seen.push(data === undefined ? type : data.slice(0, 7)));
      undefined
    `);
    const seen = (): Promise<string[]> => page.evaluate<string[]>('globalThis.seen');
    await expect.poll(seen, patient).toEqual(['open', 'event 0']);
    compression.switch.disable();
    steps[0].resolve();
    await expect.poll(seen, patient).toEqual(['open', 'event 0', 'event 1']);
    compression.switch.enable();
    steps[1].resolve();
    await expect.poll(seen, patient).toEqual(['open', 'event 0', 'event 1', 'event 2']);
    expect(compression.activeEncoders).toBe(1);
  });
});
