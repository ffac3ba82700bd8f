import type { ServerResponse } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { between, createRandom, pick } from '../../bench/support/random.js';
import { createChannel } from '../../src/channel/index.ts';
import { brotli, type Codec, compress, createSwitch, deflate, gzip, zstd } from '../../src/compress/index.ts';
import { heartbeat } from '../../src/heartbeat/index.ts';
import { Registry } from '../../src/internal/health/registry.ts';
import { codings } from '../support/decoders.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { noise } from '../support/texts.ts';
import { turns, until } from '../support/until.ts';
import { lacksBrowser, launchBrowser, listen, openPage, startTimeout } from './support.ts';

const codecs: Record<string, () => Codec> = { gzip, deflate, br: brotli, zstd };
const every = 1000;
// A browser opens six connections to a host: these, and one for the page.
const joinsAt = [0, 9, 20, 33, 50];
const ticks = 80;

let browser: Browser;

interface Client {
  readonly path: string;
  /** How many events there were when it came. */
  readonly from: number;
}

/** A page that reads streams as they come, and what the server has for it. */
async function serveTicks(coding: string) {
  const channel = createChannel({ name: 'ticks' });
  onTestFinished(() => channel.close());
  const toggle = createSwitch({ codecs: [codecs[coding]!()] });
  const compression = compress({ switch: toggle, live: true, threshold: 0 });
  const clock = new FakeClock(1);
  const registry = new Registry({}, clock);
  const quiet = { jitter: 0, readDeadline: Infinity, writeDeadline: Infinity, ackProbe: false } as const;
  const beats = heartbeat({ every, registry, ...quiet });
  const subscribe = {
    '/all': channel.subscribe(),
    '/some': channel.subscribe({ filter: ({ event }) => event !== 'b' }),
  };
  const responses: ServerResponse[] = [];
  const { url } = await listen((req, res) => {
    const path = new URL(req.url ?? '', 'http://a').pathname;
    const handler = subscribe[path as keyof typeof subscribe] as (typeof subscribe)['/all'] | undefined;
    if (!handler) {
      res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>ticks</title>');
      return;
    }
    responses.push(res);
    compression(req, res, () => beats(req, res, () => handler(req, res)));
  });
  const page = await openPage(browser, url);
  await page.evaluate(`
    globalThis.readings = [];
    globalThis.read = async (path) => {
      const reading = { text: '', coding: '', end: '' };
      readings.push(reading);
      try {
        const response = await fetch(path);
        reading.coding = response.headers.get('content-encoding');
        const decoder = new TextDecoder();
        for (const reader = response.body.getReader(); ;) {
          const { done, value } = await reader.read();
          if (done) break;
          reading.text += decoder.decode(value, { stream: true });
        }
        reading.end = 'end';
      } catch (error) {
        reading.end = String(error);
      }
    };
  `);
  return { channel, toggle, clock, responses, page };
}

interface Reading {
  readonly text: string;
  readonly coding: string;
  readonly end: string;
}

function readingsOf(page: Page): Promise<Reading[]> {
  return page.evaluate<Reading[]>('readings');
}

describe.skipIf(lacksBrowser('a channel in Chromium'))('a channel in Chromium', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  // Chromium does not look at the checksum: a wrong history would show in the text alone.
  it.each(codings)('clients that join on the way in %s get exactly its text', async (coding) => {
    const random = createRandom(codings.indexOf(coding) + 1);
    const { channel, toggle, clock, responses, page } = await serveTicks(coding);
    // Each comes again, in no order: what a block refers to may be anywhere in the text before it.
    const sentences = Array.from({ length: 12 }, (_, seed) => noise(between(random, 30, 80), seed));
    const published: { readonly event: string; readonly text: string }[] = [];
    const clients: Client[] = [];
    for (let tick = 0; tick < ticks; tick++) {
      if (joinsAt.includes(tick)) {
        const path = clients.length % 3 === 2 ? '/some' : '/all';
        clients.push({ path, from: published.length });
        // Decided when the headers are sent.
        toggle.enable();
        await page.evaluate(`void read('${path}?${tick}')`);
        await until(() => channel.subscribers().length === clients.length && responses.at(-1)?.headersSent === true);
      }
      const kind = random();
      if (tick % 10 === 4) pick(random, responses).write(`:note ${'abc '.repeat(between(random, 1, 90))}\n`);
      else if (tick % 10 === 8) clock.advance(every + 20);
      else if (kind < 0.08) toggle.disable();
      else if (kind < 0.2) toggle.enable();
      else {
        for (let more = between(random, 1, 3); more > 0; more--) {
          const event = pick(random, ['a', 'b', 'c']);
          const data = `${published.length} ${pick(random, sentences)}`;
          const id = await channel.publish({ event, data });
          published.push({ event, text: `id: ${id}\nevent: ${event}\ndata: ${data}\n\n` });
        }
      }
      await turns();
    }
    await channel.end();
    await expect
      .poll(async () => (await readingsOf(page)).every(({ end }) => end !== ''), { timeout: 60_000 })
      .toBe(true);
    const readings = await readingsOf(page);
    expect(readings.map(({ coding: each, end }) => [each, end])).toEqual(joinsAt.map(() => [coding, 'end']));
    for (const [index, { path, from }] of clients.entries()) {
      const expected = published.slice(from).filter(({ event }) => path === '/all' || event !== 'b');
      const text = readings[index]!.text.replaceAll(/^:.*\n/gm, '').replace(/^id: sluice\.stop\n\n?$/m, '');
      expect(text).toBe(expected.map((each) => each.text).join(''));
      expect(readings[index]!.text).toMatch(/^:ok\n/);
    }
    expect(readings.some(({ text }) => text.includes('\n:note abc'))).toBe(true);
    expect(readings.some(({ text }) => text.includes('\n:\n'))).toBe(true);
  });
});
