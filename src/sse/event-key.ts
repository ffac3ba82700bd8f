import type { EventInput } from './event.ts';

/**
 * The type under which a client dispatches an event; `undefined` for one that it does not: comments, a lone id or retry
 * hint.
 */
export function dispatchedType(event: EventInput | string): string | undefined {
  if (typeof event === 'string') return 'message';
  // WHATWG HTML 9.2.6: an event type buffer that has "a value other than the empty string" is the type.
  if (event.event) return event.event;
  return event.event === '' || 'data' in event ? 'message' : undefined;
}

/**
 * A key of the application's, for events alone: it need not know of what only moves the client's id or keeps a
 * connection busy.
 */
export function ifDispatched<Event extends EventInput | string>(
  key: (event: Event) => string | undefined,
): (event: Event) => string | undefined {
  return (event) => (dispatchedType(event) === undefined ? undefined : key(event));
}
