import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { DrainReport, LifecycleOptions } from '../../src/lifecycle/index.ts';

/** How a process ended, and what it said. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** Of its drain, if it had one. */
  readonly report: DrainReport | undefined;
}

/** The service of `fixtures/service.js`, as a process of its own. */
export interface Service {
  readonly child: ChildProcess;
  readonly port: number;
  readonly http2Port: number;
  readonly exit: Promise<Exit>;
  /** What it has written so far. */
  readonly lines: readonly string[];
  kill(signal: NodeJS.Signals): void;
}

const script = fileURLToPath(new URL('fixtures/service.js', import.meta.url));

/** Runs the service for one test. */
export async function startService(options: LifecycleOptions, env: Record<string, string> = {}): Promise<Service> {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...env, LIFECYCLE: JSON.stringify(options) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => {
    child.kill('SIGKILL');
  };
  // Also when the test process is stopped before it can clean up.
  process.once('exit', end);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const lines: string[] = [];
  const reader = createInterface(child.stdout);
  const first = once(reader, 'line').then(
    ([line]) => JSON.parse(line as string) as { port: number; http2Port: number },
  );
  reader.on('line', (line) => lines.push(line));
  const exit = once(child, 'close').then(([code, signal]): Exit => {
    process.off('exit', end);
    return { code, signal, stderr, report: lines[1] === undefined ? undefined : (JSON.parse(lines[1]) as DrainReport) };
  });
  onTestFinished(async () => {
    end();
    await exit;
  });
  const ports = await Promise.race([
    first,
    exit.then((ended) => Promise.reject(new Error(`The service ended: ${ended.stderr}`))),
  ]);
  return { child, ...ports, exit, lines, kill: (signal) => void child.kill(signal) };
}

/** A load balancer of the simplest kind: passes new connections on to where it points. */
export interface TcpSwitch {
  readonly port: number;
  pointTo(port: number): void;
}

export async function startSwitch(target: number): Promise<TcpSwitch> {
  let port = target;
  const open = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return { port: (server.address() as net.AddressInfo).port, pointTo: (next) => void (port = next) };
}
