/** Calls a listener for each of some signals that the process gets, which no longer end it. Returns its undo. */
export function watchSignals(signals: readonly NodeJS.Signals[], processOnSignal: () => void): () => void {
  for (const signal of signals) process.on(signal, processOnSignal);
  return () => {
    for (const signal of signals) process.off(signal, processOnSignal);
  };
}
