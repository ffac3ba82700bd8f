import { describe, expect, it, onTestFinished } from 'vitest';
import {
  ChannelEndedError,
  createChannel,
  createChannels,
  InvalidEventError,
  type Subscriber,
} from '../../src/index.ts';
import { bare, carriers, express5, type Middleware } from '../support/carriers.ts';
import { parseNdjson } from '../support/record-parser.ts';
import { serve } from '../support/serve.ts';
import { settles, turns, until } from '../support/until.ts';
import { channelOf, dataOf, eventSource, serveChannel, visitorOf } from './site.ts';

const resetOf = (reason: string) => JSON.stringify({ reason });

describe.each(carriers)('a channel over $name', (carrier) => {
  it('gives every client what is published, in order, with ids that resume', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel, {}, { carrier });
    const [one, two] = [await site.join(), await site.join()];
    const ids = [
      await channel.publish({ event: 'tick', data: { n: 1 } }),
      await channel.publish('two\nlines'),
      await channel.publish({ event: 'bare' }),
    ];
    for (const each of [one, two]) {
      expect(await each.count(3 - 1)).toEqual([
        { type: 'tick', data: '{"n":1}', lastEventId: ids[0] },
        { type: 'message', data: 'two\nlines', lastEventId: ids[1] },
        ...((await each.count(3)).slice(2) as []),
      ]);
      expect(each.events[2]).toEqual({ type: 'bare', data: '', lastEventId: ids[2] });
    }
    one.destroy();
    await until(() => channel.subscribers().length === 1);
    await channel.publish('missed');
    const again = await site.join({ 'last-event-id': one.lastEventId });
    expect(dataOf(await again.count(1))).toEqual(['missed']);
    await channel.publish('live');
    expect(dataOf(await again.count(2))).toEqual(['missed', 'live']);
    expect(dataOf(await two.count(5)).slice(3)).toEqual(['missed', 'live']);
  });
});

describe('publish', () => {
  it('refuses what cannot be framed, and what the channel makes itself', async () => {
    const channel = channelOf();
    for (const event of [
      { event: 'a\nb', data: 1 },
      { data: undefined },
      { data: 1n },
      {},
      null,
      7,
      { id: '1', data: 'x' },
      { retry: 1, data: 'x' },
      { comment: 'c', data: 'x' },
    ])
      await expect(channel.publish(event as never), String(event)).rejects.toThrow(InvalidEventError);
    await expect(channel.publish('x', { key: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_SLUICE_OPTION_INVALID',
    });
  });

  it.each([
    ['undefined', undefined, 'must be an object with `event` and `data`, or a string of data'],
    ['bytes', new Uint8Array(2), 'must be an object with `event` and `data`, or a string of data'],
    ['an empty object', {}, 'has neither `event` nor `data`. A value alone is `{ data: value }`'],
  ])('says of %s what an event is', async (_name, event, sentence) => {
    await expect(channelOf().publish(event as never)).rejects.toThrow(sentence);
  });

  it('joins the events of a tick in one write', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel, {}, { carrier: bare });
    const client = await site.running.dial();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.waitFor(':ok');
    void channel.publish('a');
    void channel.publish('b');
    await channel.publish('c');
    const text = await client.waitFor('data: c');
    expect(text.slice(text.lastIndexOf('\r\n', text.indexOf('id: ')))).toMatch(
      /^\r\nid: \S+-1\ndata: a\n\nid: \S+-2\ndata: b\n\nid: \S+-3\ndata: c\n\n\r\n$/,
    );
  });

  it('publishes once what comes with the same idempotency key', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel);
    const client = await site.join();
    const first = await channel.publish('a', { idempotencyKey: 'k' });
    expect(await channel.publish('a again', { idempotencyKey: 'k' })).toBe(first);
    await channel.publish('b');
    expect(dataOf(await client.count(2))).toEqual(['a', 'b']);
  });
});

