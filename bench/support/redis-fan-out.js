// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from 'redis';
import { redisBackplane } from 'sluice/redis';

/** @typedef {'sluice' | 'xread'} Way */

const limits = { count: 1000, bytes: 1_000_000 };
// Of each audience its own: a read of all channels begins with the first entry.
const channelName = (/** @type {number} */ count, /** @type {number} */ index) => `channel-${count}-${index}`;

/** Milliseconds, the same in all processes of the machine. */
export const now = () => performance.timeOrigin + performance.now();

/** A Redis that writes nothing to a disk, on a port of its own. It ends with this process. */
export async function startRedis() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  );
  const failed = once(child, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => undefined);
  process.once('exit', () => child.kill('SIGKILL'));
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  // It tries until the server is there.
  client.on('error', () => undefined);
  await Promise.race([client.connect(), failed]);
  return { url: `redis://127.0.0.1:${port}`, client };
}

/**
 * A process with clients on channels, and its Redis.
 * @param {Way} way
 */
export async function serveSubscriber(way) {
  const { url, client } = await startRedis();
  /** @type {number[]} */
  let latencies = [];
  const note = (/** @type {string} */ sentAt) => void latencies.push(now() - Number(sentAt));
  const { listen, unlisten } = way === 'sluice' ? listenByChannel(url, note) : listenByRead(client, note);
  return {
    app: () => undefined,
    calls: {
      url: () => url,
      listen,
      unlisten,
      /** Waits for so many events, and returns how long each took, in ms. */
      async arrived(/** @type {number} */ count) {
        while (latencies.length < count) await delay(5);
        const all = latencies;
        latencies = [];
        return all;
      },
      /** µs of CPU that Redis used so far. */
      async redisCpu() {
        const info = await client.info('cpu');
        const seconds = (/** @type {string} */ name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
        return 1e6 * (seconds('used_cpu_user') + seconds('used_cpu_sys'));
      },
      subscriptions: async () => (await client.pubSubChannels()).length,
    },
  };
}

/**
 * @param {string} url
 * @param {(sentAt: string) => void} note
 */
function listenByChannel(url, note) {
  const backplane = redisBackplane({ url });
  /** @type {ReturnType<typeof backplane.open>[]} */
  let logs = [];
  const receiver = {
    entries: (/** @type {readonly { data?: string | undefined }[]} */ list) => {
      for (const { data = '' } of list) note(data);
    },
    lost: () => undefined,
  };
  return {
    async listen(/** @type {number} */ count) {
      logs = Array.from({ length: count }, (_, index) => backplane.open(channelName(count, index), limits, receiver));
      await Promise.all(logs.map((log) => log.listen()));
    },
    unlisten() {
      for (const log of logs) {
        log.unlisten();
        log.close();
      }
    },
  };
}

/**
 * One read that waits for all channels.
 * @param {import('redis').RedisClientType<any, any, any, any, any>} client
 * @param {(sentAt: string) => void} note
 */
function listenByRead(client, note) {
  /** @type {typeof client | undefined} */
  let reader;
  return {
    async listen(/** @type {number} */ count) {
      const connection = client.duplicate();
      connection.on('error', () => undefined);
      await connection.connect();
      reader = connection;
      const streams = Array.from({ length: count }, (_, index) => ({ key: channelName(count, index), id: '0' }));
      const byKey = new Map(streams.map((stream) => [stream.key, stream]));
      void read().catch(() => undefined);
      async function read() {
        while (reader === connection) {
          const answer = /** @type {any[] | null} */ (await connection.xRead(streams, { BLOCK: 0, COUNT: 1000 }));
          for (const { name, messages } of answer ?? []) {
            for (const { id, message } of messages) {
              /** @type {{ id: string }} */ (byKey.get(name)).id = id;
              note(message.data);
            }
          }
        }
      }
    },
    unlisten() {
      reader?.destroy();
      reader = undefined;
    },
  };
}

/**
 * A process that publishes.
 * @param {Way} way
 * @param {string} url
 */
export async function openPublisher(way, url) {
  if (way === 'sluice') {
    const backplane = redisBackplane({ url });
    const receiver = { entries: () => undefined, lost: () => undefined };
    const logs = new Map();
    return async (/** @type {number} */ count, /** @type {number} */ index) => {
      const name = channelName(count, index);
      const log = logs.get(name) ?? backplane.open(name, limits, receiver);
      logs.set(name, log);
      await log.append({ data: String(now()) }, {});
    };
  }
  const client = createClient({ url });
  client.on('error', () => undefined);
  await client.connect();
  const trim = /** @type {const} */ ({ TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: limits.count } });
  return async (/** @type {number} */ count, /** @type {number} */ index) => {
    await client.xAdd(channelName(count, index), '*', { data: String(now()) }, trim);
  };
}
