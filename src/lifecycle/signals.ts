import cluster from 'node:cluster';
/** What a signal does. */
export type SignalEffect = 'begin' | 'ignore' | 'force';

/**
 * The one decision about signals. The first begins a drain; another forces it, but not one that comes with the first:
 * Ctrl-C reaches node twice where npm or a shell runs it, once from the terminal and once from its parent
 * (hemerajs/fastify-graceful-shutdown#3).
 * @param sinceFirst - ms since the first; `undefined` for the first
 */
export function decideSignal(sinceFirst: number | undefined, forceAfter: number): SignalEffect {
  if (sinceFirst === undefined) return 'begin';
  return sinceFirst >= forceAfter ? 'force' : 'ignore';
}

/** Calls a listener for each of some signals that the process gets, which no longer end it. Returns its undo. */
export function watchSignals(signals: readonly NodeJS.Signals[], processOnSignal: () => void): () => void {
  for (const signal of signals) process.on(signal, processOnSignal);
  return () => {
    for (const signal of signals) process.off(signal, processOnSignal);
  };
}

/** Those that still have servers, of all that drain in this process. */
const serving = new Set<object>();

/** Notes whether something has servers that are not drained. */
export function noteServing(life: object, isServing: boolean): void {
  if (isServing) serving.add(life);
  else serving.delete(life);
}

/**
 * Lets a worker of `node:cluster` end by itself, once nothing in it serves: it is only its channel to the primary that
 * keeps it then. By the worker's own `disconnect`, which tells the primary that this was meant; after
 * `process.disconnect` Node would exit at once, whatever is still to be closed.
 */
export function disconnectWorker(): void {
  if (serving.size === 0 && cluster.isWorker && process.connected) cluster.worker?.disconnect();
}
