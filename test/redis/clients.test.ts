import { once } from 'node:events';
import net from 'node:net';
import { createClient, createSentinel } from 'redis';
import { createClient as createClient5 } from 'redis5';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { backplaneChecks } from '../../src/conformance/index.ts';
import { InvalidOptionError, subscribe } from '../../src/index.ts';
import { type RedisAdapter, redisBackplane, type RedisBackplaneOptions } from '../../src/redis/index.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const receiver = { entries: () => undefined, lost: () => undefined };
const limits = { count: 100, bytes: 1e6 };

/** The connections to Redis, but for the one that asks. */
async function connections(): Promise<number> {
  return (await redis.command('CLIENT', 'LIST')).split('\n').filter((line) => line.startsWith('id=')).length - 1;
}

async function untilConnections(wanted: number): Promise<void> {
  let count = -1;
  await until(() => {
    void connections().then((now) => (count = now));
    return count === wanted;
  });
}

/** An adapter as a user may write it, of a client that connects again by itself. */
function ownAdapter(client: ReturnType<typeof createClient>): RedisAdapter {
  return {
    eval: (script, keys, args) => client.eval(script, { keys: [...keys], arguments: [...args] }),
    ping: () => client.ping(),
    async subscribe(channel, listener) {
      await client.subscribe(channel, listener);
      return () => client.unsubscribe(channel, listener);
    },
    async duplicate(onLost) {
      const other = client.duplicate();
      other.on('error', onLost);
      await other.connect();
      return ownAdapter(other as ReturnType<typeof createClient>);
    },
    close: () => client.destroy(),
  };
}

describe.each<[name: string, open: () => Promise<{ client: RedisBackplaneOptions['client']; close: () => void }>]>([
  [
    'a client of redis 6',
    async () => {
      const client = await createClient({ url: redis.url })
        .on('error', () => undefined)
        .connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'a client of redis 5 that speaks RESP 2',
    async () => {
      const client = await createClient5({ url: redis.url })
        .on('error', () => undefined)
        .connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'a client that maps replies',
    async () => {
      const client = await createClient({ url: redis.url, RESP: 3, commandOptions: { typeMapping: { 36: Buffer } } })
        .on('error', () => undefined)
        .connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'an adapter',
    async () => {
      const client = await createClient({ url: redis.url })
        .on('error', () => undefined)
        .connect();
      return { client: ownAdapter(client as ReturnType<typeof createClient>), close: () => client.destroy() };
    },
  ],
])('a backplane on %s', (_name, open) => {
  let given: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    given = await open();
  });
  afterAll(() => given.close());

  for (const { name, run } of backplaneChecks((space) => redisBackplane({ client: given.client, prefix: `${space}:` })))
    it(name, run);

  it('leaves the client open, and no other connection', async () => {
    const backplane = redisBackplane({ client: given.client });
    const log = backplane.open('open', limits, receiver);
    await log.listen();
    log.close();
    await backplane.close();
    await untilConnections(1);
    const again = redisBackplane({ client: given.client });
    await again.open('open', limits, receiver).append({ data: 'a' }, {});
    await again.close();
  });
});

describe('a backplane with a URL', () => {
  it('connects when it is used, and leaves nothing behind', async () => {
    const backplane = redisBackplane({ url: redis.url });
    const log = backplane.open('handles', limits, receiver);
    expect(await connections()).toBe(0);
    await log.append({ data: 'a' }, {});
    expect(await connections()).toBe(1);
    await log.listen();
    expect(await connections()).toBe(2);
    log.close();
    await backplane.close();
    await expect(async () => log.append({ data: 'b' }, {})).rejects.toThrow('closed');
    await untilConnections(0);
  });

  it('is subscribed to the channels with listeners alone', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'followed:' });
    onTestFinished(() => backplane.close());
    const topics = async (): Promise<string[]> =>
      (await redis.command('PUBSUB', 'CHANNELS', 'followed:*'))
        .split('\r\n')
        .filter((line) => line.startsWith('followed'));
    const logs = ['a', 'b', 'c'].map((name) => backplane.open(name, limits, receiver));
    const twice = backplane.open('a', limits, receiver);
    await Promise.all([...logs, twice].map((log) => log.listen()));
    expect((await topics()).toSorted()).toEqual(['followed:{a}:log', 'followed:{b}:log', 'followed:{c}:log']);
    for (const log of logs) log.unlisten();
    let left: string[] = [];
    await until(() => left.length === 1 || (void topics().then((now) => (left = now)), false));
    expect(left).toEqual(['followed:{a}:log']);
    twice.close();
  });

  it('says what a server that is not there refused, and no more than once a minute without a listener', async () => {
    const backplane = redisBackplane({ url: 'redis://127.0.0.1:1', timeout: 500 });
    onTestFinished(() => backplane.close());
    const errors: unknown[] = [];
    onTestFinished(subscribe('sluice:redis:error', ({ error }) => errors.push(error)));
    const log = backplane.open('away', limits, receiver);
    await expect(log.append({ data: 'a' }, {})).rejects.toMatchObject({
      code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE',
      channel: 'away',
      message: 'The backplane of the channel `away` is not available: connect ECONNREFUSED 127.0.0.1:1',
    });
    await expect(log.read('a-1', 5)).rejects.toMatchObject({ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' });
    expect(errors.length).toBeGreaterThan(0);
  });

  it('passes on what Redis refuses, without trying again', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'wrong:', wait: '60s' });
    onTestFinished(() => backplane.close());
    await redis.command('SET', 'wrong:{a}', 'a string');
    await expect(backplane.open('a', limits, receiver).append({ data: 'a' }, {})).rejects.toThrow(/WRONGTYPE/);
  });

  it('rejects what is more than may wait', async () => {
    const backplane = redisBackplane({ url: 'redis://127.0.0.1:1', wait: '60s', maxWaiting: '1kb' });
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    const log = backplane.open('full', limits, receiver);
    const first = Promise.resolve(log.append({ data: 'x'.repeat(900) }, {}));
    await expect(async () => log.append({ data: 'x'.repeat(900) }, {})).rejects.toThrow(
      'Too many events wait for Redis',
    );
    await backplane.close();
    await expect(first).rejects.toMatchObject({ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' });
  });
});

