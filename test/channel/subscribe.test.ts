import { AsyncLocalStorage } from 'node:async_hooks';
import { constants, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  type Backplane,
  compress,
  createChannel,
  createMemoryBackplane,
  heartbeat,
  InvalidEventError,
  InvalidOptionError,
  lifecycle,
} from '../../src/index.ts';
import { bare, type Middleware } from '../support/carriers.ts';
import { http1Client } from '../support/body-clients.ts';
import { parseEvents } from '../support/event-parser.ts';
import { serve } from '../support/serve.ts';
import { noise } from '../support/texts.ts';
import { parked, settles, turns, until } from '../support/until.ts';
import { channelOf, dataOf, eventSource, serveChannel, visitorOf } from './site.ts';

function raise(message: string): never {
  throw new Error(message);
}

/** The numbers that data begin with. */
function numbersIn(text: string): number[] {
  return [...text.matchAll(/^data: (\d+) /gm)].map(([, digits]) => Number(digits));
}

interface Row {
  readonly user: string;
  readonly n: number;
}

describe('filter and map', () => {
  it('decide for each client, in the async context of its request', async () => {
    const storage = new AsyncLocalStorage<string>();
    const channel = channelOf();
    const seen = new Set<string>();
    const site = await serveChannel(
      channel,
      {
        from: 'earliest',
        filter: (event: { data: Row }, req) => {
          seen.add(`${String(req.headers['x-user'])} ${String(storage.getStore())}`);
          return event.data.user === req.headers['x-user'];
        },
        map: (event: { data: Row }) => (event.data.n % 2 === 0 ? event : { event: 'odd', data: event.data.n }),
      },
      { before: [(req, _res, next) => void storage.run(String(req.headers['x-user']), next)] },
    );
    const publish = (user: string, n: number) => channel.publish({ event: 'row', data: { user, n } });
    await publish('ann', 0);
    await publish('ann', 1);
    const [ann, bob] = [await site.join({ 'x-user': 'ann' }), await site.join({ 'x-user': 'bob' })];
    await publish('bob', 2);
    const last = await publish('ann', 3);
    expect((await ann.count(3)).map(({ type, data }) => `${type} ${data}`)).toEqual([
      'row {"user":"ann","n":0}',
      'odd 1',
      'odd 3',
    ]);
    expect(ann.lastEventId).toBe(last);
    expect(dataOf(await bob.count(1))).toEqual(['{"user":"bob","n":2}']);
    expect([...seen].toSorted()).toEqual(['ann ann', 'bob bob']);
  });

  it.each([
    ['throws', () => raise('boom'), 'boom'],
    ['answers later', () => Promise.resolve(true) as never, 'answers at once'],
  ])('that %s closes its client alone', async (_name, answer: () => boolean, message) => {
    const channel = channelOf();
    const errors: unknown[] = [];
    const site = await serveChannel(channel, {
      filter: (_event, req) => (req.headers['x-bad'] === undefined ? true : answer()),
      onError: (error) => errors.push(error),
    });
    const [good, bad] = [await site.join(), await site.join({ 'x-bad': '1' })];
    await channel.publish('a');
    expect(await settles(bad.over)).toBe('aborted');
    await channel.publish('b');
    expect(dataOf(await good.count(2))).toEqual(['a', 'b']);
    expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining(message) as string })]);
    expect(bad.events).toEqual([]);
  });

  it('may give a copy of the event', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel, { map: (event) => ({ ...event, event: 'copy' }) });
    const client = await site.join();
    const ids = [await channel.publish({ event: 'bare' }), await channel.publish({ event: 'full', data: { n: 1 } })];
    await client.count(2);
    expect(client.events).toEqual([
      { type: 'copy', data: '', lastEventId: ids[0] },
      { type: 'copy', data: '{"n":1}', lastEventId: ids[1] },
    ]);
  });

  it('that fails in a replay, before anything is sent, is an error of the request', async () => {
    const channel = channelOf();
    await channel.publish('a');
    const site = await serveChannel(channel, { from: 1, map: () => ({ event: 'a\nb', data: 1 }) });
    const client = await site.join();
    expect(client.status).toBe(500);
    expect(site.running.errors).toHaveLength(1);
    expect(channel.subscribers()).toEqual([]);
  });
});

describe('authorize', () => {
  it('refuses by false, by a promise of it, and where the right has ended', async () => {
    const channel = channelOf();
    const answers = [false, Promise.resolve(false), { until: Date.now() }, { until: new Date(0) }];
    for (const answer of answers) {
      const site = await serveChannel(channel, { authorize: () => answer });
      expect((await site.join(eventSource)).status).toBe(403);
    }
    const failing = await serveChannel(channel, { authorize: () => Promise.reject(new Error('no session store')) });
    expect((await failing.join()).status).toBe(500);
    expect(failing.running.errors).toEqual([new Error('no session store')]);
    const wrong = await serveChannel(channel, { authorize: () => 'yes' as never });
    expect((await wrong.join()).status).toBe(500);
    expect(wrong.running.errors[0]).toBeInstanceOf(InvalidOptionError);
    expect(channel.subscribers()).toEqual([]);
  });

  it('lets a client stay until its right ends, and tells it to come back then', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel, {
      authorize: () => Promise.resolve({ until: new Date(Date.now() + 300), identity: 7 }),
    });
    const client = await site.join();
    await channel.publish('a');
    expect(await settles(client.over)).toBe('aborted');
    expect(dataOf(client.events)).toEqual(['a']);
    expect(client.text).toMatch(/\nretry: \d+\n$/);
    await until(() => channel.subscribers().length === 0);
  });
});

