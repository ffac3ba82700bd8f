import { freePort, type RedisServer, startRedis } from './redis-server.ts';

/** Three masters, and a replica of the first. */
export interface RedisCluster {
  readonly masters: readonly RedisServer[];
  readonly replica: RedisServer;
  readonly urls: readonly string[];
  /** The master that has a key. */
  masterOf(key: string): Promise<RedisServer>;
  stop(): Promise<void>;
}

const slots = [
  [0, 5461],
  [5462, 10922],
  [10923, 16383],
] as const;

export async function startRedisCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all(Array.from({ length: 4 }, startNode));
  const [first, , , replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer];
  const masters = nodes.slice(0, 3);
  for (const [index, [from, to]] of slots.entries())
    await masters[index]!.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
  for (const [index, node] of nodes.entries()) {
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
    const busPort = String(portOf(first));
    if (index > 0) await node.command('CLUSTER', 'MEET', '127.0.0.1', String(first.port), busPort);
  }
  const id = (await first.command('CLUSTER', 'MYID')).split('\r\n')[1] ?? '';
  await eventually(async () => (await replica.command('CLUSTER', 'NODES')).includes(id));
  await eventually(async () => (await replica.command('CLUSTER', 'REPLICATE', id)).startsWith('+OK'));
  for (const node of nodes)
    await eventually(async () => {
      const [info, known] = [await node.command('CLUSTER', 'INFO'), await node.command('CLUSTER', 'NODES')];
      return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:4') && known.includes('slave');
    });
  await eventually(async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'));
  return {
    masters,
    replica,
    urls: masters.map(({ url }) => url),
    async masterOf(key) {
      const slot = Number((await first.command('CLUSTER', 'KEYSLOT', key)).slice(1));
      return masters[slots.findIndex(([, to]) => slot <= to)]!;
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

const busPorts = new WeakMap<RedisServer, number>();
const portOf = (server: RedisServer): number => busPorts.get(server)!;

async function startNode(): Promise<RedisServer> {
  // The default is 10,000 above the other, which may be above all ports.
  const busPort = await freePort();
  const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '1000'];
  const server = await startRedis(...settings, '--repl-diskless-sync-delay', '0');
  busPorts.set(server, busPort);
  return server;
}

async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error('the cluster did not come up');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
