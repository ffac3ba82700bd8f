import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { ChannelLog, LogPage } from '../../src/channel/log/backplane.ts';
import { subscribe } from '../../src/index.ts';
import { redisBackplane } from '../../src/redis/index.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';
import { codesOf, expectNothingLost, logOf, publishThrough, startInstances, textsOf } from './storm.ts';

// Redis in trouble, while events are published and clients listen, on two instances.

const unavailable = ['ERR_SLUICE_BACKPLANE_UNAVAILABLE'];
// Publishers that do not wait have been told of the trouble, and it lasts for longer than a ping and its answer.
const told = 60;

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

// Connections that are lost are reported. These tests look at what clients get.
let undo = (): void => undefined;
beforeAll(() => {
  undo = subscribe('sluice:redis:error', () => undefined);
});
afterAll(() => undo());

it('Redis is killed and started again with its log: nothing is lost, publishers waited or were told', async () => {
  const instances = await startInstances('killed', { url: redis.url });
  const published = await publishThrough(instances, async ({ failed }) => {
    await redis.signal('SIGKILL');
    await until(() => failed.length > told);
    await redis.start();
  });
  expect(codesOf(published.failed)).toEqual(unavailable);
  await expectNothingLost(await logOf('killed', { url: redis.url }), instances, published);
});

it('Redis stands still: nothing is lost', async () => {
  const instances = await startInstances('still', { url: redis.url });
  const published = await publishThrough(instances, async ({ failed }) => {
    await redis.signal('SIGSTOP');
    await until(() => failed.length > told);
    await redis.signal('SIGCONT');
  });
  expect(codesOf(published.failed)).toEqual(unavailable);
  await expectNothingLost(await logOf('still', { url: redis.url }), instances, published);
});

it('the network goes dark: nothing is lost, and the connections are replaced', async () => {
  const proxy = await startTcpProxy(redis.port);
  onTestFinished(() => proxy.close());
  const instances = await startInstances('dark', { url: `redis://127.0.0.1:${String(proxy.port)}` });
  const published = await publishThrough(instances, async ({ failed }) => {
    proxy.darken();
    await until(() => failed.length > told);
    proxy.lighten();
  });
  expect(codesOf(published.failed)).toEqual(unavailable);
  await expectNothingLost(await logOf('dark', { url: redis.url }), instances, published);
});

it('the answers to events are lost: each is in the log once', async () => {
  const proxy = await startTcpProxy(redis.port);
  onTestFinished(() => proxy.close());
  const instances = await startInstances('unanswered', { url: `redis://127.0.0.1:${String(proxy.port)}` });
  const published = await publishThrough(instances, async () => {
    // The answer to an append is a list with an id. Live messages are on other connections.
    for (let count = 0; count < 5; count++)
      await proxy.loseReply((data) => /^\*1\r\n\$\d+\r\n[0-9a-z]+-\d+\r\n$/.test(String(data)));
  });
  const log = await logOf('unanswered', { url: redis.url });
  await expectNothingLost(log, instances, published);
  // An event of the instance that does not wait may be in the log although its publisher was told of an error.
  expect(log.length).toBeGreaterThanOrEqual(published.confirmed.length);
  expect(codesOf(published.failed).every((code) => unavailable.includes(code))).toBe(true);
});

it('Redis comes back with an older log: every client is told of a reset, and gets what comes from then on', async () => {
  const forgetful = await startRedis('--appendonly', 'no');
  onTestFinished(() => forgetful.stop());
  const options = { url: forgetful.url };
  const instances = await startInstances('older', options);
  const published = await publishThrough(instances, async ({ confirmed, failed }) => {
    await forgetful.command('SAVE');
    const saved = confirmed.length;
    await until(() => confirmed.length > saved + 20);
    await forgetful.signal('SIGKILL');
    await until(() => failed.length > 10);
    await forgetful.start();
  });
  const log = await logOf('older', options);
  for (const visitor of instances.flatMap(({ visitors }) => visitors)) {
    await visitor.over;
    const texts = textsOf(visitor);
    const reset = texts.indexOf('sluice.reset');
    expect(reset).toBeGreaterThan(0);
    const after = texts.slice(texts.lastIndexOf('sluice.reset') + 1);
    expect(after.length).toBeGreaterThan(50);
    expect(after).toEqual(log.slice(-after.length));
  }
  expect(codesOf(published.failed)).toEqual(unavailable);
});

it('Redis comes back with an older log, and others publish first: a process that was away is told of a reset', async () => {
  const forgetful = await startRedis('--appendonly', 'no');
  onTestFinished(() => forgetful.stop());
  const proxy = await startTcpProxy(forgetful.port);
  onTestFinished(() => proxy.close());
  const [away, there] = [proxy.port, forgetful.port].map((port) => {
    const backplane = redisBackplane({ url: `redis://127.0.0.1:${String(port)}`, timeout: 300, ping: 300, wait: '1m' });
    onTestFinished(() => backplane.close());
    const got: (string | undefined)[] = [];
    const log = backplane.open('numbers', limits, {
      entries: (list) => void got.push(...list.map(({ data }) => data)),
      lost: () => void got.push('lost'),
    });
    return { log, got };
  }) as [OpenLog, OpenLog];
  await away.log.listen();
  const ids: string[] = [];
  for (const data of ['1', '2']) ids.push(await away.log.append({ data }, {}));
  const kept = await there.log.append({ data: '3' }, {});
  await forgetful.command('SAVE');
  for (const data of ['4', '5']) ids.push(await away.log.append({ data }, {}));
  await until(() => away.got.length === 5);
  proxy.darken();
  await forgetful.signal('SIGKILL');
  await forgetful.start();
  // As many as are lost, and one more: numbers alone show no gap.
  for (const data of ['four', 'five', 'six']) await there.log.append({ data }, {});
  proxy.lighten();
  await until(() => away.got.includes('six'));
  expect(away.got).toEqual(['1', '2', '3', '4', '5', 'lost', 'four', 'five', 'six']);
  // A client that has what Redis kept reads on. One that has more is told.
  expect(dataOf(await there.log.read(kept, 9))).toEqual(['four', 'five', 'six']);
  expect(dataOf(await there.log.read(ids[0]!, 9))).toEqual(['2', '3', 'four', 'five', 'six']);
  expect(await there.log.read(ids[2]!, 9)).toEqual({ lost: 'unknown-id' });
  expect(await there.log.read(ids[3]!, 9)).toEqual({ lost: 'unknown-id' });
});

const limits = { count: 100, bytes: 1e6 };

interface OpenLog {
  readonly log: ChannelLog;
  readonly got: (string | undefined)[];
}

const dataOf = (page: LogPage): unknown => page.lost ?? page.entries.map(({ data }) => data);
