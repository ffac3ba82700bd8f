import { onTestFinished, describe, expect, it } from 'vitest';
import {
  type Backplane,
  type ChannelLog,
  type Channels,
  type ChannelsOptions,
  type ChannelsSubscribeOptions,
  type ChannelsSubscriber,
  createChannels,
  createMemoryBackplane,
  type KeysOf,
} from '../../../src/index.ts';
import { bare, carriers, express5, type Carrier, type Middleware } from '../../support/carriers.ts';
import { parseNdjson } from '../../support/record-parser.ts';
import { serve, type Served } from '../../support/serve.ts';
import { until } from '../../support/until.ts';
import { lateBackplane } from '../late-backplane.ts';
import { dataOf, eventSource, type Visitor, visitorOf } from '../site.ts';

/** A family that is closed when the test is over. */
function roomsOf(options: ChannelsOptions = {}): Channels {
  const rooms = createChannels(options);
  onTestFinished(() => rooms.close());
  return rooms;
}

/** The keys that a test gives: `?keys=a,b`. */
const asked: KeysOf = (req) => new URLSearchParams(req.url.split('?')[1]).get('keys')?.split(',') ?? [];

interface Site {
  readonly running: Served;
  join(keys: string, headers?: Record<string, string>): Promise<Visitor>;
}

async function serveRooms(
  rooms: Channels,
  options: ChannelsSubscribeOptions = {},
  { carrier = express5, keys = asked }: { carrier?: Carrier; keys?: KeysOf } = {},
): Promise<Site> {
  const running = await serve(carrier, rooms.subscribe(keys, options) as Middleware);
  return {
    running,
    async join(names, headers = {}) {
      const before = rooms.subscribers().length;
      const visitor = visitorOf(await running.visit({ headers, path: `/?keys=${names}` }));
      await until(() => rooms.subscribers().length > before || visitor.events.length > 0);
      return visitor;
    },
  };
}

describe.each(carriers)('a family over $name', (carrier) => {
  it('gives a client the events of all of its channels, with ids that resume in each', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, {}, { carrier });
    const client = await site.join('news,user:7');
    const a = await rooms.get('news').publish('a');
    const b = await rooms.get('user:7').publish('b');
    await rooms.get('other').publish('not for it');
    expect((await client.count(2)).map(({ data, lastEventId }) => [data, lastEventId])).toEqual([
      ['a', `news:${a},user%3A7:${b.replace('-1', '-0')}`],
      ['b', `news:${a},user%3A7:${b}`],
    ]);
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    await rooms.get('user:7').publish('missed');
    await rooms.publish(['news', 'user:7', 'news'], 'for both');
    const again = await site.join('user:7,news', { 'last-event-id': client.lastEventId });
    expect(dataOf(await again.count(3)).sort()).toEqual(['for both', 'for both', 'missed']);
    await rooms.publish('news', { event: 'tick', data: { live: true } });
    expect((await again.count(4))[3]).toMatchObject({ type: 'tick', data: '{"live":true}' });
  });
});

