/** What waits for the loop: an event, or an id alone, which moves the last event id when its turn comes. */
export interface Queued<E> {
  readonly id: string;
  readonly event?: E;
}

/** Events between the connection and the loop that reads them. Nothing more is read while any of them waits. */
export interface EventQueue<E> extends AsyncIterator<E, undefined> {
  /** The id of the last event that the loop got. */
  readonly lastId: () => string;
  readonly push: (item: Queued<E>) => void;
  /** Resolves when nothing waits. */
  readonly room: () => Promise<void>;
  /** There is no more. What waits is still read, and then the error is thrown. */
  readonly finish: (error?: Error) => void;
  /** There is no more, and what waits is not read either. */
  readonly cancel: () => void;
}

/** @param onReturn - called when the loop is left */
export function createEventQueue<E>(lastId: string, onReturn: () => void): EventQueue<E> {
  let items: Queued<E>[] = [];
  let isOver = false;
  let failure: Error | undefined;
  let onEmpty: (() => void) | undefined;
  let onChange: (() => void) | undefined;
  // One for all who wait: two calls of `next` may.
  let change: Promise<void> | undefined;

  function finish(error?: Error): void {
    isOver = true;
    failure = error;
    onChange?.();
  }

  async function next(): Promise<IteratorResult<E, undefined>> {
    for (;;) {
      const item = items.shift();
      if (items.length === 0) onEmpty?.();
      if (item) {
        lastId = item.id;
        if (item.event) return { done: false, value: item.event };
      } else if (isOver) {
        const error = failure;
        failure = undefined;
        if (error) throw error;
        return { done: true, value: undefined };
      } else {
        change ??= new Promise((resolve) => {
          onChange = () => {
            change = undefined;
            resolve();
          };
        });
        await change;
      }
    }
  }

  return {
    lastId: () => lastId,
    push(item) {
      items.push(item);
      onChange?.();
    },
    async room() {
      if (items.length > 0) await new Promise<void>((resolve) => (onEmpty = resolve));
    },
    finish,
    cancel() {
      items = [];
      finish();
    },
    next,
    return() {
      onReturn();
      return next();
    },
  };
}