describe('slow clients', () => {
  it('are replayed at their pace, and hold up no other', async () => {
    const channel = channelOf({ history: { count: 10_000, bytes: '64mb' } });
    const text = noise(8000, 1);
    for (let n = 0; n < 1500; n++) await channel.publish(`${String(n)} ${text}`);
    const site = await serveChannel(channel, { from: 'earliest', maxBuffered: '64kb' }, { carrier: bare });
    const slow = await site.join();
    slow.pause();
    const fast = await serveChannel(channel).then((each) => each.join());
    await channel.publish('live');
    expect(dataOf(await fast.count(1))).toEqual(['live']);
    slow.resume();
    await until(() => slow.length > 1500 * 8000 && slow.text.endsWith('data: live\n\n'));
    expect(numbersIn(slow.text)).toEqual(Array.from({ length: 1500 }, (_each, n) => n));
  });

  it.each(['close', 'drop', 'latest'] as const)('with overflow %s are treated as by a stream', async (overflow) => {
    const channel = channelOf({ overflow, history: { count: 0 } });
    const site = await serveChannel(channel, { maxBuffered: '256kb' }, { carrier: bare });
    const reasons: string[] = [];
    channel.on('leave', ({ reason }) => reasons.push(reason));
    const client = await site.join();
    await until(() => channel.subscribers().length === 1);
    client.pause();
    const text = noise(4000, 2);
    let published = 0;
    // The kernel takes some megabytes first.
    while (reasons.length === 0 && published < 4000) {
      for (let n = 0; n < 20; n++) await channel.publish(`${String(published++)} ${text}`, { key: String(n) });
      await turns(1);
    }
    if (overflow === 'close') {
      expect(reasons).toEqual(['slow-consumer']);
      return;
    }
    expect(reasons).toEqual([]);
    const slow = published;
    client.resume();
    // One that comes while the client still lags may be dropped, too.
    let isThere = false;
    while (!isThere) {
      await parked(() => client.length);
      const id = await channel.publish(`${String(published++)} later`, { key: 'later' });
      await parked(() => client.length);
      isThere = client.text.includes(`id: ${id}\n`);
    }
    const numbers = numbersIn(client.text);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(numbers.length).toBeLessThan(published);
    if (overflow === 'drop') {
      const gaps = [...client.text.matchAll(/^event: sluice\.gap\ndata: \{"dropped":(\d+)\}$/gm)];
      const missing = gaps.reduce((sum, [, dropped]) => sum + Number(dropped), 0);
      expect(numbers.length + missing).toBe(published);
    } else
      expect(numbers.filter((n) => n < slow).slice(-20)).toEqual(
        Array.from({ length: 20 }, (_each, n) => slow - 20 + n),
      );
  });
});