describe('a client that resumes', () => {
  it('is told of a gap, of an id of another channel and of nonsense, and begins as `from` says', async () => {
    const channel = channelOf({ history: { count: 3 } });
    const other = createChannel({ name: 'ticks' });
    const foreign = await other.publish('x');
    other.close();
    const ids: string[] = [];
    for (let n = 0; n < 6; n++) ids.push(await channel.publish(String(n)));
    const site = await serveChannel(channel, { from: 2 });
    const rows = [
      [ids[1], 'gap'],
      [foreign, 'unknown-id'],
      ['nonsense', 'unknown-id'],
      [`${ids[5]}0`, 'unknown-id'],
      ['x'.repeat(5000), 'unknown-id'],
    ] as const;
    for (const [id = '', reason] of rows) {
      const client = await site.join({ 'last-event-id': id });
      expect(await client.count(3)).toEqual([
        { type: 'sluice.reset', data: resetOf(reason), lastEventId: ids[3] },
        { type: 'message', data: '4', lastEventId: ids[4] },
        { type: 'message', data: '5', lastEventId: ids[5] },
      ]);
    }
    const covered = await site.join({ 'last-event-id': ids[2] ?? '' });
    expect(dataOf(await covered.count(3))).toEqual(['3', '4', '5']);
    const current = await site.join({ 'last-event-id': ids[5] ?? '' });
    await channel.publish('6');
    expect(dataOf(await current.count(1))).toEqual(['6']);
  });

  it('may carry its id in the query, or where `cursor` finds it', async () => {
    const channel = channelOf();
    const [a = '', b = ''] = [await channel.publish('a'), await channel.publish('b'), await channel.publish('c')];
    const site = await serveChannel(channel);
    for (const path of [`/?lastEventId=${a}`, `/?x=1&starting_after=${a}`]) {
      const client = await site.join({}, path);
      expect(dataOf(await client.count(2))).toEqual(['b', 'c']);
    }
    // An EventSource keeps its URL: the header is newer.
    const newer = await site.join({ 'last-event-id': b }, `/?lastEventId=${a}`);
    expect(dataOf(await newer.count(1))).toEqual(['c']);
    const own = await serveChannel(channel, { cursor: (req) => Promise.resolve(req.headers['x-seen'] as string) });
    expect(dataOf(await (await own.join({ 'x-seen': b })).count(1))).toEqual(['c']);
  });

  it('begins with `from` when it comes for the first time', async () => {
    const channel = channelOf({ history: { count: 5 } });
    for (const key of ['a', 'b', 'c', 'b', 'a', 'c']) await channel.publish(key, { key });
    const first = async (from: 'now' | 'earliest' | 'latest' | number) => {
      const site = await serveChannel(channel, { from });
      return site.join();
    };
    const rows = [
      ['earliest', ['b', 'c', 'b', 'a', 'c']],
      ['latest', ['b', 'a', 'c']],
      [2, ['a', 'c']],
      [100, ['b', 'c', 'b', 'a', 'c']],
      [0, []],
      ['now', []],
    ] as const;
    const clients = [];
    for (const [from, expected] of rows) clients.push({ client: await first(from), expected });
    await channel.publish('live');
    for (const { client, expected } of clients)
      expect(dataOf(await client.count(expected.length + 1))).toEqual([...expected, 'live']);
  });

  it('knows its place before the first event, if it is an EventSource', async () => {
    const channel = channelOf();
    const before = await channel.publish('before');
    const site = await serveChannel(channel);
    const source = await site.join(eventSource);
    await until(() => source.lastEventId === before);
    expect(source.events).toEqual([]);
    const other = await site.join({ accept: 'text/event-stream' });
    await until(() => other.text === ':ok\n');
    source.destroy();
    await channel.publish('missed');
    const again = await site.join({ ...eventSource, 'last-event-id': source.lastEventId });
    expect(dataOf(await again.count(1))).toEqual(['missed']);
    await other.count(1);
    expect(other.text).toMatch(/^:ok\nid: \S+\ndata: missed\n\n$/);
  });

  it('knows its place too if a filter leaves out all that was replayed', async () => {
    const channel = channelOf();
    const last = await channel.publish('not for it');
    const site = await serveChannel(channel, { from: 'earliest', filter: () => false });
    const source = await site.join(eventSource);
    await until(() => source.lastEventId === last);
    expect(source.events).toEqual([]);
  });
});

describe('a client for which events are filtered out', () => {
  it('is told its place now and then if it is an EventSource, and gets no reset when it is back', async () => {
    const channel = channelOf({ history: { count: 100 } });
    const site = await serveChannel(channel, { filter: ({ event }) => event === 'wanted' });
    const [source, other] = [await site.join(eventSource), await site.join()];
    await until(() => channel.subscribers().length === 2 && source.lastEventId !== '');
    const first = await channel.publish({ event: 'wanted', data: 'first' });
    await Promise.all([source.count(1), other.count(1)]);
    const ids: string[] = [];
    for (let number = 0; number < 150; number++) {
      ids.push(await channel.publish('not for it'));
      await turns();
    }
    await until(() => source.lastEventId === ids[127]);
    expect([source.events.length, other.lastEventId]).toEqual([1, first]);
    source.destroy();
    other.destroy();
    await channel.publish({ event: 'wanted', data: 'second' });
    const again = await site.join({ ...eventSource, 'last-event-id': source.lastEventId });
    expect(dataOf(await again.count(1))).toEqual(['second']);
    const reset = await site.join({ 'last-event-id': first });
    await until(() => reset.text.includes('sluice.reset'));
  });

  it('is told its places on several channels', async () => {
    const rooms = createChannels();
    onTestFinished(() => rooms.close());
    const running = await serve(express5, rooms.subscribe(() => ['a', 'b'], { filter: () => false }) as Middleware);
    const source = visitorOf(await running.visit({ headers: eventSource }));
    await until(() => rooms.subscribers().length === 1);
    const ids: string[] = [];
    for (let number = 0; number < 64; number++) {
      ids.push(...(await rooms.publish('b', 'not for it')));
      await turns();
    }
    await until(() => source.lastEventId.endsWith(`,b:${ids[63]}`));
    expect(source.events).toEqual([]);
  });
});

