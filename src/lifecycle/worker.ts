import cluster from 'node:cluster';

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
