// A server in a process of its own, with a governor and, on demand, threads that burn what CPU there is. Started by
// test/faults/load.test.ts.
import http from 'node:http';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { compress } from 'sluice/compress';

// Other processes have their part of the cores too: a process that is as busy as it can be may get no more than a
// quarter.
const compression = compress({
  threshold: 0,
  serverTiming: true,
  governor: { interval: 50, thresholds: [0.12, 0.16, 0.2], hysteresis: 0.06, dwell: 600 },
});
compression.governor?.on('tier', ({ tier, previous }) => process.send?.({ tier, previous }));

const body = JSON.stringify({ text: 'the same text '.repeat(100) });
const server = http.createServer((req, res) =>
  compression(req, res, () => void res.setHeader('Content-Type', 'application/json').end(body)),
);

/** @type {Worker[]} */
let burning = [];

/** @type {Record<string, () => unknown>} */
const orders = {
  // Four for each core: they get most of it, whoever else is there.
  burn: () =>
    (burning = Array.from(
      { length: 4 * availableParallelism() },
      () => new Worker('for (;;) Math.random();', { eval: true }),
    )),
  rest: () => Promise.all(burning.map((worker) => worker.terminate())),
};
process.on('message', (order) => void orders[String(order)]?.());
process.on('disconnect', () => process.exit());

server.listen(0, '127.0.0.1', () =>
  process.send?.({ port: /** @type {import('node:net').AddressInfo} */ (server.address()).port }),
);
