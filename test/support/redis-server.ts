import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A Redis of a test, on a port of its own, with an append-only file. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Runs a command, as text on a connection of its own, and gives the reply as Redis writes it. */
  command(...words: string[]): Promise<string>;
  /** Sends it a signal. A killed one is gone when the promise resolves. */
  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
  /** Starts it again, with the same files. */
  start(): Promise<void>;
  /** Ends it, and removes its files. */
  stop(): Promise<void>;
}

/** @param settings - of `redis.conf`, as arguments: `['--maxmemory', '1mb']` */
export async function startRedis(...settings: string[]): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-redis-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${String(port)}`,
    command: (...words) => ask(port, words),
    async signal(name) {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = name === 'SIGKILL' ? once(child, 'exit') : undefined;
      child.kill(name);
      await gone;
    },
    async start() {
      const args = [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--dir',
        folder,
        '--save',
        '',
        '--appendonly',
        'yes',
      ];
      child = spawn('redis-server', [...args, ...settings], { stdio: 'ignore' });
      const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
      failed.catch(() => undefined);
      const isReady = async (): Promise<boolean> => (await ask(port, ['PING']).catch(() => '')).startsWith('+PONG');
      while (!(await Promise.race([isReady(), failed]))) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    async stop() {
      // A stopped process takes no other signal.
      await server.signal('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Ports that are free now. Another process may take one before it is used: a test then fails with a message. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function ask(port: number, words: readonly string[]): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    const parts = words.map((word) => `$${String(Buffer.byteLength(word))}\r\n${word}\r\n`);
    socket.write(`*${String(words.length)}\r\n${parts.join('')}*1\r\n$4\r\nQUIT\r\n`);
    let reply = '';
    for await (const chunk of socket) reply += String(chunk);
    return reply.replace(/\+OK\r\n$/, '');
  } finally {
    socket.destroy();
  }
}
