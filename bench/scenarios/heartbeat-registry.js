// @ts-check
import { Buffer } from 'node:buffer';
import http from 'node:http';
import { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setInterval } from 'node:timers';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { serveBare, serveSluice } from '../support/event-servers.js';

/** @typedef {import('node:http').RequestListener} RequestListener */
/** @typedef {import('../support/rounds.js').Served} Served */

const request = 'GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n';

// A comment, and the frame of its chunk.
const beatBytes = Buffer.byteLength('2\r\n:\n\r\n');

/** A socket of `node:net` without a connection: what is written is counted and gone. */
class Line extends Socket {
  taken = 0;

  /** @override */
  _read() {}

  /**
   * @override
   * @param {string | Uint8Array} chunk
   * @param {BufferEncoding} _encoding
   * @param {() => void} callback
   */
  _write(chunk, _encoding, callback) {
    this.taken += chunk.length;
    callback();
  }

  /**
   * @override
   * @param {{ chunk: string | Uint8Array }[]} chunks
   * @param {() => void} callback
   */
  _writev(chunks, callback) {
    for (const { chunk } of chunks) this.taken += chunk.length;
    callback();
  }

  /**
   * @override
   * @param {() => void} callback
   */
  _final(callback) {
    callback();
  }
}

/**
 * A server whose clients are in its own process.
 * @param {RequestListener} app
 * @param {(every: number) => void} [start] - once they are there
 * @returns {Served}
 */
function withLines(app, start) {
  const server = http.createServer(app);
  /** @type {Line[]} */
  const lines = [];
  return {
    app,
    calls: {
      async open(/** @type {number} */ count, /** @type {number} */ every) {
        while (lines.length < count) {
          const line = new Line();
          lines.push(line);
          server.emit('connection', line);
          line.push(request);
          // Each request is parsed in a turn of its own, as those from a network are.
          await turn();
        }
        start?.(every);
      },
      taken: () => lines.reduce((sum, line) => sum + line.taken, 0),
      close: () => lines.splice(0).forEach((line) => line.destroy()),
    },
  };
}

/**
 * What a heartbeat costs that nobody watches.
 * @returns {Served}
 */
function serveLoop() {
  const { app, clients } = serveBare();
  return withLines(app, (every) => {
    const all = [...clients];
    const start = performance.now();
    let written = 0;
    // As often as ours wakes up at the most.
    setInterval(() => {
      for (const due = ((performance.now() - start) / every) * all.length; written < due; written++)
        all[written % all.length]?.write(':\n');
    }, 16);
  });
}

async function serveHeartbeat() {
  const { createRegistry, heartbeat } = await import('sluice/heartbeat');
  const registry = createRegistry();
  const { app } = await serveSluice({}, (express) => void express.use(heartbeat({ registry })));
  const served = withLines(app);
  return { ...served, calls: { ...served.calls, registered: () => registry.stats().connections } };
}

/** @type {import('../support/rounds.js').Scenario['prepare']} */
async function prepare(server, { quick, peer }) {
  const clients = quick ? 1000 : 20_000;
  const every = 15_000;
  return {
    async measure() {
      await server.call('open', clients, every);
      await server.call('memory');
      if (peer.name === 'sluice' && (await server.call('registered')) !== clients)
        throw new Error('not every stream is registered');
      // The first heartbeats compile; and V8 clears up what the opening left behind, some 15 s later.
      await delay(every * 1.6);
      const [cpuBefore, takenBefore, start] = [await server.call('cpu'), await server.call('taken'), performance.now()];
      await delay(every);
      const [cpu, taken, elapsed] = [await server.call('cpu'), await server.call('taken'), performance.now() - start];
      await server.call('close');
      const beats = (taken - takenBefore) / beatBytes;
      if (Math.abs(beats / clients - elapsed / every) > 0.1)
        throw new Error(`${beats} heartbeats for ${clients} streams`);
      return { cpu: (cpu - cpuBefore) / 10 / elapsed, each: (cpu - cpuBefore) / beats };
    },
    close: async () => {},
  };
}

/** @type {import('../support/rounds.js').Scenario} */
const scenario = {
  name: 'heartbeat-registry',
  summary: '20,000 event streams in one registry, in memory, a comment to each every 15 s',
  baseline: 'loop',
  rounds: 2,
  slices: 1,
  metrics: [
    { key: 'cpu', title: 'CPU of the process, % of one core', better: 'less', digits: 2 },
    { key: 'each', title: 'CPU per heartbeat, µs', better: 'less', digits: 2 },
  ],
  prepare,
  peers: [
    { name: 'loop', title: 'Express, res.write to each in turn', serve: serveLoop },
    { name: 'sluice', title: 'sse and heartbeat', serve: serveHeartbeat },
  ],
};

export default scenario;