it('an error of a client without a listener is reported, and does not end the process', async () => {
  const errors: unknown[] = [];
  onTestFinished(subscribe('sluice:redis:error', ({ error }) => errors.push(error)));
  const client = await createClient({ url: redis.url }).connect();
  onTestFinished(() => client.destroy());
  const backplane = redisBackplane({ client });
  const failure = new Error('a failure');
  client.emit('error', failure);
  expect(errors).toEqual([failure]);
  await backplane.close();
  expect(client.listenerCount('error')).toBe(0);
});

it('a client of the application that goes dark is replaced by a duplicate', async () => {
  const proxy = await startTcpProxy(redis.port);
  onTestFinished(() => proxy.close());
  onTestFinished(subscribe('sluice:redis:error', () => undefined));
  const client = createClient({ url: `redis://127.0.0.1:${String(proxy.port)}` });
  await client.on('error', () => undefined).connect();
  onTestFinished(() => client.destroy());
  const backplane = redisBackplane({ client, timeout: 300, ping: 300, wait: '60s' });
  onTestFinished(() => backplane.close());
  const log = backplane.open('dark client', limits, receiver);
  const start = await log.start('now');
  await log.append({ data: 'a' }, {});
  proxy.darken();
  const late = log.append({ data: 'b' }, {});
  proxy.lighten();
  await late;
  const page = await log.read(start, 10);
  expect(page.lost ?? page.entries.map(({ data }) => data)).toEqual(['a', 'b']);
  expect(client.isOpen).toBe(true);
});

