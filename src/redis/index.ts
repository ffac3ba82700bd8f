import type { Backplane } from '../channel/log/backplane.ts';
import { RedisBackplane } from './backplane.ts';
import { type RedisBackplaneOptions, resolveRedisOptions } from './options.ts';

export { BackplaneUnavailableError, InvalidOptionError, MissingPeerError } from '../errors.ts';
export type { Backplane } from '../channel/log/backplane.ts';
export type { RedisAdapter } from './connection/adapter.ts';
export type { RedisConnectionMessage, RedisErrorMessage } from './events.ts';
export type { RedisBackplaneOptions } from './options.ts';
export type { NamedProfiles, RedisSwitchOptions } from './switch/options.ts';
export { redisSwitch, type RedisSwitch } from './switch/redis-switch.ts';

/**
 * Makes a backplane in Redis: `createChannel({ name, backplane: redisBackplane({ url: 'redis://localhost' }) })`.
 * Channels of one name are one channel in all processes that share the Redis. Needs the package `redis`. Throws
 * `InvalidOptionError`.
 */
export function redisBackplane(options: RedisBackplaneOptions): Backplane {
  return new RedisBackplane(resolveRedisOptions(options));
}
