// @ts-check
// The server of one peer: `server-process.js <scenario> <peer>`.
import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { answerCalls } from './answer.js';

const [scenarioName = '', peerName = ''] = process.argv.slice(2);
const { default: scenario } = /** @type {{ default: import('./rounds.js').Scenario }} */ (
  await import(`../scenarios/${scenarioName}.js`)
);
const peer = scenario.peers.find(({ name }) => name === peerName);
if (!peer) throw new Error(`${scenarioName} has no peer ${peerName}`);

const { app, calls = {} } = await peer.serve();
const server = createServer(app);
let requests = 0;
server.on('request', () => requests++);
// A backlog for clients that come by the hundred.
server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 });
await once(server, 'listening');

// Longer than the clock tick by which the kernel charges a running thread; and in less than a tenth of that time no
// thread is at work.
const quietTime = 10;
const quietCpu = 1000;

/** In µs; of all threads. What is measured may be another process, and then says so itself. */
const usedCpu =
  /** @type {(() => number) | undefined} */ (calls['cpu']) ??
  (() => {
    const { user, system } = process.cpuUsage();
    return user + system;
  });

answerCalls({
  port: () => /** @type {import('node:net').AddressInfo} */ (server.address()).port,
  requests: () => requests,
  cpu: usedCpu,
  /**
   * Waits until no thread has anything to do: what goes through the thread pool is not done when the call that began it
   * is.
   */
  async quiet() {
    for (let last = -Infinity, now = usedCpu(); now - last > quietCpu; [last, now] = [now, usedCpu()])
      await delay(quietTime);
  },
  /** Without the kernel's part: what of a write is the network stack is the same for every peer. */
  userCpu: () => process.cpuUsage().user,
  async memory() {
    // What is closed in this turn is collectable only later, and one collection frees what the next one can return.
    for (let pass = 0; pass < 3; pass++) {
      await delay(50);
      globalThis.gc?.();
    }
    const { heapUsed, external } = process.memoryUsage();
    return { rss: process.memoryUsage.rss(), heap: heapUsed + external };
  },
  ...calls,
});
