import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { loadPeer } from '../../internal/peer.ts';
import type { OnLost, RedisAdapter } from './adapter.ts';

const peerName: string = 'redis';

type Listener = (message: string) => void;
type Subscribe = (channel: string, listener: Listener) => Promise<unknown>;

interface CommandOptions {
  /** ms until the command is sent. Without it a command of a client that is away is sent when it is back. */
  readonly timeout: number;
  /** What the application maps is not for us. */
  readonly typeMapping: object;
}

/** What node-redis calls a client: of one server, or of a cluster. By shape: it may be another copy of the package. */
interface Emitter {
  on(event: string, listener: (error?: unknown) => void): unknown;
  off(event: string, listener: (error?: unknown) => void): unknown;
}

/** A client of one server: `createClient()`. */
export interface NodeRedisClient extends Emitter {
  readonly options?: { readonly socket?: object | undefined } | undefined;
  sendCommand(args: readonly string[], options: CommandOptions): Promise<unknown>;
  readonly subscribe: Subscribe;
  readonly unsubscribe: Subscribe;
  duplicate(overrides?: object): NodeRedisClient;
  connect(): Promise<unknown>;
  destroy(): void;
}

/** A client of a cluster: `createCluster()`. */
export interface NodeRedisCluster extends Emitter {
  readonly masters: readonly ClusterNode[];
  sendCommand(
    firstKey: string,
    isReadonly: boolean,
    args: readonly string[],
    options: CommandOptions,
  ): Promise<unknown>;
  readonly subscribe: Subscribe;
  readonly unsubscribe: Subscribe;
  readonly sSubscribe: Subscribe;
  readonly sUnsubscribe: Subscribe;
  duplicate(overrides?: object): NodeRedisCluster;
  connect(): Promise<unknown>;
  destroy(): void;
}

interface ClusterNode {
  readonly pubSub?: { readonly client: NodeRedisClient } | undefined;
}

interface Peer {
  readonly createClient: (options: object) => NodeRedisClient;
  readonly createCluster: (options: object) => NodeRedisCluster;
}

/** Who hears that a connection is lost, and who may give up the attempt to make it. */
interface Opening {
  readonly onLost: OnLost;
  readonly signal: AbortSignal;
}

/** How a client behaves that we made: what it cannot do now it says, and a connection that is lost is over. */
function ownOptions(socket: object | undefined, timeout: number, signal: AbortSignal): object {
  return {
    disableOfflineQueue: true,
    clientSideCache: undefined,
    pingInterval: undefined,
    commandsQueueMaxLength: undefined,
    // A client that is destroyed leaves a socket alone that is not connected yet. The signal ends that, too.
    socket: { ...socket, connectTimeout: timeout, reconnectStrategy: false, signal },
  };
}

/** Connects to a server, or to a cluster for a list. Rejects with `MissingPeerError`, or with why it failed. */
export async function connectTo(
  url: string | readonly string[],
  timeout: number,
  opening: Opening,
): Promise<RedisAdapter> {
  const { createClient, createCluster } = await loadPeer<Peer>(peerName, '`sluice/redis`');
  if (typeof url === 'string')
    return connectClient(createClient({ ...ownOptions(undefined, timeout, opening.signal), url }), timeout, opening);
  const rootNodes = url.map((each) => ({ url: each }));
  const defaults = clusterDefaults(url, timeout, opening.signal);
  return connectCluster(createCluster({ rootNodes, defaults }), timeout, opening);
}

/** How to log in to nodes that no URL names: a cluster tells of all its nodes, by their addresses alone. */
function clusterDefaults(urls: readonly string[], timeout: number, signal: AbortSignal): object {
  // All nodes have the one signal, and a cluster may have more of them than listeners are usual.
  setMaxListeners(0, signal);
  const parsed = urls.map((url) => new URL(url));
  const { username = '', password = '' } = parsed.find((url) => url.password !== '') ?? {};
  return {
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    socket: {
      connectTimeout: timeout,
      signal,
      ...(parsed.some(({ protocol }) => protocol === 'rediss:') && { tls: true }),
    },
  };
}

/** The adapter of a client that the application made and connected. */
export function adaptClient(client: NodeRedisClient | NodeRedisCluster, timeout: number): Promise<RedisAdapter> {
  if ('masters' in client) return adaptCluster(client, timeout);
  return Promise.resolve(new NodeRedisAdapter(client, timeout));
}

async function connectClient(
  client: NodeRedisClient,
  timeout: number,
  { onLost, signal }: Opening,
): Promise<RedisAdapter> {
  signal.throwIfAborted();
  client.on('error', onLost);
  client.on('end', () => onLost(new Error('The connection to Redis was closed')));
  await connect(client);
  return new NodeRedisAdapter(client, timeout);
}

