// @ts-check
// A process that publishes at a steady rate, each time on another channel.
import { setTimeout as delay } from 'node:timers/promises';
import { answerCalls } from './answer.js';
import { now, openPublisher } from './redis-fan-out.js';

/** @type {Awaited<ReturnType<typeof openPublisher>> | undefined} */
let publish;

answerCalls({
  async open(/** @type {'sluice' | 'xread'} */ way, /** @type {string} */ url) {
    publish = await openPublisher(way, url);
  },
  async run(/** @type {number} */ channels, /** @type {number} */ events, /** @type {number} */ interval) {
    const start = now();
    const published = [];
    for (let number = 0; number < events; number++) {
      // A prime, so that the events go to channels all over.
      published.push(publish?.(channels, (number * 7919) % channels));
      await delay(Math.max(0, start + (number + 1) * interval - now()));
    }
    await Promise.all(published);
  },
});
