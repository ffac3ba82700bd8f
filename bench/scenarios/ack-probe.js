// @ts-check
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setTimeout } from 'node:timers';
import { AckProbe, keyOfSocket, readTable, writtenBytes } from '../../dist/internal/health/ack-probe.js';
import { startTimer } from '../../dist/internal/time/clock.js';
import { Child } from '../support/child.js';
import { serveBare } from '../support/event-servers.js';
import { connected, withCount } from '../support/weight.js';

// The first ones also compile: they come one after the other, without a rest.
const warmUps = 10;
const passes = 2;

/**
 * @typedef {object} Tally
 * @property {number[]} main - ms of the event loop at work, a pass
 * @property {number[]} read - ms from the first page of a table to the last
 * @property {number[]} rests - ms to the next pass
 * @property {number} found - rows
 */

/**
 * A clock that takes note of passes: one lasts from when a timer goes off to when the next is set.
 * @param {Tally} tally
 * @param {() => void} onPass
 */
function makeClock(tally, onPass) {
  /** @type {import('node:perf_hooks').EventLoopUtilization | undefined} */
  let began;
  return {
    now: () => performance.now(),
    /**
     * @param {number} delay
     * @param {() => void} callback
     */
    startTimer(delay, callback) {
      if (began) {
        tally.main.push(performance.eventLoopUtilization(began).active);
        tally.rests.push(delay);
        onPass();
      }
      return startTimer(tally.main.length < warmUps ? 0 : delay, () => {
        began = performance.eventLoopUtilization();
        callback();
      });
    },
  };
}

/**
 * @param {Tally} tally
 * @param {'tcp' | 'tcp6'} table
 * @param {(text: string) => void} onLines
 */
async function timedRead(tally, table, onLines) {
  const start = performance.now();
  await readTable(table, onLines);
  tally.read.push(performance.now() - start);
}

/**
 * Every connection waits, all the time: the most that there can be to do.
 * @param {Iterable<import('node:http').ServerResponse>} clients
 */
async function probeAll(clients) {
  /** @type {Tally} */
  const tally = { main: [], read: [], rests: [], found: 0 };
  /** @type {AckProbe | undefined} */
  let probe;
  let [start, cpu] = [0, process.cpuUsage()];
  await new Promise((resolve, reject) => {
    const clock = makeClock(tally, () => {
      if (tally.main.length === warmUps) [start, cpu] = [performance.now(), process.cpuUsage()];
      // The rest after the last pass counts as well.
      if (tally.main.length === warmUps + passes) setTimeout(resolve, tally.rests.at(-1));
    });
    probe = new AckProbe({
      onError: reject,
      clock,
      readTable: (table, onLines) => timedRead(tally, table, onLines),
      delay: 100,
    });
    for (const { socket } of clients) probe.add(makeEntry(/** @type {import('node:net').Socket} */ (socket), tally));
  });
  probe?.close();
  return {
    ...summarise(tally),
    cpu: share(process.cpuUsage(cpu), performance.now() - start),
    found: tally.found / tally.main.length,
  };
}

/**
 * @param {import('node:net').Socket} socket
 * @param {Tally} tally
 * @returns {import('../../dist/internal/health/ack-probe.js').Probed}
 */
function makeEntry(socket, tally) {
  const connection = keyOfSocket(socket);
  if (!connection) throw new Error('a connection that is not there any more');
  return { connection, written: () => writtenBytes(socket), onRow: () => void tally.found++, onMissing: () => {} };
}

/** @param {Tally} tally */
function summarise({ main, read, rests }) {
  /** @param {number[]} list */
  const mean = (list) => list.slice(warmUps).reduce((sum, each) => sum + each, 0) / passes;
  return { main: mean(main), read: mean(read), rest: mean(rests) };
}

/**
 * In percent of one core.
 * @param {NodeJS.CpuUsage} usage
 * @param {number} elapsed
 */
function share({ user, system }, elapsed) {
  return (user + system) / 10 / elapsed;
}

function serve() {
  const { app, clients } = serveBare();
  return withCount(
    { app, clients },
    {
      probe: () => probeAll(clients),
      /** By a reset, after which neither end keeps the connection in the table for a minute. */
      reset() {
        for (const { socket } of clients) /** @type {import('node:net').Socket} */ (socket).resetAndDestroy();
      },
    },
  );
}

/** @type {import('../support/rounds.js').Scenario['prepare']} */
async function prepare(server, { quick, peer }) {
  const count = Number(peer.name) / (quick ? 10 : 1);
  return {
    async measure() {
      // The table has the rows of the whole machine: each peer has its clients while it is measured, and only then.
      const readers = new Child('clients', 'stream-clients.js');
      try {
        await readers.call('open', await server.call('port'), count);
        await connected(server, count);
        const { found, ...result } = await server.call('probe');
        // One event each, the first, and nothing closed since.
        await readers.call('verify', 1);
        if (found !== count) throw new Error(`${found} rows of ${count} connections`);
        return result;
      } finally {
        await server.call('reset');
        await readers.stop();
        await connected(server, 0);
      }
    },
    close: async () => {},
  };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'ack-probe',
  summary: 'the kernel’s table of connections, read for event streams that all wait; both ends are in it',
  baseline: '1000',
  rounds: 2,
  slices: 1,
  metrics: [
    { key: 'main', title: 'ms of the event loop a pass', better: 'less', digits: 2 },
    { key: 'read', title: 'ms from the first page to the last, other threads included', better: 'less', digits: 2 },
    { key: 'rest', title: 'ms to the next pass', better: 'more', digits: 0 },
    { key: 'cpu', title: 'CPU of the process at that pace, % of one core', better: 'less', digits: 2 },
  ],
  prepare,
  peers: [
    { name: '1000', title: '1,000 streams', serve },
    { name: '10000', title: '10,000 streams', serve },
  ],
};

export default scenario;
