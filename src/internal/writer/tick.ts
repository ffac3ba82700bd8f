/** Something that has bytes to write when the tick ends. */
export interface Flushable {
  flushTick(): void;
}

/**
 * Calls `flushTick` once the code that runs now is done: many sends become one write. Each has a tick of its own, which
 * Node runs in the async context of this call: a queue for all streams would run them in the context of the first. Node
 * runs ticks in their order, so of a broadcast all blocks are made before any of them is written. A tick costs 0.1 µs.
 */
export function atTickEnd(flushable: Flushable): void {
  process.nextTick(flush, flushable);
}

function flush(flushable: Flushable): void {
  flushable.flushTick();
}