describe('end', () => {
  it('is told to all clients, also to later ones, which are not to come back', async () => {
    const channel = channelOf();
    const ended: unknown[] = [];
    channel.on('end', (end) => ended.push(end));
    const site = await serveChannel(channel);
    const client = await site.join(eventSource);
    const before = await channel.publish('last words');
    const id = await channel.end({ event: 'done', data: 1 });
    expect(await settles(client.over)).toBe('end');
    expect(dataOf(client.events)).toEqual(['last words', '1']);
    expect(client.lastEventId).toBe('sluice.stop');
    const late = await site.join({ ...eventSource, 'last-event-id': before });
    expect(await settles(late.over)).toBe('end');
    expect(late.events).toEqual([{ type: 'done', data: '1', lastEventId: id }]);
    const fresh = await site.join(eventSource);
    expect(await settles(fresh.over)).toBe('end');
    expect(dataOf(fresh.events)).toEqual(['1']);
    for (const last of ['sluice.stop', id]) {
      const stopped = await site.join({ 'last-event-id': last });
      expect(stopped.status).toBe(204);
    }
    await expect(channel.publish('too late')).rejects.toThrow(ChannelEndedError);
    await expect(channel.end()).rejects.toThrow(ChannelEndedError);
    expect(ended).toEqual([{ id }]);
  });

  it('is told to listeners if the channel is closed at once', async () => {
    const channel = channelOf();
    const ended: unknown[] = [];
    channel.on('end', (end) => ended.push(end));
    const site = await serveChannel(channel);
    const client = await site.join();
    const id = channel.end('last');
    channel.close();
    expect(await settles(client.over)).toBe('end');
    expect(dataOf(client.events)).toEqual(['last']);
    expect(ended).toEqual([{ id: await id }]);
  });
});

describe('as ndjson', () => {
  it('sends an object a line, which resumes by its id', async () => {
    const channel = channelOf();
    const site = await serveChannel(channel, { as: 'ndjson' });
    const client = await site.join();
    expect(client.headers['content-type']).toBe('application/x-ndjson');
    const id = await channel.publish({ event: 'tick', data: { n: 1 } });
    await channel.publish('text "quoted"\n');
    await channel.end();
    expect(await settles(client.over)).toBe('end');
    const second = `${id.slice(0, -1)}2`;
    expect(parseNdjson(client.text)).toEqual([
      { id, event: 'tick', data: { n: 1 } },
      { id: second, data: 'text "quoted"\n' },
    ]);
    const again = await site.join({}, `/?lastEventId=${id}`);
    await settles(again.over);
    expect(parseNdjson(again.text)).toEqual([{ id: second, data: 'text "quoted"\n' }]);
    const lost = await site.join({}, '/?lastEventId=other');
    await settles(lost.over);
    expect(parseNdjson(lost.text)[0]).toMatchObject({ event: 'sluice.reset', data: { reason: 'unknown-id' } });
  });
});

describe('subscribers', () => {
  it('are listed, and told of by join and leave', async () => {
    const channel = channelOf();
    const seen: string[] = [];
    const undo = channel.on('join', ({ identity }: Subscriber) => seen.push(`join ${String(identity)}`));
    channel.on('leave', ({ subscriber, reason }) => seen.push(`leave ${String(subscriber.identity)} ${reason}`));
    const site = await serveChannel(channel, { authorize: (req) => ({ identity: req.headers['x-user'] }) });
    const ann = await site.join({ 'x-user': 'ann' });
    await site.join({ 'x-user': 'bob' });
    expect(channel.subscribers().map(({ identity }) => identity as string)).toEqual(['ann', 'bob']);
    ann.destroy();
    await until(() => channel.subscribers().length === 1);
    undo();
    await site.join({ 'x-user': 'eve' });
    channel.close();
    await until(() => channel.subscribers().length === 0);
    expect(seen.slice(0, 3)).toEqual(['join ann', 'join bob', 'leave ann client-closed']);
    expect(seen.slice(3).toSorted()).toEqual(['leave bob draining', 'leave eve draining']);
  });
});