describe('ids', () => {
  it('are plain for a client on one channel, and its bytes those of the channel', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const [one, two] = [await site.join('a'), await site.join('a,b')];
    const id = await rooms.get('a').publish('x');
    expect(await one.count(1)).toEqual([{ type: 'message', data: 'x', lastEventId: id }]);
    expect((await two.count(1))[0]?.lastEventId).toMatch(`a:${id},b:`);
    // Each resumes where the other was.
    one.destroy();
    two.destroy();
    await rooms.get('a').publish('y');
    const other = await site.join('a', { 'last-event-id': two.lastEventId });
    expect(dataOf(await other.count(1))).toEqual(['y']);
  });

  it('are told to an `EventSource` when all of its channels are live', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join('a,b', eventSource);
    await until(() => /\nid: a:\S+-0,b:\S+-0\n/.test(client.text));
    expect(client.text.match(/^id: /gm)).toHaveLength(1);
  });

  it('are told to an `EventSource` on one channel as its events have them', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join('a', eventSource);
    await until(() => /^id: \S+$/m.test(client.text));
    const told = client.lastEventId;
    const id = await rooms.get('a').publish('x');
    await client.count(1);
    expect([told, client.lastEventId]).toEqual([id.replace(/1$/, '0'), id]);
  });

  it.each([
    ['at once', () => createMemoryBackplane()],
    ['later', () => lateBackplane(() => 0.5)],
  ])('of one channel count for that one among several, where the log answers %s', async (_when, make) => {
    const rooms = roomsOf({ backplane: make() });
    const site = await serveRooms(rooms);
    const client = await site.join('b', eventSource);
    await until(() => client.lastEventId !== '');
    await rooms.get('b').publish('x');
    await client.count(1);
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    await rooms.get('b').publish('missed');
    const again = await site.join('a,b,c', { 'last-event-id': client.lastEventId });
    expect((await again.count(1)).map(({ type, data }) => [type, data])).toEqual([['message', 'missed']]);
    await rooms.publish(['a', 'c'], 'live');
    expect(dataOf(await again.count(3))).toEqual(['missed', 'live', 'live']);
    expect(again.lastEventId).toMatch(/^a:\S+-1,b:\S+-2,c:\S+-1$/);
  });

  it('of one channel count for a client that is put on another when it is there', async () => {
    const rooms = roomsOf();
    rooms.on('join', (subscriber) => void subscriber.join('b'));
    const site = await serveRooms(rooms);
    const first = await rooms.get('a').publish('old');
    await rooms.get('a').publish('missed');
    const client = await site.join('a', { 'last-event-id': first });
    expect((await client.count(1)).map(({ type, data }) => [type, data])).toEqual([['message', 'missed']]);
    await rooms.get('b').publish('b');
    expect(dataOf(await client.count(2))).toEqual(['missed', 'b']);
  });

  it('of a channel that is new to the client make it begin there as `from` says', async () => {
    const rooms = roomsOf();
    await rooms.publish(['a', 'b'], 'old');
    const site = await serveRooms(rooms, { from: 'earliest' });
    const first = await site.join('a');
    await first.count(1);
    const cursor = `gone:xy-3,a:${first.lastEventId}`;
    const next = await site.join('a,b', { 'last-event-id': cursor });
    expect((await next.count(1)).map(({ type, data }) => [type, data])).toEqual([['message', 'old']]);
    expect(next.lastEventId).toMatch(/^a:\S+-1,b:\S+-1$/);
    expect(rooms.keys()).not.toContain('gone');
  });

  it.each([
    ['a plain id of nothing', 'nonsense', '{"reason":"unknown-id"}', 'a,b'],
    ['parts of other channels', 'c:x-1,d:x-2', '{"reason":"unknown-id"}', 'a,b'],
    ['ten thousand parts', 'a:x-1,'.repeat(1_300), '{"reason":"unknown-id"}', 'a,b'],
    ['one part of another epoch', 'a:x-1', '{"reason":"unknown-id","key":"a"}', 'a,b'],
    ['a composite for one channel that has no part for it', 'c:x-1', '{"reason":"unknown-id","key":"a"}', 'a'],
  ])('of %s are told by one reset', async (_, cursor, data, keys) => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join(keys, { 'last-event-id': cursor });
    const id = await rooms.get('a').publish('live');
    const events = await client.count(2);
    expect(events.map((event) => [event.type, event.data])).toEqual([
      ['sluice.reset', data],
      ['message', 'live'],
    ]);
    expect(events[1]?.lastEventId).toContain(id);
    expect(rooms.keys().every((key) => keys.includes(key))).toBe(true);
  });

  it('cannot break a line, whatever a query says', async () => {
    const rooms = roomsOf();
    const running = await serve(bare, rooms.subscribe(() => ['a', 'b']) as Middleware);
    const path = `/?lastEventId=${encodeURIComponent('a:x-1\ndata: forged\n\nb:y-1,b:\r')}`;
    const client = visitorOf(await running.visit({ path }));
    await until(() => rooms.subscribers().length === 1);
    await rooms.get('a').publish('real');
    expect((await client.count(2)).map(({ type }) => type)).toEqual(['sluice.reset', 'message']);
    expect(client.text).not.toContain('forged');
  });

  it('do not run ahead of a replay that waits for its client', async () => {
    const rooms = roomsOf({ history: { count: 100, bytes: '10mb' } });
    const large = 'x'.repeat(100_000);
    for (let n = 0; n < 100; n++) void rooms.publish('long', { data: `${String(n)} ${large}` });
    const site = await serveRooms(rooms, { from: 'earliest' });
    const reader = await site.running.visit({ path: '/?keys=long,short' });
    reader.pause();
    await rooms.publish('short', { event: 'live', data: '' });
    reader.resume();
    const client = visitorOf(reader);
    await until(() => client.text.includes('event: live'));
    const at = (await client.count(1)).findIndex(({ type }) => type === 'live');
    const long = client.events.slice(0, at).length;
    expect(client.events[at]?.lastEventId).toMatch(new RegExp(`^long:\\w+-${String(long)},`));
  });

  it('come with records too', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { as: 'ndjson' });
    const client = await site.join('a,b');
    const id = await rooms.get('a').publish({ event: 'tick', data: 1 });
    await until(() => client.text.includes('\n'));
    expect(parseNdjson(client.text)).toEqual([
      { id: expect.stringMatching(`^a:${id},b:`) as string, event: 'tick', data: 1 },
    ]);
  });

  it('move past events that a filter leaves out', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { filter: ({ data }) => data !== 'hidden' });
    const client = await site.join('a,b');
    const hidden = await rooms.get('a').publish('hidden');
    await rooms.get('b').publish('shown');
    expect(dataOf(await client.count(1))).toEqual(['shown']);
    expect(client.lastEventId).toContain(`a:${hidden}`);
  });
});

