// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const missing =
  'There is no redis-server on this machine. Install it (Debian, Ubuntu: apt-get install redis-server; ' +
  'macOS: brew install redis), or set REDIS_URL to one that runs: REDIS_URL=redis://localhost:6379';

/**
 * The Redis at `url`; without one, a Redis of this program's own. It writes each command to a file before it answers, so
 * that it loses nothing when it is killed.
 *
 * @param {string | undefined} url
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function startRedis(url) {
  if (url) return { url, stop: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-'));
  const port = await freePort();
  const child = spawn(
    'redis-server',
    [
      ...['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--loglevel', 'warning'],
      ...['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'],
    ],
    // In a group of its own: Ctrl+C reaches the instances first.
    { stdio: 'ignore', detached: true },
  );
  const exit = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await exit;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await once(child, 'spawn');
  } catch (error) {
    exit.catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw isMissing ? Object.assign(new Error(missing), { code: error.code }) : error;
  }
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server has ended with ${child.exitCode}`);
    await sleep(20);
  }
  return { url: `redis://127.0.0.1:${port}`, stop };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address ? address.port : 0;
}

/** @param {number} port */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
