/** Has bytes to write when the tick ends. */
export interface Flushable {
  flushTick(): void;
}

/**
 * Calls `flushTick` when the code that runs now is done, so that many sends become one write.
 *
 * Every call is a tick of its own, which costs 0.1 µs. Node runs it in the async context of this call, and a flush
 * that throws does not keep others from their turn. One queue for all streams would do neither. Node runs ticks in
 * order, so all blocks of a broadcast are encoded before the first is written.
 */
export function atTickEnd(flushable: Flushable): void {
  process.nextTick(flush, flushable);
}

function flush(flushable: Flushable): void {
  flushable.flushTick();
}