/** In memory, but reads wait from `hold` to `release`. */
function heldBackplane() {
  const memory = createMemoryBackplane();
  const held: (() => void)[] = [];
  let isHeld = false;
  let reads = 0;
  const backplane: Backplane = {
    open(...given) {
      const log = memory.open(...given);
      const read: ChannelLog['read'] = (after, count) => {
        reads += 1;
        if (!isHeld) return log.read(after, count);
        return new Promise((resolve) => held.push(() => resolve(log.read(after, count))));
      };
      return { ...log, read };
    },
    close: () => memory.close(),
  };
  return {
    backplane,
    hold(): void {
      isHeld = true;
    },
    /** Waits for the first read. */
    isAsked: () => until(() => held.length > 0),
    release(): void {
      isHeld = false;
      for (const go of held.splice(0)) go();
    },
    get reads() {
      return reads;
    },
  };
}

describe('while the channel that knows an id is looked for', () => {
  async function begin(options: ChannelsOptions = {}) {
    const log = heldBackplane();
    const rooms = roomsOf({ backplane: log.backplane, ...options });
    const id = await rooms.get('a').publish('had');
    await rooms.get('a').publish('missed');
    await rooms.get('b').publish('old');
    log.hold();
    const site = await serveRooms(rooms);
    return { log, rooms, site, id };
  }

  function onlyClientOf(rooms: Channels): ChannelsSubscriber {
    const [subscriber, other] = rooms.subscribers();
    if (!subscriber || other) throw new Error('not one client');
    return subscriber;
  }

  it('its place on each of its channels is taken', async () => {
    const { log, rooms, site } = await begin({ limits: { perChannel: 1 } });
    const client = await site.join('a,b', { 'last-event-id': '0000-1' });
    await log.isAsked();
    for (const key of ['a', 'b']) expect((await site.running.visit({ path: `/?keys=${key}` })).status).toBe(503);
    log.release();
    await client.count(1);
    await rooms.publish(['a', 'b'], 'live');
    expect((await client.count(3)).map(({ type, data }) => [type, data])).toEqual([
      ['sluice.reset', '{"reason":"unknown-id"}'],
      ['message', 'live'],
      ['message', 'live'],
    ]);
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    // Both places are free again.
    await site.join('a,b');
  });

  it.each<[string, (client: ChannelsSubscriber) => void, string[]]>([
    ['leaves that one', (client) => client.leave('a'), ['live b']],
    ['leaves another', (client) => client.leave('b'), ['missed', 'live a']],
    [
      'leaves that one and comes back',
      (client) => client.leave('a') ?? client.join('a'),
      ['missed', 'live a', 'live b'],
    ],
    ['joins one more', (client) => client.join('c'), ['missed', 'live a', 'live b', 'live c']],
  ])('a client that %s misses nothing, and is told nothing wrong', async (_what, act, events) => {
    const { log, rooms, site, id } = await begin();
    const client = await site.join('a,b', { 'last-event-id': id });
    await log.isAsked();
    act(onlyClientOf(rooms));
    log.release();
    if (events[0] === 'missed') await client.count(1);
    for (const key of ['a', 'b', 'c']) await rooms.get(key).publish(`live ${key}`);
    expect((await client.count(events.length)).map(({ type, data }) => [type, data])).toEqual(
      events.map((data) => ['message', data]),
    );
  });

  it('a client that goes is not looked up any further', async () => {
    const { log, rooms, site, id } = await begin();
    const client = await site.join('a,b,c,d', { 'last-event-id': id });
    await log.isAsked();
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    const { reads } = log;
    log.release();
    const next = await site.join('a', { 'last-event-id': id });
    await next.count(1);
    // Those of the next client alone.
    expect(log.reads - reads).toBeLessThanOrEqual(2);
  });
});

