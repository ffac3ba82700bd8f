import type { ClientError } from './client-error.ts';
import type { Environment } from './environment.ts';
import type { ClientEvent, ClientEventOf } from './event-map.ts';
import { createEventQueue } from './event-queue.ts';
import { type Exchange, silenceError, startExchange } from './exchange.ts';
import type { ResolvedClientOptions } from './options.ts';
import { backoff } from './policy/backoff.ts';
import { decideNext } from './policy/next.ts';
import type { Outcome } from './policy/outcome.ts';

/**
 * - `connecting`: a request is sent, and no event stream has come yet
 * - `open`: events can come
 * - `waiting`: the connection is lost; it is tried again after a while, or when the page is seen again
 * - `closed`: for good
 */
export type ClientState = 'connecting' | 'open' | 'waiting' | 'closed';

/** A change of the state. */
export interface ClientStateChange {
  /** The new state. */
  readonly state: ClientState;
  /** Of `waiting`: why. Of `closed`: what the loop throws; `undefined` for a normal end. */
  readonly error?: ClientError | undefined;
  /** Of `waiting`: milliseconds until the next try; `undefined`: when the page is seen again. */
  readonly delay?: number | undefined;
}

/** A connection that is kept. One `for await` loop reads its events; leaving the loop closes it. */
export interface EventConnection<M extends object = Record<string, unknown>> extends AsyncIterable<ClientEventOf<M>> {
  /** Where the connection is. */
  readonly state: ClientState;
  /** The id of the last event that the loop got; `''` for none. A new connection can resume from it. */
  readonly lastEventId: string;
  /** Calls the listener at each change of the state. Returns the undo. */
  onStateChange(listener: (change: ClientStateChange) => void): () => void;
  /** Closes the connection. The loop ends, without the events that it has not got yet. */
  close(): void;
}

//              ┌────────────── the wait is over, or the page wakes ─────────────┐
//              ▼                                                                │
//   ──▶ connecting ── an event stream ──▶ open ── it ends, breaks, is silent ──▶ waiting
//              │                            │                                   ▲
//              ├── no response, 5xx, silent ┼───────────────────────────────────┤
//              │                            └── the page is left ───────────────┘
//              ▼
//           closed: 204, stop(), another status, an event too large; close(), break, signal, in every state

/** Opens a connection: the one place that moves between the states. */
export function openConnection<M extends object>(
  url: string,
  options: ResolvedClientOptions,
  environment: Environment,
): EventConnection<M> {
  const { heartbeat, reconnect, retry, signal } = options;
  const { now, startTimer } = environment;
  const listeners = new Set<(change: ClientStateChange) => void>();
  const queue = createEventQueue<ClientEventOf<M>>(options.lastEventId, close);
  let state: ClientState = 'waiting';
  let exchange: Exchange | undefined;
  let stopWaiting: (() => void) | undefined;
  let unwatchPage: (() => void) | undefined;
  // The last id that came: what is asked for next. That of the queue is what the loop has got.
  let lastEventId = options.lastEventId;
  let hasBeenOpen = false;
  let retryHint: number | undefined;
  let failures = 0;
  // Of the current request.
  let openedAt = Infinity;
  let hasProgress = false;
  // For so many milliseconds the server wants no request.
  let lostAt = 0;
  let told = 0;

  function moveTo(change: ClientStateChange): void {
    if (state === change.state) return;
    state = change.state;
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        // As an event target does it: the listener's error is told, and holds nothing up.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  function request(): void {
    moveTo({ state: 'connecting' });
    // A listener may have closed it.
    if (state !== 'connecting') return;
    openedAt = Infinity;
    hasProgress = false;
    exchange = startExchange(
      {
        url,
        options,
        lastEventId,
        hasBeenOpen,
        onOpen() {
          hasBeenOpen = true;
          openedAt = now();
          moveTo({ state: 'open' });
        },
        onEvent(type, data, id = lastEventId) {
          lastEventId = id;
          hasProgress = true;
          queue.push({ id, event: new ReceivedEvent(type, data, id) as ClientEvent as ClientEventOf<M> });
        },
        onId(id) {
          lastEventId = id;
          queue.push({ id });
        },
        // 0 would be a loop without a pause.
        onRetry: (delay) => (retryHint = delay || undefined),
        room: queue.room,
        onOver,
      },
      environment,
    );
  }

  function onOver(outcome: Outcome): void {
    exchange = undefined;
    // A server that accepts and drops is not tried fast: the connection has to bring an event, or to live for a while.
    failures = hasProgress || now() - openedAt >= retry.max ? 0 : failures + 1;
    const { kind, error, after = retryHint } = decideNext(outcome, reconnect);
    if (kind === 'close' || failures >= retry.attempts) {
      end(error);
      return;
    }
    const delay = backoff({ failures, told: after, ...retry }, environment.random);
    lostAt = now();
    told = after ?? 0;
    requestAfter(delay);
    moveTo({ state: 'waiting', error, delay });
  }

  function requestAfter(delay: number): void {
    stopWaiting?.();
    stopWaiting = startTimer(delay, request);
  }

  /** A silence that is no accident is not waited out, and the next try is soon. What the server asked for is kept. */
  function onWake(): void {
    if (exchange) {
      if (exchange.silence() <= heartbeat) return;
      drop();
      moveTo({ state: 'waiting', error: silenceError(heartbeat), delay: 0 });
    }
    if (state !== 'waiting') return;
    failures = 0;
    // A clock that was set back waits no longer than it was told.
    requestAfter(Math.min(told, Math.max(0, lostAt + told - now())));
  }

  /** A page that is kept for the way back is thrown away when its open response goes on for long. */
  function onHide(): void {
    drop();
    moveTo({ state: 'waiting' });
  }

  /** No request, and none to come. */
  function drop(): void {
    stopWaiting?.();
    exchange?.cancel();
    exchange = undefined;
  }

  /** What waits is still read. */
  function end(error?: ClientError): void {
    if (state === 'closed') return;
    queue.finish(error);
    drop();
    unwatchPage?.();
    signal?.removeEventListener('abort', close);
    moveTo({ state: 'closed', error });
  }

  function close(): void {
    end();
    queue.cancel();
  }

  if (signal?.aborted === true) close();
  else {
    signal?.addEventListener('abort', close);
    // A request that may act twice is not sent because of a tab that was hidden. Nor is it lost: what came while the
    // page was frozen is yet to be read. Page Lifecycle fires 'resume' before the timers that are due.
    unwatchPage = environment.watchPage(
      options.method === 'GET' ? { onWake, onHide } : { onWake: () => exchange?.listen(), onHide: () => undefined },
    );
    request();
  }
  return {
    get state() {
      return state;
    },
    get lastEventId() {
      return queue.lastId();
    },
    onStateChange(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    close,
    [Symbol.asyncIterator]: () => queue,
  };
}

/** An event as the loop gets it. */
class ReceivedEvent implements ClientEvent {
  readonly type: string;
  readonly data: string;
  readonly id: string;

  constructor(type: string, data: string, id: string) {
    this.type = type;
    this.data = data;
    this.id = id;
  }

  json(): unknown {
    return JSON.parse(this.data);
  }
}
