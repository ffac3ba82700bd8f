import type { EngineServerLike, SocketServerLike } from '../internal/http/engine-io.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { mountings } from '../internal/mounting.ts';
import type { AttachableServer } from './connections.ts';
import { LifecycleController } from './controller.ts';
import { type LifecycleOptions, resolveLifecycleOptions } from './options.ts';
import type { LifecycleState } from './policy/phase.ts';
import { makeLiveness, makeReadiness, type Probe } from './probes.ts';
import type { LifecycleChange } from './events.ts';
import type { DrainReport } from './policy/counters.ts';
import type { WebSocketServerLike } from './socket-servers.ts';

export type { EngineServerLike, SocketServerLike } from '../internal/http/engine-io.ts';
export type { AttachableServer } from './connections.ts';
export type { LifecycleOptions } from './options.ts';
export type { LifecycleState } from './policy/phase.ts';
export type { Probe } from './probes.ts';
export type { LifecycleChange, LifecycleErrorMessage } from './events.ts';
export type { DrainEnd, DrainReport, UntoldReason } from './policy/counters.ts';
export type { WebSocketLike, WebSocketServerLike } from './socket-servers.ts';

/** The middleware that `lifecycle` makes. It carries the state of the process. */
export interface Lifecycle {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** `active` serves, `draining` shuts down, `dead` is over. Only moves forward. */
  readonly state: LifecycleState;
  /** Aborts when a drain begins; `signal.reason` is a `DrainingError`. */
  readonly signal: AbortSignal;
  /**
   * Watches a server: its connections and its requests. Attach each server before it listens: earlier connections are
   * not known. Attach a WebSocket server, of `ws` or Socket.IO, beside the HTTP server that it belongs to. Returns the
   * undo, which ends nothing. Throws `InvalidOptionError`.
   */
  attach(server: AttachableServer | WebSocketServerLike | SocketServerLike | EngineServerLike): () => void;
  /**
   * Begins the drain. Further calls return the same promise of its report. It does not reject.
   */
  drain(): Promise<DrainReport>;
  /** Answers a readiness probe with `{"state":"…"}`: 200 while `active`, else 503. */
  readonly ready: Probe;
  /** Answers a liveness probe with `{"state":"…"}`: 200 until `dead`, then 503. */
  readonly live: Probe;
  /**
   * Calls `listener` after each change of state. Returns the undo. An error that a listener throws is published on the
   * diagnostics channel `sluice:lifecycle:error`. Throws `InvalidOptionError`.
   */
  on(event: 'state', listener: (change: LifecycleChange) => void): () => void;
  /**
   * Makes a drain wait for work outside requests, such as a job or an upload. Call the returned function when it is
   * done.
   */
  hold(): () => void;
  /**
   * Removes all its listeners: of the process, of servers, and those added by `on`. Ends nothing: a drain in progress
   * goes on.
   */
  close(): void;
}

/**
 * Graceful shutdown. Requests finish, streams move to another process, load balancers learn in time.
 * `const life = lifecycle(); app.use(life); life.attach(server);`
 *
 * Throws `InvalidOptionError`.
 */
export function lifecycle(options?: LifecycleOptions): Lifecycle {
  return assemble(new LifecycleController(resolveLifecycleOptions(options)));
}

function assemble(life: LifecycleController): Lifecycle {
  mountings.lifecycle.noteMade();
  function lifecycle(req: HttpRequest, res: HttpResponse, next: Next): void {
    mountings.lifecycle.notePassed(req, res);
    life.handle(req, res, next);
  }
  return Object.defineProperties(lifecycle, {
    state: { get: () => life.state, enumerable: true },
    signal: { value: life.drain.signal, enumerable: true },
    attach: { value: (server: object) => life.attach(server) },
    drain: { value: (options?: object) => life.startDrain(options) },
    ready: { value: makeReadiness(() => life.stateForProbe()) },
    live: { value: makeLiveness(() => life.stateForProbe()) },
    on: { value: (event: 'state', listener: (change: LifecycleChange) => void) => life.on(event, listener) },
    hold: { value: () => life.holds.take() },
    close: { value: () => life.close() },
  }) as unknown as Lifecycle;
}
