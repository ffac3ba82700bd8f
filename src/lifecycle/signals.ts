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
