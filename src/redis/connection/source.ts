import { reportRedisError } from '../events.ts';
import type { Open, RedisAdapter } from './adapter.ts';
import { adaptClient, connectTo, type NodeRedisClient, type NodeRedisCluster } from './node-redis.ts';

export type Source = string | readonly string[] | NodeRedisClient | NodeRedisCluster | RedisAdapter;

/** Where connections come from. */
export interface OpenSource {
  readonly commands: Open;
  readonly subscriptions: Open;
  /** Leaves the client of the application as it was. */
  readonly close: () => void;
}

export function openSource(source: Source, timeout: number): OpenSource {
  if (typeof source === 'string' || Array.isArray(source)) {
    const open: Open = (onLost, signal) => connectTo(source as string | readonly string[], timeout, { onLost, signal });
    return { commands: open, subscriptions: open, close: () => undefined };
  }
  const client = source as NodeRedisClient | NodeRedisCluster | RedisAdapter;
  const isNode = isNodeRedis(client);
  // An error without a listener would end the process.
  if (isNode) client.on('error', reportRedisError);
  const adapter = async (): Promise<RedisAdapter> => (isNode ? adaptClient(client, timeout) : client);
  const duplicate: Open = async (onLost, signal) => (await adapter()).duplicate(onLost, signal);
  let isUsed = false;
  return {
    // The client of the application comes first. When it does not answer, a duplicate takes its place.
    commands: async (onLost, signal) => {
      if (isUsed) return duplicate(onLost, signal);
      isUsed = true;
      return borrow(await adapter());
    },
    subscriptions: duplicate,
    close: () => {
      if (isNode) client.off('error', reportRedisError);
    },
  };
}

/** Whether it is a client of node-redis 5 or later. */
export function isNodeRedis(value: object): value is NodeRedisClient | NodeRedisCluster {
  const names = ['sendCommand', 'subscribe', 'unsubscribe', 'duplicate', 'connect', 'destroy'];
  return !isSentinel(value) && hasMethods(value, names);
}

export function isAdapter(value: object): value is RedisAdapter {
  return !isSentinel(value) && hasMethods(value, ['eval', 'ping', 'subscribe', 'duplicate', 'close']);
}

/** Its methods have the names of the others, and take other arguments. It changes servers without a word. */
function isSentinel(value: object): boolean {
  return 'getSentinelNode' in value;
}

function hasMethods(value: object, names: readonly string[]): boolean {
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

/** The adapter without its `close`: the connection belongs to the application. */
function borrow(adapter: RedisAdapter): RedisAdapter {
  return {
    eval: (script, keys, args) => adapter.eval(script, keys, args),
    ping: () => adapter.ping(),
    subscribe: (channel, listener) => adapter.subscribe(channel, listener),
    duplicate: (onLost, signal) => adapter.duplicate(onLost, signal),
    close: () => undefined,
    isSharded: adapter.isSharded,
  };
}
