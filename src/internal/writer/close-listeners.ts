import type { CloseReason } from '../../errors.ts';

/** One registration: the same function registered twice is two, each with its own undo. */
interface CloseListener {
  readonly listener: (reason: CloseReason) => void;
}

/** Who is told that a stream closed. Usually one, for which a set would be a third of what the stream takes. */
export type CloseListeners = CloseListener | Set<CloseListener> | undefined;

/** The listeners with one more. */
export function withListener(listeners: CloseListeners, added: CloseListener): CloseListeners {
  if (listeners === undefined) return added;
  return listeners instanceof Set ? listeners.add(added) : new Set([listeners, added]);
}

/** The listeners without one of them. */
export function withoutListener(listeners: CloseListeners, removed: CloseListener): CloseListeners {
  if (listeners === removed) return undefined;
  if (listeners instanceof Set) listeners.delete(removed);
  return listeners;
}

/** In the order of their registration. */
export function eachListener(listeners: CloseListeners): Iterable<CloseListener> {
  if (listeners === undefined) return [];
  return listeners instanceof Set ? listeners : [listeners];
}