describe('a subscriber', () => {
  it('joins and leaves channels while its stream is open', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { from: 'earliest' });
    const client = await site.join('a');
    const [subscriber] = rooms.subscribers();
    await rooms.get('b').publish('before');
    expect(subscriber?.join('b')).toBe(true);
    expect(subscriber?.join('b')).toBe(true);
    expect(subscriber?.keys).toEqual(['a', 'b']);
    await rooms.publish(['a', 'b'], 'both');
    expect(dataOf(await client.count(3))).toEqual(['before', 'both', 'both']);
    expect(client.lastEventId).toMatch(/^a:\S+-1,b:\S+-2$/);
    expect(rooms.get('a').subscribers()).toEqual([subscriber]);
    const left: unknown[] = [];
    rooms.get('a').on('leave', ({ reason }) => left.push(reason));
    subscriber?.leave('a');
    subscriber?.leave('a');
    expect(left).toEqual(['left']);
    await rooms.publish(['a', 'b'], 'one');
    expect(dataOf(await client.count(4))).toEqual(['before', 'both', 'both', 'one']);
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    expect(subscriber?.join('c')).toBe(false);
  });

  it('is on its channels when it is told of, and may be taken off one', async () => {
    const rooms = roomsOf();
    const keys: unknown[] = [];
    rooms.on('join', (subscriber) => {
      keys.push(subscriber.keys);
      subscriber.leave('a');
    });
    const site = await serveRooms(rooms);
    const client = await site.join('b,a');
    await rooms.publish(['a', 'b'], 'one');
    expect(dataOf(await client.count(1))).toEqual(['one']);
    expect([...keys, rooms.subscribers()[0]?.keys]).toEqual([['a', 'b'], ['b']]);
  });

  it('that a listener puts on a channel resumes there too', async () => {
    const rooms = roomsOf();
    rooms.on('join', (subscriber) => void subscriber.join('room'));
    const site = await serveRooms(rooms);
    const client = await site.join('me');
    await rooms.get('room').publish('one');
    await client.count(1);
    client.destroy();
    await until(() => rooms.subscribers().length === 0);
    await rooms.get('room').publish('two');
    const again = await site.join('me', { 'last-event-id': client.lastEventId });
    expect(dataOf(await again.count(1))).toEqual(['two']);
  });

  it('is told of the end of the last of its channels alone', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join('a,b');
    await rooms.get('a').end('end of a');
    await rooms.get('b').publish('b goes on');
    expect(dataOf(await client.count(2))).toEqual(['end of a', 'b goes on']);
    const cursor = client.lastEventId;
    await rooms.get('b').end('end of b');
    await client.over;
    expect(client.lastEventId).toBe('sluice.stop');
    const late = await site.join('a,b', { 'last-event-id': cursor });
    await late.over;
    expect(dataOf(late.events)).toEqual(['end of b']);
    const done = await site.running.visit({ path: '/?keys=a,b', headers: { 'last-event-id': client.lastEventId } });
    expect(done.status).toBe(204);
  });
});

