import cluster from 'node:cluster';

/** What a signal does. */
export type SignalEffect = 'begin' | 'ignore' | 'force';

/**
 * The one decision about signals. The first begins a drain; a later one forces it. One that comes within `forceAfter`
 * is ignored: under npm or a shell Ctrl-C reaches node twice, from the terminal and from its parent
 * (hemerajs/fastify-graceful-shutdown#3).
 * @param sinceFirst - ms since the first signal; `undefined` for the first
 */
export function decideSignal(sinceFirst: number | undefined, forceAfter: number): SignalEffect {
  if (sinceFirst === undefined) return 'begin';
  return sinceFirst >= forceAfter ? 'force' : 'ignore';
}

/**
 * Whether `node --watch` runs the process, and waits for its end to start the next one. Not under the test runner of
 * Node, which sets the same variable.
 */
export function isWatched(): boolean {
  const { env } = process;
  return env['WATCH_REPORT_DEPENDENCIES'] !== undefined && env['NODE_TEST_CONTEXT'] === undefined;
}

/** Calls a listener for each of these signals, which then no longer end the process. Returns the undo. */
export function watchSignals(signals: readonly NodeJS.Signals[], processOnSignal: () => void): () => void {
  for (const signal of signals) process.on(signal, processOnSignal);
  return () => {
    for (const signal of signals) process.off(signal, processOnSignal);
  };
}

/** The lifecycles of this process that still have servers. */
const serving = new Set<object>();

/** Notes whether a lifecycle has servers that are not drained. */
export function noteServing(lifecycle: object, isServing: boolean): void {
  if (isServing) serving.add(lifecycle);
  else serving.delete(lifecycle);
}

/**
 * Lets a worker of `node:cluster` end by itself once nothing in it serves. Only its channel to the primary keeps it
 * alive then. `worker.disconnect()` tells the primary that the exit is intended. After `process.disconnect()` Node
 * would exit at once, before the application has closed its resources.
 */
export function disconnectWorker(): void {
  if (serving.size === 0 && cluster.isWorker && process.connected) cluster.worker?.disconnect();
}
