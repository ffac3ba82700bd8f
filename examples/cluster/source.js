// @ts-check
import console from 'node:console';
import { clearInterval, setInterval } from 'node:timers';

const interval = 100;

/**
 * Publishes numbers, one after the other: a client that has n has to get n + 1 next. Returns what ends it.
 *
 * @param {import('sluice').Channel} ticks
 */
export function startSource(ticks) {
  let number = 0;
  let isOver = false;
  // Publishing waits while Redis is away, and keeps the order.
  const timer = setInterval(() => {
    number += 1;
    ticks.publish({ event: 'tick', data: { number } }).catch((/** @type {unknown} */ error) => {
      // At the end, one that is under way cannot be published any more.
      if (!isOver) console.error(error);
    });
  }, interval);
  return () => {
    isOver = true;
    clearInterval(timer);
    ticks.close();
  };
}
