import { type Gate, openPull, type PullSource, pump } from './pump.ts';

/** Options of `pipe`. */
export interface PipeOptions {
  /** Stops the pipe: the source is cancelled and `pipe` rejects with `signal.reason`. The stream stays open. */
  signal?: AbortSignal;
}

/** Pumps a source into a stream. */
export async function pipeInto<T>(
  gate: Gate,
  source: PullSource<T>,
  take: (item: T) => Promise<void>,
  options: PipeOptions = {},
): Promise<void> {
  const { signal } = options;
  await pump(openPull(source), signal ? gateWithSignal(gate, signal) : gate, take);
}

/** A gate that an abort closes too. */
export function gateWithSignal(gate: Gate, signal: AbortSignal): Gate {
  return {
    get closedError() {
      return gate.closedError ?? (signal.aborted ? (signal.reason as Error) : undefined);
    },
    onClosed(listener) {
      const undo = gate.onClosed(listener);
      signal.addEventListener('abort', listener);
      return () => {
        undo();
        signal.removeEventListener('abort', listener);
      };
    },
    onSourceError: (error) => {
      gate.onSourceError(error);
    },
  };
}