it('closes a connection that is being made, at once', async () => {
  const sockets = new Set<net.Socket>();
  let attempts = 0;
  // Takes connections, and says nothing.
  const silent = net.createServer((socket) => {
    attempts += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void silent.close());
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
  const url = `redis://127.0.0.1:${String((silent.address() as net.AddressInfo).port)}`;
  const backplane = redisBackplane({ url, timeout: '5m', ping: '5m' });
  const log = backplane.open('a', limits, receiver);
  const listening = Promise.resolve(log.listen());
  const publishing = Promise.resolve(log.append({ data: 'a' }, {}));
  void listening.catch(() => undefined);
  await until(() => attempts === 2);
  log.close();
  await backplane.close();
  await expect(publishing).rejects.toMatchObject({ code: 'ERR_SLUICE_BACKPLANE_UNAVAILABLE' });
  await until(() => sockets.size === 0);
});

it('a subscription that is confirmed late is made once', async () => {
  const errors: string[] = [];
  onTestFinished(subscribe('sluice:redis:error', ({ error }) => errors.push((error as Error).message)));
  const client = createClient({ url: redis.url });
  await client.on('error', () => undefined).connect();
  onTestFinished(() => client.destroy());
  const adapter = ownAdapter(client as ReturnType<typeof createClient>);
  let subscriptions = 0;
  let confirm!: () => void;
  const confirmed = new Promise<void>((resolve) => (confirm = resolve));
  const slow: RedisAdapter = {
    ...adapter,
    async duplicate(onLost, signal) {
      const other = await adapter.duplicate(onLost, signal);
      return {
        ...other,
        async subscribe(channel, listener) {
          subscriptions += 1;
          const undo = await other.subscribe(channel, listener);
          await confirmed;
          return undo;
        },
      };
    },
  };
  const backplane = redisBackplane({ client: slow, timeout: 200, prefix: 'late:' });
  onTestFinished(() => backplane.close());
  const log = backplane.open('a', limits, receiver);
  const listening = log.listen();
  const late = 'Redis did not confirm a subscription in time';
  await until(() => errors.includes(late));
  confirm();
  await listening;
  expect(subscriptions).toBe(1);
  log.close();
  let topics = 'late';
  await until(() => !topics.includes('late') || (void topicsOf('late:*').then((now) => (topics = now)), false));
});

const topicsOf = (pattern: string): Promise<string> => redis.command('PUBSUB', 'CHANNELS', pattern);

describe('the options', () => {
  it.for<[options: unknown, message: string | RegExp]>([
    [undefined, 'Option `redisBackplane` needs a `url` or a `client`'],
    [{}, 'Option `redisBackplane` needs a `url` or a `client`'],
    [{ url: 'redis://a', client: {} }, 'Option `redisBackplane.client` cannot be given with a `url`'],
    [{ url: 'http://user:secret@a' }, /^Option `redisBackplane.url` is not the URL of a Redis(?!.*secret)/],
    [{ url: [] }, /^Option `redisBackplane.url`/],
    [{ url: ['redis://a', 'b'] }, /^Option `redisBackplane.url`/],
    [
      { client: { eval: () => undefined, duplicate: () => undefined } },
      /`redisBackplane.client` to be a client of node-redis/,
    ],
    [{ client: createSentinel({ name: 'a', sentinelRootNodes: [{ host: 'a', port: 1 }] }) }, /redisBackplane.client/],
    [{ url: 'redis://a', prefix: '{a}' }, /^Expected `redisBackplane.prefix` to be a string without braces/],
    [{ url: 'redis://a', ttl: 10 }, /^Expected `redisBackplane.ttl`/],
    [{ url: 'redis://a', maxLength: 1.5 }, /^Expected `redisBackplane.maxLength`/],
    [{ url: 'redis://a', keyPrefix: 'a' }, 'Option `redisBackplane.keyPrefix` does not exist. Did you mean `prefix`?'],
  ])('%j are refused', ([options, message]) => {
    const make = (): unknown => redisBackplane(options as RedisBackplaneOptions);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(message);
  });
});

describe('a log', () => {
  const ttlOf = async (key: string): Promise<number> => Number((await redis.command('PTTL', key)).slice(1));

  it('is kept for `ttl` after its last entry, with all its keys', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'kept:', ttl: '1h' });
    onTestFinished(() => backplane.close());
    const log = backplane.open('a', limits, receiver);
    await log.append({ data: 'a' }, { idempotencyKey: 'once' });
    const keys = (await redis.command('KEYS', 'kept:*')).split('\r\n').filter((line) => line.startsWith('kept:'));
    expect(keys.toSorted()).toMatchObject([
      'kept:{a}',
      'kept:{a}:log',
      'kept:{a}:once:once',
      expect.stringContaining(':writer:'),
    ]);
    for (const key of keys) expect(await ttlOf(key)).toBeGreaterThan(0);
    expect(await ttlOf('kept:{a}')).toBeGreaterThan(3_500_000);
    const forever = redisBackplane({ url: redis.url, prefix: 'forever:', ttl: Infinity });
    onTestFinished(() => forever.close());
    await forever.open('a', limits, receiver).append({ data: 'a' }, {});
    expect(await ttlOf('forever:{a}')).toBe(-1);
  });

  it('is not made by what only reads: names may come from clients', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'read:' });
    onTestFinished(() => backplane.close());
    const got: unknown[] = [];
    const log = backplane.open('a', { count: 0, bytes: 0 }, { ...receiver, entries: (list) => got.push(...list) });
    expect(await log.read('e1-1', 5)).toEqual({ lost: 'unknown-id' });
    const start = await log.start('earliest');
    expect(await log.read(start, 5)).toMatchObject({ entries: [] });
    expect(await log.latest()).toMatchObject({ entries: [] });
    expect(await log.isClaimed()).toBe(false);
    await log.release('5');
    await log.listen();
    expect(await redis.command('KEYS', 'read:*')).toBe('*0\r\n');
    await log.append({ data: 'a' }, {});
    await until(() => got.length === 1);
    // It was not kept, so a client that has read before cannot read it.
    expect(await log.read(start, 5)).toEqual({ lost: 'gap' });
  });

  it('is kept as long as a claim, though `ttl` is shorter', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'claimed:', ttl: 1000 });
    onTestFinished(() => backplane.close());
    const log = backplane.open('a', limits, receiver);
    expect(await log.claim(3_600_000)).toMatchObject({ status: 'claimed' });
    await log.append({ data: 'a' }, {});
    await log.start('now');
    for (const key of ['claimed:{a}', 'claimed:{a}:log']) expect(await ttlOf(key)).toBeGreaterThan(3_500_000);
  });

  it('is kept for ever, from when `ttl` says so', async () => {
    for (const [ttl, isLong] of [
      ['1h', false],
      [Infinity, true],
    ] as const) {
      const backplane = redisBackplane({ url: redis.url, prefix: 'changed:', ttl });
      onTestFinished(() => backplane.close());
      await backplane.open('a', limits, receiver).append({ data: 'a' }, {});
      for (const key of ['changed:{a}', 'changed:{a}:log']) expect((await ttlOf(key)) === -1).toBe(isLong);
    }
  });

  it('takes an entry again whose first log was not kept', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'gone:' });
    onTestFinished(() => backplane.close());
    const log = backplane.open('a', limits, receiver);
    const once = { idempotencyKey: 'once' };
    const first = await log.append({ data: 'a' }, once);
    expect(await log.append({ data: 'a' }, once)).toBe(first);
    await redis.command('DEL', 'gone:{a}', 'gone:{a}:log');
    const second = await log.append({ data: 'a' }, once);
    expect(second).not.toBe(first);
    expect(await log.append({ data: 'a' }, once)).toBe(second);
    expect(await log.read(await log.start('earliest'), 9)).toMatchObject({ entries: [{ id: second }] });
  });

  it('knows the last batch of a process for as long as that may try again', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'patient:', wait: '1h' });
    onTestFinished(() => backplane.close());
    await backplane.open('a', limits, receiver).append({ data: 'a' }, {});
    const [, key = ''] = /(patient:\{a\}:writer:\w+)/.exec(await redis.command('KEYS', 'patient:*')) ?? [];
    expect(await ttlOf(key)).toBeGreaterThan(3_600_000);
  });

  it('is gone when none uses it, and kept while a process listens', async () => {
    const backplane = redisBackplane({ url: redis.url, prefix: 'short:', ttl: 1000 });
    onTestFinished(() => backplane.close());
    const listened = backplane.open('listened', limits, receiver);
    const id = await listened.append({ data: 'a' }, {});
    await listened.listen();
    const runs = Array.from({ length: 500 }, (_each, n) => backplane.open(`run ${String(n)}`, limits, receiver));
    await Promise.all(runs.map((log) => log.append({ data: 'a', isEnd: true }, {})));
    for (const log of runs) log.close();
    // The last batch of a writer is remembered for two minutes.
    const streams = async (): Promise<string[]> =>
      (await redis.command('KEYS', 'short:*:log')).split('\r\n').filter((line) => line.startsWith('short:'));
    expect(await streams()).toHaveLength(501);
    let left: string[] = [];
    await until(() => left.length === 1 || (void streams().then((now) => (left = now)), false));
    expect(left).toEqual(['short:{listened}:log']);
    expect(await listened.read(id, 5)).toMatchObject({ entries: [] });
    listened.close();
  });
});