describe('disconnect', () => {
  it('cuts the clients of an identity at once, and they do not come back', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { authorize: (req) => ({ identity: req.headers['x-user'] }) });
    const [ann, bob] = [await site.join('a,b', { 'x-user': 'ann' }), await site.join('a', { 'x-user': 'bob' })];
    const published = rooms.get('a').publish('for bob alone');
    expect(rooms.disconnect(({ identity }) => identity === 'ann', 'logged out')).toBe(1);
    await published;
    await ann.over;
    expect(ann.events).toEqual([{ type: 'sluice.disconnect', data: '{"reason":"logged out"}', lastEventId: '' }]);
    expect(ann.lastEventId).toBe('sluice.stop');
    expect(dataOf(await bob.count(1))).toEqual(['for bob alone']);
    expect(rooms.disconnect(() => true)).toBe(1);
    await bob.over;
    await until(() => rooms.subscribers().length === 0);
    expect(rooms.get('a').subscribers()).toEqual([]);
  });

  it('throws for what is no function or reason', () => {
    const rooms = roomsOf();
    for (const call of [() => rooms.disconnect('ann' as never), () => rooms.disconnect(() => true, 1 as never)])
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_SLUICE_OPTION_INVALID' }));
  });
});

describe('who may subscribe', () => {
  const past = Date.now() - 1;
  it.each([
    ['false', false, 403],
    ['a right that has ended', { until: past, keys: ['a'] }, 403],
    ['keys of which none is wanted', { keys: ['c'] }, 403],
    ['no keys', { keys: [] }, 403],
    ['a bad key', { keys: [''] }, 500],
    ['a key that is no text', { keys: [7] }, 500],
    ['half a character as a key', { keys: '\ud800' }, 500],
    ['one of the keys', { keys: 'a' }, 200],
    ['true', true, 200],
  ])('%s', async (_, answer, status) => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { authorize: () => answer as never, onError: () => undefined });
    const reading = await site.running.visit({ path: '/?keys=a,b' });
    expect(reading.status).toBe(status);
    const keys = answer === true ? ['a', 'b'] : ['a'];
    if (status === 200) await until(() => rooms.subscribers().length === 1);
    expect(rooms.subscribers().map((subscriber) => subscriber.keys)).toEqual(status === 200 ? [keys] : []);
    expect(rooms.keys()).toEqual(status === 200 ? keys : []);
  });

  it('may be decided with the keys by `authorize` alone', async () => {
    const rooms = roomsOf();
    const middleware = rooms.subscribe({ authorize: () => Promise.resolve({ keys: ['x', 'y'] }) });
    const running = await serve(express5, middleware as Middleware);
    await running.visit();
    await until(() => rooms.subscribers().length === 1);
    expect(rooms.subscribers()[0]?.keys).toEqual(['x', 'y']);
    expect(() => rooms.subscribe({})).toThrow('subscribe.keys');
  });

  it('is told to reconnect when the right ends', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms, { authorize: () => ({ until: Date.now() + 200 }) });
    const client = await site.join('a,b');
    await client.over;
    expect(client.text).toMatch(/\nretry: \d+\n/);
    expect(client.lastEventId).not.toBe('sluice.stop');
  });

  it('does not get more keys than a header can say', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(
      rooms,
      {},
      { keys: () => Array.from({ length: 200 }, (__, n) => `room:${String(n)}`) },
    );
    expect((await site.running.visit()).status).toBe(500);
    await until(() => rooms.subscribers().length === 0);
    expect(rooms.keys()).toEqual([]);
  });
});