async function connectCluster(
  cluster: NodeRedisCluster,
  timeout: number,
  { onLost, signal }: Opening,
): Promise<RedisAdapter> {
  signal.throwIfAborted();
  // Without a listener an error would be an exception of the process. Those of nodes come apart.
  cluster.on('error', onLost);
  cluster.on('node-error', onLost);
  signal.addEventListener('abort', () => destroy(cluster), { once: true });
  await connect(cluster);
  try {
    return await adaptCluster(cluster, timeout);
  } catch (error) {
    destroy(cluster);
    throw error;
  }
}

/** Redis before version 7 has no messages that stay on one node. */
async function adaptCluster(cluster: NodeRedisCluster, timeout: number): Promise<RedisAdapter> {
  const options = { timeout, typeMapping: {} };
  const reply = await cluster.sendCommand('sluice', true, ['COMMAND', 'INFO', 'SSUBSCRIBE'], options);
  const isSharded = Array.isArray(reply) && Array.isArray(reply[0]);
  return new ClusterAdapter(cluster, timeout, isSharded);
}

async function connect(client: NodeRedisClient | NodeRedisCluster): Promise<void> {
  try {
    await client.connect();
  } catch (error) {
    destroy(client);
    throw error;
  }
}

function destroy(client: NodeRedisClient | NodeRedisCluster): void {
  try {
    client.destroy();
  } catch {
    // It was closed already.
  }
}

class NodeRedisAdapter implements RedisAdapter {
  readonly #client: NodeRedisClient;
  readonly #timeout: number;
  readonly #options: CommandOptions;

  constructor(client: NodeRedisClient, timeout: number) {
    this.#client = client;
    this.#timeout = timeout;
    this.#options = { timeout, typeMapping: {} };
  }

  eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return runScript((command) => this.#client.sendCommand(command, this.#options), script, keys, args);
  }

  ping(): Promise<unknown> {
    return this.#client.sendCommand(['PING'], this.#options);
  }

  async subscribe(channel: string, listener: Listener): Promise<() => Promise<unknown>> {
    await this.#client.subscribe(channel, listener);
    return () => this.#client.unsubscribe(channel, listener);
  }

  duplicate(onLost: OnLost, signal: AbortSignal): Promise<RedisAdapter> {
    const options = ownOptions(this.#client.options?.socket, this.#timeout, signal);
    return connectClient(this.#client.duplicate(options), this.#timeout, { onLost, signal });
  }

  close(): void {
    destroy(this.#client);
  }
}

/** A cluster: each key has its node, and messages of a channel stay on the node of its keys. */
class ClusterAdapter implements RedisAdapter {
  readonly isSharded: boolean;
  readonly #cluster: NodeRedisCluster;
  readonly #timeout: number;
  readonly #options: CommandOptions;

  constructor(cluster: NodeRedisCluster, timeout: number, isSharded: boolean) {
    this.#cluster = cluster;
    this.#timeout = timeout;
    this.#options = { timeout, typeMapping: {} };
    this.isSharded = isSharded;
  }

  eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const [firstKey = ''] = keys;
    return runScript(
      (command) => this.#cluster.sendCommand(firstKey, false, command, this.#options),
      script,
      keys,
      args,
    );
  }

  /** The connections with subscriptions: those for commands find their way to another node themselves. */
  ping(): Promise<unknown> {
    const clients = this.#cluster.masters.flatMap(({ pubSub }) => pubSub?.client ?? []);
    return Promise.all(clients.map((client) => client.sendCommand(['PING'], this.#options)));
  }

  async subscribe(channel: string, listener: Listener): Promise<() => Promise<unknown>> {
    if (this.isSharded) {
      await this.#cluster.sSubscribe(channel, listener);
      return () => this.#cluster.sUnsubscribe(channel, listener);
    }
    await this.#cluster.subscribe(channel, listener);
    return () => this.#cluster.unsubscribe(channel, listener);
  }

  duplicate(onLost: OnLost, signal: AbortSignal): Promise<RedisAdapter> {
    return connectCluster(this.#cluster.duplicate({ minimizeConnections: true }), this.#timeout, { onLost, signal });
  }

  close(): void {
    destroy(this.#cluster);
  }
}

const digests = new Map<string, string>();

/** `EVALSHA`, and `EVAL` where Redis does not know the script: the text of a script is twenty times an event. */
async function runScript(
  send: (command: readonly string[]) => Promise<unknown>,
  script: string,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  let digest = digests.get(script);
  if (digest === undefined) digests.set(script, (digest = createHash('sha1').update(script).digest('hex')));
  try {
    return await send(['EVALSHA', digest, String(keys.length), ...keys, ...args]);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return send(['EVAL', script, String(keys.length), ...keys, ...args]);
  }
}
