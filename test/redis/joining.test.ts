import http from 'node:http';
import express from 'express';
import express4 from 'express4';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Channel, type Channels, createChannels, type SubscribeOptions, subscribe } from '../../src/index.ts';
import { redisBackplane, type RedisBackplaneOptions } from '../../src/redis/index.ts';
import { channelOf, dataOf, serveChannel, type Visitor, visitorOf } from '../channel/site.ts';
import { express5, listen, type Middleware } from '../support/carriers.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { attend, serve } from '../support/serve.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/** The backplane of a process. */
function backplaneOf(options: RedisBackplaneOptions): ReturnType<typeof redisBackplane> {
  const backplane = redisBackplane(options);
  onTestFinished(() => backplane.close());
  return backplane;
}

const typesOf = ({ events }: Visitor): string[] => events.map(({ type }) => type);

describe('a new client while Redis is away', () => {
  it('waits, with and without others on its channel, and gets what it asked for', async () => {
    const proxy = await startTcpProxy(redis.port);
    onTestFinished(() => proxy.close());
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    let downs = 0;
    onTestFinished(
      subscribe('sluice:redis:connection', ({ use, state }) => {
        if (use === 'commands' && state === 'down') downs += 1;
      }),
    );
    const told: unknown[] = [];
    onTestFinished(subscribe('sluice:channel:error', ({ error }) => told.push((error as { code: unknown }).code)));
    let live = 0;
    onTestFinished(subscribe('sluice:channel:subscribe', () => void (live += 1)));

    const away = backplaneOf({ url: `redis://127.0.0.1:${String(proxy.port)}`, timeout: 200, ping: 200 });
    const there = backplaneOf({ url: redis.url });
    const [busy, quiet] = ['busy', 'quiet'].map((name) => channelOf({ name, backplane: away })) as [Channel, Channel];
    const [busyThere, quietThere] = ['busy', 'quiet'].map((name) => channelOf({ name, backplane: there })) as [
      Channel,
      Channel,
    ];
    const join = async (channel: Channel, options: SubscribeOptions, headers = {}): Promise<Visitor> =>
      (await serveChannel(channel, options)).join(headers);

    const earlier = await join(busy, { from: 'earliest' });
    await until(() => live === 1);
    for (const data of ['a', 'b']) await busyThere.publish(data);
    const [first] = await earlier.count(2);

    proxy.darken();
    await until(() => downs > 0);
    const newcomers = [
      await join(busy, { from: 'now' }),
      await join(busy, { from: 'earliest' }),
      await join(busy, { from: 1 }),
      await join(busy, { from: 'latest' }),
      await join(busy, {}, { 'last-event-id': first!.lastEventId }),
      await join(quiet, { from: 'now' }),
      await join(quiet, { from: 'earliest' }),
    ];
    const cut: number[] = [];
    for (const [index, { over }] of newcomers.entries()) void over.then(() => cut.push(index));
    for (const channel of [busyThere, quietThere]) await channel.publish('missed');
    // For longer than an answer may take, several times over.
    await until(() => downs >= 4);
    // Clients on a live channel that want what comes need no answer.
    expect(live).toBe(2);
    expect(cut).toEqual([]);

    proxy.lighten();
    await until(() => live === 1 + newcomers.length);
    for (const channel of [busyThere, quietThere]) await channel.publish('last');
    for (const each of newcomers) await until(() => dataOf(each.events).includes('last'));
    expect(newcomers.map(({ events }) => dataOf(events))).toEqual([
      ['missed', 'last'],
      ['a', 'b', 'missed', 'last'],
      ['missed', 'last'],
      ['missed', 'last'],
      ['b', 'missed', 'last'],
      ['last'],
      ['missed', 'last'],
    ]);
    expect(newcomers.flatMap(typesOf).filter((type) => type !== 'message')).toEqual([]);
    // Each that waits is told of once. Those of the other channel wait for its log.
    expect(told).toEqual(Array.from({ length: 4 }, () => 'ERR_SLUICE_BACKPLANE_UNAVAILABLE'));
  });

  it('waits also where the channel of its id is looked for', async () => {
    const proxy = await startTcpProxy(redis.port);
    onTestFinished(() => proxy.close());
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    const told: unknown[] = [];
    onTestFinished(subscribe('sluice:channel:error', ({ error }) => told.push(error)));
    const url = `redis://127.0.0.1:${String(proxy.port)}`;
    const [rooms, there] = [{ url, timeout: 200, ping: 200 }, { url: redis.url }].map((options) => {
      const family = createChannels({ name: 'rooms', backplane: backplaneOf(options) });
      onTestFinished(() => family.close());
      return family;
    }) as [Channels, Channels];
    const [id = ''] = await there.publish('a', '1');
    await there.publish('a', '2');
    proxy.darken();
    const running = await serve(express5, rooms.subscribe(() => ['a', 'b']) as Middleware);
    const visitor = visitorOf(await running.visit({ headers: { 'last-event-id': id } }));
    let isOver = false;
    void visitor.over.then(() => (isOver = true));
    await until(() => told.length > 0);
    expect(isOver).toBe(false);
    proxy.lighten();
    expect(dataOf(await visitor.count(1))).toEqual(['2']);
    expect(typesOf(visitor)).toEqual(['message']);
  });

  it('may leave: nothing is left of it, and that is no error', async () => {
    const proxy = await startTcpProxy(redis.port);
    onTestFinished(() => proxy.close());
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    const told: unknown[] = [];
    onTestFinished(subscribe('sluice:channel:error', ({ error }) => told.push(error)));
    const failed: unknown[] = [];
    onTestFinished(subscribe('sluice:stream:error', ({ error }) => failed.push(error)));
    const away = backplaneOf({ url: `redis://127.0.0.1:${String(proxy.port)}`, timeout: 200, ping: 200 });
    const channel = channelOf({ name: 'left', backplane: away });
    const site = await serveChannel(channel, { from: 'earliest' });
    let live = 0;
    onTestFinished(subscribe('sluice:channel:subscribe', () => void (live += 1)));
    const staying = await site.join();
    await until(() => live === 1);
    const ups = new Set<string>();
    onTestFinished(
      subscribe('sluice:redis:connection', ({ use, state }) => {
        if (state === 'up') ups.add(use);
      }),
    );
    proxy.darken();
    const waiting = await site.join();
    await until(() => told.length === 1);
    const leaving = await site.join();
    await until(() => channel.subscribers().length === 3);
    for (const each of [waiting, leaving]) each.destroy();
    await until(() => channel.subscribers().length === 1);
    proxy.lighten();
    await until(() => ups.size === 2);
    await channel.publish('a');
    await staying.count(1);
    expect(failed).toEqual([]);
    expect(live).toBe(1);
  });

  it.each([
    ['Express 5', express],
    ['Express 4', express4 as unknown as typeof express],
  ])('%s answers 503 if its handler publishes', async (_name, framework) => {
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    const channel = channelOf({ name: 'away', backplane: backplaneOf({ url: 'redis://127.0.0.1:1', timeout: 500 }) });
    const app = framework();
    // It prints no error then.
    app.set('env', 'test');
    app.post('/', (_req, res, next) => {
      channel.publish('a').then((id) => res.json({ id }), next);
    });
    const server = attend(await listen(http.createServer(app)));
    expect((await server.visit({ method: 'POST' })).status).toBe(503);
  });
});

describe.each(['now', 'earliest', 'latest', 2] as const)('a client that begins with %s', (from) => {
  it('is not reset by a busy channel that keeps nothing', async () => {
    const [one, other] = Array.from({ length: 2 }, () =>
      channelOf({ name: `from ${from}`, history: { count: 0 }, backplane: backplaneOf({ url: redis.url }) }),
    ) as [Channel, Channel];
    let isOver = false;
    const write = async (): Promise<void> => {
      for (let n = 0; !isOver; n++) await other.publish(String(n), { key: 'n' });
    };
    const writing = Promise.all([write(), write(), write()]);
    const site = await serveChannel(one, { from });
    for (let count = 0; count < 10; count++) {
      const visitor = await site.join();
      await visitor.count(3);
      expect(typesOf(visitor)).not.toContain('sluice.reset');
      visitor.destroy();
    }
    isOver = true;
    await writing;
  });
});
