import { afterAll, beforeAll, describe, it } from 'vitest';
import { backplaneChecks } from '../../src/conformance/index.ts';
import { redisBackplane } from '../../src/redis/index.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';

describe('a backplane on one Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  for (const { name, run } of backplaneChecks((space) => redisBackplane({ url: redis.url, prefix: `${space}:` })))
    it(name, run);
});