describe('limits', () => {
  const who = { authorize: (req: { headers: Record<string, unknown> }) => ({ identity: req.headers['x-user'] }) };

  it.each([
    ['identity', { perIdentity: 2 }, 429],
    ['channel', { perChannel: 2 }, 503],
  ] as const)('of an %s refuse one client more, until a place is free', async (name, limits, status) => {
    const rooms = roomsOf({ limits });
    const site = await serveRooms(rooms, who as ChannelsSubscribeOptions);
    const path = '/?keys=b,a';
    const ann = { 'x-user': 'ann' };
    const [one] = [await site.join('a', ann), await site.join('a', ann)];
    const refused = await site.running.visit({ path, headers: ann });
    await refused.over;
    expect([refused.status, Number(refused.headers['retry-after']) > 0]).toEqual([status, true]);
    const source = await site.running.visit({ path, headers: { ...ann, ...eventSource } });
    await source.over;
    expect([source.status, /^retry: \d+$/m.test(source.text)]).toEqual([200, true]);
    // Others have room, elsewhere.
    const other = name === 'identity' ? { 'x-user': 'bob' } : ann;
    await site.join(name === 'identity' ? 'a' : 'c', other);
    one.destroy();
    await until(() => rooms.subscribers().length === 2);
    await site.join('b,a', ann);
    expect(rooms.subscribers()).toHaveLength(3);
  });

  it('of a channel hold for those that join later', async () => {
    const rooms = roomsOf({ limits: { perChannel: 1 } });
    const site = await serveRooms(rooms);
    await site.join('a');
    await site.join('b');
    const second = rooms.subscribers()[1] as ChannelsSubscriber;
    expect(second.join('a')).toBe(false);
    expect(second.keys).toEqual(['b']);
    rooms.subscribers()[0]?.leave('a');
    expect(second.join('a')).toBe(true);
  });

  it('need an identity that can be counted', async () => {
    const rooms = roomsOf({ limits: { perIdentity: 1 } });
    const site = await serveRooms(rooms, { authorize: () => ({ identity: { id: 7 } }) });
    expect((await site.running.visit({ path: '/?keys=a' })).status).toBe(500);
  });
});

describe('a room', () => {
  it('is freed when it is idle, and its late clients are told', async () => {
    const rooms = roomsOf({ ttl: 60 });
    const room = rooms.get('a');
    expect(rooms.keys()).toEqual([]);
    const id = await room.publish('x');
    expect(rooms.keys()).toEqual(['a']);
    await until(() => rooms.keys().length === 0);
    const site = await serveRooms(rooms);
    const client = await site.join('a', { 'last-event-id': id });
    await room.publish('y');
    expect((await client.count(2)).map(({ type }) => type)).toEqual(['sluice.reset', 'message']);
  });

  it('is kept while it has clients or listeners', async () => {
    const rooms = roomsOf({ ttl: 20 });
    const undo = rooms.get('heard').on('join', () => undefined);
    const site = await serveRooms(rooms);
    const client = await site.join('visited');
    await rooms.get('idle').publish('x');
    await until(() => !rooms.keys().includes('idle'));
    expect([...rooms.keys()].sort()).toEqual(['heard', 'visited']);
    undo();
    undo();
    client.destroy();
    await until(() => rooms.keys().length === 0);
  });

  it('that is closed tells its clients to reconnect, and is made anew', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join('a,b');
    rooms.get('a').close();
    await client.over;
    expect(client.text).toMatch(/retry: \d+\n/);
    await rooms.get('a').publish('new');
    expect(rooms.get('a').name).toBe('a');
  });

  it('is closed with its family', async () => {
    const rooms = roomsOf();
    const site = await serveRooms(rooms);
    const client = await site.join('a,b');
    rooms.close();
    await client.over;
    for (const publish of [rooms.publish('a', 'x'), rooms.get('a').publish('x'), rooms.get('a').end()])
      await expect(publish).rejects.toMatchObject({ code: 'ERR_SLUICE_CHANNEL_CLOSED' });
    expect((await site.running.visit({ path: '/?keys=a' })).status).toBe(503);
    expect(rooms.keys()).toEqual([]);
  });
});
