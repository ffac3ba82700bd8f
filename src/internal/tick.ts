/** Something that has bytes to write when the tick ends. */
export interface Flushable {
  flushTick(): void;
}

let queue: Flushable[] = [];

/**
 * Calls `flushTick` once the code that runs now, and the promise callbacks that follow from it, are done: many
 * sends become one write. One queue for all streams, so that a broadcast to a thousand costs one tick and not a thousand.
 */
export function atTickEnd(flushable: Flushable): void {
  if (queue.length === 0) process.nextTick(flushAll);
  queue.push(flushable);
}

function flushAll(): void {
  const flushables = queue;
  queue = [];
  let next = 0;
  try {
    while (next < flushables.length) flushables[next++]?.flushTick();
  } finally {
    // One that throws holds up nobody else.
    for (const flushable of flushables.slice(next)) atTickEnd(flushable);
  }
}
