import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastingPort } from './lasting-port.ts';

/** Whether tests have to be left out for lack of NATS, which is said. Never, where everything is required. */
export function lacksNats(tests: string): boolean {
  const lacks =
    spawnSync('nats-server', ['--version']).error !== undefined && process.env['SLUICE_REQUIRE_ALL'] !== '1';
  if (lacks) console.warn(`Skipped, ${tests}: there is no nats-server; install the package nats-server`);
  return lacks;
}

/** A NATS of a test with JetStream, on a port of its own, which keeps its streams in files. */
export interface NatsServer {
  readonly port: number;
  readonly url: string;
  /** Kills it, and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again, with the same files. */
  start(): Promise<void>;
  /** Ends it, and removes its files. */
  stop(): Promise<void>;
}

export async function startNats(): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-nats-'));
  const port = await lastingPort();
  let child: ChildProcess | undefined;
  const server: NatsServer = {
    port,
    url: `nats://127.0.0.1:${String(port)}`,
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
    async start() {
      const args = ['--addr', '127.0.0.1', '--port', String(port), '--jetstream', '--store_dir', folder];
      child = spawn('nats-server', args, { stdio: 'ignore' });
      const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
      failed.catch(() => undefined);
      while (!(await Promise.race([greets(port), failed]))) {
        if (child.exitCode !== null) throw new Error(`nats-server has ended with ${String(child.exitCode)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Whether a NATS says who it is, which it does by itself. */
async function greets(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    for await (const chunk of socket) return String(chunk).startsWith('INFO ');
    return false;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
