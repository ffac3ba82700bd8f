/** Has bytes to write when the tick ends. */
export interface Flushable {
  /**
   * Called once for each `atTickEnd`. The code around it works for other responses too: it enters the async context of
   * its own.
   */
  flushTick(): void;
}

// Test runners put fakes in place of `process.nextTick`, which may never call back.
const nextTick = process.nextTick.bind(process);

let queue: Flushable[] = [];

/**
 * Calls `flushTick` when the code that runs now is done, so that many sends become one write.
 *
 * One tick for all: of a broadcast to a thousand clients, a tick for each costs a tenth of all that an event costs.
 * The order is that of the calls, so all blocks of a broadcast are encoded before the first is written.
 */
export function atTickEnd(flushable: Flushable): void {
  if (queue.push(flushable) === 1) nextTick(flushAll);
}

function flushAll(): void {
  const flushables = queue;
  queue = [];
  flushFrom(flushables, 0);
}

function flushFrom(flushables: readonly Flushable[], start: number): void {
  let next = start;
  try {
    while (next < flushables.length) flushables[next++]?.flushTick();
  } finally {
    // One that throws keeps no other from its turn.
    if (next < flushables.length) nextTick(flushFrom, flushables, next);
  }
}
