import type { RequestListener } from 'node:http';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EventInput, sse, type SseHandler, type SseOptions } from '../../src/index.ts';
import { deferred } from '../support/deferred.ts';
import { lacksBrowser, launchBrowser, listen, openPage, patient, startTimeout } from './support.ts';

/** What a listener in the page was called with. */
interface Seen {
  readonly type: string;
  readonly data?: string;
  readonly lastEventId?: string;
  readonly readyState: number;
}

/** A page with an EventSource, and what the server saw of it. */
interface Visit {
  seen(): Promise<Seen[]>;
  data(): Promise<(string | undefined)[]>;
  readonly statuses: number[];
}

const closed = 2;
let browser: Browser;

/** Opens a page whose EventSource listens to the handler. */
async function visit(handler: SseHandler, options: SseOptions = { retry: 20 }): Promise<Visit> {
  const statuses: number[] = [];
  const events = sse(handler, options);
  const listener: RequestListener = (req, res) => {
    if (req.url === '/events') {
      res.on('close', () => statuses.push(res.statusCode));
      events(req, res);
    } else {
      res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>events</title>');
    }
  };
  const { url } = await listen(listener);
  const page = await openPage(browser, url);
  await page.evaluate(`
    const seen = (globalThis.seen = []);
    const source = new EventSource('/events');
    for (const type of ['open', 'error', 'message', 'named']) {
      source.addEventListener(type, ({ data, lastEventId }) => seen.push({ type, data, lastEventId, readyState: source.readyState }));
    }
  `);
  const seen = seenBy(page);
  return {
    seen,
    data: async () => (await seen()).filter(({ data }) => data !== undefined).map(({ data }) => data),
    statuses,
  };
}

function seenBy(page: Page): () => Promise<Seen[]> {
  return () => page.evaluate<Seen[]>('globalThis.seen');
}

describe.skipIf(lacksBrowser('an EventSource of Chromium'))('an EventSource of Chromium', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    browser = await launchBrowser();
  }, startTimeout);
  afterAll(() => browser?.close());

  it('opens before there is an event', async () => {
    const { seen } = await visit(async (stream) => {
      await new Promise((resolve) => stream.onClose(resolve));
    });

    await expect.poll(seen, patient).toEqual([{ type: 'open', readyState: 1 }]);
  });

  it('gets an event before the next one is produced', async () => {
    const arrived = deferred();
    let produced = 0;
    const { data } = await visit(async function* (stream) {
      produced += 1;
      yield 'first';
      await arrived.promise;
      produced += 1;
      yield 'second';
      await new Promise((resolve) => stream.onClose(resolve));
    });

    await expect.poll(data, patient).toEqual(['first']);
    expect(produced).toBe(1);
    arrived.resolve();
    await expect.poll(data, patient).toEqual(['first', 'second']);
  });

  it('resumes with the last id after reconnect()', async () => {
    const lastEventIds: string[] = [];
    const { data, seen } = await visit(async (stream) => {
      lastEventIds.push(stream.lastEventId);
      const next = Number(stream.lastEventId) + 1;
      await stream.send({ id: String(next), data: `event ${next}` });
      await stream.send({ id: String(next + 1), data: `event ${next + 1}` });
      if (lastEventIds.length < 3) await stream.reconnect({ retry: 10 });
      else await new Promise((resolve) => stream.onClose(resolve));
    });

    // What Chromium has not read when it learns of the close it drops: that comes again.
    const last = (): string => `event ${Number(lastEventIds[2]) + 2}`;
    await expect
      .poll(async () => (await data()).at(-1), patient)
      .toSatisfy((event) => lastEventIds.length === 3 && event === last());
    const events = await data();
    expect(events).toEqual(events.map((_, index) => `event ${index + 1}`));
    expect((await seen()).filter(({ type }) => type === 'open')).toHaveLength(3);
  });

  it('stays away after stop()', async () => {
    let handled = 0;
    const { data, seen, statuses } = await visit(async (stream) => {
      handled += 1;
      await stream.send('all there is');
      await stream.stop();
    });

    await expect.poll(async () => (await seen()).at(-1)?.readyState, patient).toBe(closed);
    await expect.poll(() => statuses, patient).toEqual([200, 204]);
    expect(handled).toBe(1);
    expect(await data()).toEqual(['all there is']);
  });

  it('comes back after a mere end()', async () => {
    let handled = 0;
    const { data } = await visit(async function* (stream) {
      handled += 1;
      yield `visit ${handled}`;
      if (handled > 1) await new Promise((resolve) => stream.onClose(resolve));
    });

    await expect.poll(data, patient).toEqual(['visit 1', 'visit 2']);
  });

  it('gets data and ids as they were sent', async () => {
    const sent: (EventInput & { data: string })[] = [
      { data: 'one\ntwo\r\nthree\rfour' },
      { data: '\n\nblank lines around\n\n' },
      { data: '  spaces  ' },
      { data: ': no comment' },
      { data: 'data: no field' },
      { data: '' },
      { id: 'ключ-✓-🌊', data: 'Grüße, 水, 👩‍👩‍👧, ‮right to left, \u2028 and \u0000' },
      { id: ' padded ', data: '\ufeffmark' },
      { event: 'named', id: 'last', data: JSON.stringify({ nested: ['"', '\\', '\n'] }) },
    ];
    const { seen } = await visit(async function* (stream) {
      yield* sent;
      await new Promise((resolve) => stream.onClose(resolve));
    });

    let lastEventId = '';
    const expected = sent.map(({ event = 'message', id, data }) => {
      lastEventId = id ?? lastEventId;
      return { type: event, data: data.replaceAll(/\r\n|\r/g, '\n'), lastEventId, readyState: 1 };
    });
    await expect.poll(async () => (await seen()).filter(({ data }) => data !== undefined), patient).toEqual(expected);
  });

  it('sends an id that is not ASCII back as it was', async () => {
    const lastEventIds: string[] = [];
    // What Chromium has not read when it learns of the close it drops.
    const arrived = deferred();
    const { data } = await visit(async (stream) => {
      lastEventIds.push(stream.lastEventId);
      await stream.send({ id: 'ключ-✓-🌊', data: String(lastEventIds.length) });
      await arrived.promise;
      if (lastEventIds.length === 1) await stream.reconnect({ retry: 10 });
      else await new Promise((resolve) => stream.onClose(resolve));
    });

    await expect.poll(data, patient).toEqual(['1']);
    arrived.resolve();
    await expect.poll(data, patient).toEqual(['1', '2']);
    expect(lastEventIds).toEqual(['', 'ключ-✓-🌊']);
  });

  it('reconnects after an error of the handler, with the id of the last event', async () => {
    const failure = new Error('the source broke');
    const errors: unknown[] = [];
    const lastEventIds: string[] = [];
    // What Chromium has not read when it learns of the close it drops.
    const arrived = deferred();
    const { data, seen } = await visit(
      async function* (stream) {
        lastEventIds.push(stream.lastEventId);
        if (stream.lastEventId === '') {
          yield { id: '1', data: 'before' };
          await arrived.promise;
          throw failure;
        }
        yield { id: '2', data: 'after' };
        await new Promise((resolve) => stream.onClose(resolve));
      },
      { retry: 20, onError: (error) => errors.push(error) },
    );

    await expect.poll(data, patient).toEqual(['before']);
    arrived.resolve();
    await expect.poll(data, patient).toEqual(['before', 'after']);
    expect((await seen()).map(({ type }) => type)).toEqual(['open', 'message', 'error', 'open', 'message']);
    expect(lastEventIds).toEqual(['', '1']);
    expect(errors).toEqual([failure]);
  });
});
