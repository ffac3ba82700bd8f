// The server of the audience. It gets orders, and answers each.
import http from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import express from 'express';
import { createChannel } from 'sluice/channel';
import { compress } from 'sluice/compress';
import { heartbeat } from 'sluice/heartbeat';
import { monitor } from 'sluice/monitor';
import { answerCalls } from '../../../bench/support/answer.js';

const ticks = createChannel({ name: 'ticks' });
const numbers = monitor();
/** @type {import('sluice/channel').SubscribeOptions} */
const lagging = { overflow: 'drop', maxBuffered: '256kb' };
/** What fills the buffers of both kernels before long. @param {number} length */
const longer =
  (length) =>
  (/** @type {any} */ { data }) => ({ data: `${data} ${'x'.repeat(length)}` });

const app = express();
app.use(numbers, compress(), heartbeat());
app.get('/events', ticks.subscribe());
app.get('/slow', ticks.subscribe({ ...lagging, map: longer(20_000) }));
app.get('/stopped', ticks.subscribe({ ...lagging, map: longer(200_000) }));
const server = http.createServer(app);

const symbols = ['AAPL', 'MSFT', 'GOOG', 'AMZN'];

/** @param {number} number */
function eventOf(number) {
  const symbol = symbols[number % symbols.length];
  const [bid, ask, volume] = [7919, 104_729, 1_299_709].map((prime) => (number * prime) % 100_000);
  return { data: `${number} ${JSON.stringify({ symbol, bid, ask, volume, venue: 'XNAS', currency: 'USD' })}` };
}

answerCalls({
  listen: () =>
    new Promise((resolve) => {
      server.listen({ port: 0, backlog: 4096 }, () => resolve(/** @type {any} */ (server.address()).port));
    }),
  /** @param {number} count */
  async joined(count) {
    while (ticks.subscribers().length < count) await delay(5);
  },
  /** @param {number} events @param {number} interval */
  async publish(events, interval) {
    const loop = monitorEventLoopDelay({ resolution: 1 });
    loop.enable();
    const before = process.cpuUsage();
    const started = performance.now();
    for (let number = 1; number <= events; number++) {
      const wait = started + (number - 1) * interval - performance.now();
      if (wait > 0) await delay(wait);
      await ticks.publish(eventOf(number));
    }
    await delay(interval);
    loop.disable();
    const { user, system } = process.cpuUsage(before);
    const seconds = (performance.now() - started) / 1000;
    const ms = (/** @type {number} */ nanoseconds) => Math.round(nanoseconds / 1e4) / 100;
    return {
      seconds: Math.round(seconds),
      cores: Math.round((user + system) / seconds / 1e4) / 100,
      delay: { p50: ms(loop.percentile(50)), p99: ms(loop.percentile(99)), max: ms(loop.max) },
      megabytes: Math.round(process.memoryUsage().rss / 2 ** 20),
    };
  },
  /** Ends all streams. Resolves with how many are left that do not read. */
  async end() {
    const { lagging: behind = 0 } = numbers.snapshot().channels['ticks'] ?? {};
    await ticks.end();
    return behind;
  },
});
