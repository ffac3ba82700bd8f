import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { backplaneChecks } from '../../src/conformance/index.ts';
import { subscribe } from '../../src/index.ts';
import { redisBackplane, redisSwitch, type RedisSwitch } from '../../src/redis/index.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { freePort, startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';
import { logOf, publishThrough, startInstances, textsOf } from './storm.ts';

describe('a backplane on a cluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(() => cluster.stop());

  for (const { name, run } of backplaneChecks((space) => redisBackplane({ url: cluster.urls, prefix: `${space}:` })))
    it(name, run);

  it.each(['a', 'b', 'c', 'd', 'e'])('the switch `%s` sets all instances, on any node', async (name) => {
    const [one, other, late] = Array.from({ length: 3 }, () =>
      redisSwitch({ url: cluster.urls, name, profiles: { normal: {}, cheap: {} } }),
    ) as [RedisSwitch, RedisSwitch, RedisSwitch];
    onTestFinished(() => [one, other, late].forEach((each) => each.close()));
    await Promise.all([one.ready, other.ready]);
    await one.swap('cheap');
    await one.disable();
    await late.ready;
    for (const each of [one, other, late]) await until(() => !each.enabled && each.profile.name === 'cheap');
  });

  it('a node fails over: nothing is lost, or clients are told of a reset', async () => {
    onTestFinished(subscribe('sluice:redis:error', () => undefined));
    const options = { url: cluster.urls };
    let name = 'failover';
    while ((await cluster.masterOf(`sluice:{${name}}`)) !== cluster.masters[0]) name += 'x';
    const instances = await startInstances(name, options);
    const published = await publishThrough(instances, async () => {
      await cluster.masters[0]!.signal('SIGKILL');
    });
    const log = await logOf(name, { url: cluster.urls.slice(1) });
    for (const visitor of instances.flatMap(({ visitors }) => visitors)) {
      await visitor.over;
      const texts = textsOf(visitor);
      const after = texts.slice(texts.lastIndexOf('sluice.reset') + 1);
      expect(after.length).toBeGreaterThan(50);
      expect(after).toEqual(log.slice(-after.length));
      if (!texts.includes('sluice.reset')) expect(texts).toEqual(log);
    }
    expect(new Set(log).size).toBe(log.length);
    expect(published.confirmed.length).toBeGreaterThan(100);
  });
});

it('a cluster with a password: it counts for the nodes that no URL names', async () => {
  const node = await startRedis('--cluster-enabled', 'yes', '--cluster-port', String(await freePort()));
  onTestFinished(() => node.stop());
  await node.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await node.command('CONFIG', 'SET', 'requirepass', 'p@ss word');
  const backplane = redisBackplane({ url: [node.url.replace('//', '//default:p%40ss%20word@')], wait: '1m' });
  onTestFinished(() => backplane.close());
  const log = backplane.open('a', { count: 5, bytes: 1000 }, { entries: () => undefined, lost: () => undefined });
  const id = await log.append({ data: 'a' }, {});
  expect(await log.start('now')).toBe(id);
});
