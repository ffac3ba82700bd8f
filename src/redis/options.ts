import { InvalidOptionError } from '../errors.ts';
import {
  type Duration,
  type OptionAdvice,
  type OptionNames,
  readDuration,
  readInteger,
  readOptions,
  readSize,
  refuseWhen,
  type Size,
} from '../internal/option.ts';
import { longestDelay } from '../internal/time/clock.ts';
import type { RedisAdapter } from './connection/adapter.ts';
import type { NodeRedisClient, NodeRedisCluster } from './connection/node-redis.ts';
import { isAdapter, isNodeRedis, type Source } from './connection/source.ts';

/** Options of `redisBackplane`. One of `url` and `client` is needed. */
export interface RedisBackplaneOptions {
  /**
   * Where Redis is: `redis://user:password@host:6379/0`, `rediss://` with TLS. Several: nodes of a cluster. The
   * connections are made when they are needed, and closed by `close()`. @defaultValue none
   */
  url?: string | readonly string[] | undefined;
  /**
   * A client of node-redis, connected: `createClient()` or `createCluster()`. It is used for commands. Subscriptions go
   * through a duplicate of it. `close()` leaves it open. Other clients need an adapter of five methods.
   * @defaultValue none
   */
  client?: NodeRedisClient | NodeRedisCluster | RedisAdapter | undefined;
  /**
   * Entries that are kept of each channel, at most. The `history` of a channel may keep fewer.
   * @defaultValue `Infinity`: as many as `history` says
   */
  maxLength?: number | undefined;
  /**
   * Bytes of names and data that are kept of each channel, at most. The `history` of a channel may keep fewer.
   * @defaultValue `Infinity`: as many as `history` says
   */
  maxBytes?: Size | undefined;
  /**
   * How long a log is kept after its last entry, or after the last process with clients has left it. Milliseconds or a
   * string for `ms`, at least 1000. `Infinity`: for ever. @defaultValue `'1h'`
   */
  ttl?: Duration | undefined;
  /** What the names of all keys begin with. No braces: they are for the hash tag. @defaultValue `'sluice:'` */
  prefix?: string | undefined;
  /**
   * How long `publish` waits for a Redis that is away, and tries again. 0: it rejects at once. Milliseconds or a string
   * for `ms`. @defaultValue `0`
   */
  wait?: Duration | undefined;
  /**
   * Bytes of events that wait to be sent, at most. Further ones are rejected. 1 kB = 1,024 bytes.
   * @defaultValue `'16mb'`
   */
  maxWaiting?: Size | undefined;
  /** How long an answer of Redis may take before the connection is replaced. Milliseconds or a string for `ms`, at
   * least 100. @defaultValue `'5s'`
   */
  timeout?: Duration | undefined;
  /**
   * How often a connection is pinged. A dark one is found within `ping` plus `timeout`. Milliseconds or a string for
   * `ms`, at least 100. @defaultValue `'5s'`
   */
  ping?: Duration | undefined;
}

export interface ResolvedRedisOptions {
  readonly source: Source;
  readonly maxLength: number;
  readonly maxBytes: number;
  readonly ttl: number;
  readonly prefix: string;
  readonly wait: number;
  readonly maxWaiting: number;
  readonly timeout: number;
  readonly ping: number;
}

const names: OptionNames<RedisBackplaneOptions> = {
  url: true,
  client: true,
  maxLength: true,
  maxBytes: true,
  ttl: true,
  prefix: true,
  wait: true,
  maxWaiting: true,
  timeout: true,
  ping: true,
};

const advice: OptionAdvice = {
  single: 'url',
  call: "redisBackplane({ url: 'redis://localhost' })",
  instead: {
    host: 'url',
    redis: 'client',
    keyPrefix: 'prefix',
    maxlen: 'maxLength',
    retry: 'wait',
    pingInterval: 'ping',
    expire: 'ttl',
    history: 'Say for each channel what it keeps: `createChannel({ history })`.',
  },
};

/** Fills in defaults and checks. Throws `InvalidOptionError`. */
export function resolveRedisOptions(given: RedisBackplaneOptions | undefined): ResolvedRedisOptions {
  const owner = 'redisBackplane';
  const options = readOptions(owner, given, names, advice);
  return {
    ...readConnection(owner, options),
    maxLength: readLength(`${owner}.maxLength`, options.maxLength ?? Infinity),
    maxBytes: readSize(`${owner}.maxBytes`, options.maxBytes ?? Infinity, { max: Infinity }),
    ttl: readDuration(`${owner}.ttl`, options.ttl ?? '1h', { min: 1000, max: Infinity }),
    wait: readDuration(`${owner}.wait`, options.wait ?? 0, { max: longestDelay }),
    maxWaiting: readSize(`${owner}.maxWaiting`, options.maxWaiting ?? '16mb'),
  };
}

type ConnectionOptions = Pick<RedisBackplaneOptions, 'url' | 'client' | 'prefix' | 'timeout' | 'ping'>;

/** What the switch and the backplane say alike of their connections. Throws `InvalidOptionError`. */
export function readConnection(
  owner: string,
  options: ConnectionOptions,
): Pick<ResolvedRedisOptions, 'source' | 'prefix' | 'timeout' | 'ping'> {
  return {
    source: readSource(owner, options),
    prefix: readPrefix(`${owner}.prefix`, options.prefix ?? 'sluice:'),
    timeout: readDuration(`${owner}.timeout`, options.timeout ?? '5s', { min: 100, max: longestDelay }),
    ping: readDuration(`${owner}.ping`, options.ping ?? '5s', { min: 100, max: longestDelay }),
  };
}

/** Reads where Redis is. Throws `InvalidOptionError`. */
function readSource(owner: string, { url, client }: Partial<Pick<RedisBackplaneOptions, 'url' | 'client'>>): Source {
  refuseWhen(url === undefined && client === undefined, owner, 'needs a `url` or a `client`');
  refuseWhen(url !== undefined && client !== undefined, `${owner}.client`, 'cannot be given with a `url`');
  if (client !== undefined) {
    const isObject = typeof client === 'object' && (client as unknown) !== null;
    if (isObject && (isNodeRedis(client) || isAdapter(client))) return client;
    throw new InvalidOptionError(`${owner}.client`, 'a client of node-redis 5 or 6, or an adapter of another', client);
  }
  // Without the value: it may hold a password.
  const urls = typeof url === 'string' ? [url] : url;
  if (!Array.isArray(urls) || urls.length === 0 || !urls.every(isRedisUrl))
    throw new InvalidOptionError(`${owner}.url`, {
      sentence: 'is not the URL of a Redis, such as "redis://localhost:6379", or a list of them',
    });
  return typeof url === 'string' ? url : urls;
}

function isRedisUrl(url: unknown): boolean {
  return typeof url === 'string' && URL.canParse(url) && ['redis:', 'rediss:'].includes(new URL(url).protocol);
}

function readLength(option: string, value: number): number {
  return value === Infinity ? value : readInteger(option, value);
}

/** Reads what the names of keys begin with. Throws `InvalidOptionError`. */
function readPrefix(option: string, value: unknown): string {
  if (typeof value !== 'string' || /[{}]/.test(value))
    throw new InvalidOptionError(option, 'a string without braces', value);
  return value;
}