describe('a channel', () => {
  it('goes through compress and heartbeat, and leaves in a drain', async () => {
    const channel = channelOf();
    const life = lifecycle({ signals: false, preDrain: 0, spread: 0 });
    const running = await serve(bare, life, heartbeat(), compress(), channel.subscribe() as Middleware);
    life.attach(running.server as never);
    const client = http1Client(running);
    const [zipped, plain] = [await client.get('/', 'gzip'), visitorOf(await running.visit())];
    await until(() => channel.subscribers().length === 2);
    for (let n = 0; n < 50; n++) {
      void channel.publish(`${String(n)} ä€ 😀`);
      if (n % 7 === 0) await turns(1);
    }
    await plain.count(50);
    const report = life.drain();
    await settles(Promise.all([zipped.over, plain.over]));
    expect((await report).told.streams).toBe(2);
    expect(zipped.coding).toBe('gzip');
    const text = gunzipSync(zipped.bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
    expect(dataOf(parseEvents(text))).toEqual(dataOf(plain.events));
    expect(plain.events).toHaveLength(50);
  });

  it('is one for all channels of its name on one backplane', async () => {
    const backplane = createMemoryBackplane();
    const [one, two] = [channelOf({ backplane }), channelOf({ backplane })];
    const other = channelOf({ backplane, name: 'other' });
    const [left, right] = [await serveChannel(one), await serveChannel(two)];
    const [first, second] = [await left.join(), await right.join()];
    await one.publish('a');
    await two.publish('b');
    await other.publish('c');
    one.close();
    const id = await two.publish('d');
    expect(dataOf(await first.count(2))).toEqual(['a', 'b']);
    expect(dataOf(await second.count(3))).toEqual(['a', 'b', 'd']);
    expect(id).toMatch(/-3$/);
    await expect(one.publish('e')).rejects.toMatchObject({ code: 'ERR_SLUICE_CHANNEL_CLOSED' });
    expect((await left.join()).status).toBe(503);
    const refused = await left.join(eventSource);
    expect(await settles(refused.over)).toBe('aborted');
    expect(refused.text).toMatch(/^:ok\nretry: \d+\n$/);
  });

  it('joins the events of `batch`, and merges those of `coalesce`', async () => {
    const channel = channelOf({
      batch: 50,
      coalesce: {
        ms: 10_000,
        key: ({ event }: { event?: string }) => (event === 'delta' ? event : undefined),
        merge: (a: { data: string }, b: { data: string }) => ({ event: 'delta', data: a.data + b.data }),
      },
    });
    const site = await serveChannel(channel, {}, { carrier: bare });
    const client = await site.join();
    await until(() => channel.subscribers().length === 1);
    const delta = (data: string) => channel.publish({ event: 'delta', data });
    const ids = [delta('a'), delta('b'), channel.publish('other'), delta('c')];
    await channel.end('bye');
    expect(await settles(client.over)).toBe('end');
    expect(client.events.map(({ type, data }) => `${type} ${data}`)).toEqual([
      'delta ab',
      'message other',
      'delta c',
      'message bye',
    ]);
    const [a, b, other, c] = await Promise.all(ids);
    expect([a, other, c]).toEqual([b, ...client.events.slice(1, 3).map(({ lastEventId }) => lastEventId)]);
  });

  it('publishes what an event was, also if its object is changed while it waits for others', async () => {
    const coalesce = {
      ms: 10_000,
      key: () => 'all',
      merge: (a: { data: { text: string } }, b: typeof a) => ({ data: { text: a.data.text + b.data.text } }),
    };
    const channel = channelOf({ coalesce });
    const client = await (await serveChannel(channel)).join();
    const event: { data: { text?: string; self?: unknown } } = { data: {} };
    for (const text of ['a', 'b', 'c']) {
      event.data.text = text;
      void channel.publish(event);
    }
    event.data.self = event;
    await channel.end();
    expect(await settles(client.over)).toBe('end');
    expect(dataOf(client.events)).toEqual(['{"text":"abc"}']);
  });

  it('rejects for an event that `merge` makes and that cannot be sent', async () => {
    const self: { self?: unknown } = {};
    self.self = self;
    const channel = channelOf({ coalesce: { ms: 5, key: () => 'all', merge: () => ({ data: self }) } });
    const first = channel.publish('a');
    await expect(channel.publish('b')).rejects.toThrow(InvalidEventError);
    expect(await first).toMatch(/-1$/);
  });

  it('loses no event if `merge` publishes', async () => {
    const channel = channelOf({
      coalesce: {
        ms: 10_000,
        key: ({ event }: { event?: string }) => event,
        merge: (_, later) => {
          void channel.publish('between');
          return later;
        },
      },
    });
    const client = await (await serveChannel(channel)).join();
    for (const data of ['a', 'b']) void channel.publish({ event: 'delta', data });
    await channel.end('end');
    expect(await settles(client.over)).toBe('end');
    expect(dataOf(client.events)).toEqual(['a', 'between', 'b', 'end']);
  });

  it('keeps the key of an event when another without one is merged into it', async () => {
    const channel = channelOf({ coalesce: { ms: 10_000, key: () => 'all', merge: (_, later) => later } });
    const client = await (await serveChannel(channel, { map: ({ key }) => ({ data: key }) })).join();
    void channel.publish('a', { key: 'of a' });
    void channel.publish('b');
    await channel.end();
    expect(await settles(client.over)).toBe('end');
    expect(dataOf(client.events)).toEqual(['of a']);
  });

  it('does not listen to its log once a listener of `join` has closed it', async () => {
    const memory = createMemoryBackplane();
    const calls: string[] = [];
    const backplane: Backplane = {
      ...memory,
      open(name, limits, receiver) {
        const log = memory.open(name, limits, receiver);
        return {
          ...log,
          listen: () => (calls.push('listen'), log.listen()),
          close: () => (calls.push('close'), log.close()),
        };
      },
    };
    const channel = channelOf({ backplane });
    channel.on('join', () => channel.close());
    const client = await (await serveChannel(channel)).join();
    expect(await settles(client.over)).toBe('aborted');
    expect(calls).toEqual(['close']);
  });

  it('gives its events to more clients than a slice has', async () => {
    const channel = createChannel({ name: 'crowd' });
    const site = await serveChannel(channel, {}, { carrier: bare });
    const clients = await Promise.all(Array.from({ length: 300 }, () => site.join()));
    await until(() => channel.subscribers().length === 300);
    for (let n = 0; n < 5; n++) {
      void channel.publish(String(n));
      await turns(1);
    }
    for (const client of clients) expect(dataOf(await client.count(5))).toEqual(['0', '1', '2', '3', '4']);
    channel.close();
    expect(await settles(Promise.all(clients.map(({ over }) => over)))).toHaveLength(300);
  });
});
