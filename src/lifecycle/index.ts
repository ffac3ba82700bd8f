import type { EngineServerLike, SocketServerLike } from '../internal/http/engine-io.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import type { AttachableServer } from './connections.ts';
import { Life } from './life.ts';
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

/** The middleware that `lifecycle` makes, and the life of the process behind it. */
export interface Lifecycle {
  (req: HttpRequest, res: HttpResponse, next: Next): void;
  /** `active` serves, `draining` goes down, `dead` is over. Only ever forward. */
  readonly state: LifecycleState;
  /** Aborts when a drain begins; `signal.reason` is a `DrainingError`. */
  readonly signal: AbortSignal;
  /**
   * Watches a server: its connections, its requests before anybody else sees them, its end. Several servers at once;
   * each before it listens, since earlier connections are not known. A server of WebSockets, as that of `ws` or
   * Socket.IO's, is attached beside the server that it belongs to. Returns the undo, which ends nothing. Throws
   * `InvalidOptionError`.
   */
  attach(server: AttachableServer | WebSocketServerLike | SocketServerLike | EngineServerLike): () => void;
  /**
   * Goes down. However often it is called, there is one drain, and one promise of its report, which does not reject.
   */
  drain(): Promise<DrainReport>;
  /** Answers a readiness probe: 200 while `active`, else 503; `{"state":"…"}`. */
  readonly ready: Probe;
  /** Answers a liveness probe: 200 until `dead`, then 503; `{"state":"…"}`. */
  readonly live: Probe;
  /**
   * Calls `listener` after each step. Returns the undo. What a listener throws is published on the diagnostics channel
   * `sluice:lifecycle:error`. Throws `InvalidOptionError`.
   */
  on(event: 'state', listener: (change: LifecycleChange) => void): () => void;
  /**
   * Work outside of requests, a job or an upload of one's own: a drain waits for it until the function is called that
   * this returns.
   */
  hold(): () => void;
  /**
   * Removes everything that it registered: at the process, at servers, listeners of its own. Ends nothing: a drain
   * under way goes on.
   */
  close(): void;
}

/**
 * The life of a process that serves: requests run on, streams move to another process, load balancers hear of it in
 * time. `const life = lifecycle(); app.use(life); life.attach(server);`
 *
 * Throws `InvalidOptionError`.
 */
export function lifecycle(options?: LifecycleOptions): Lifecycle {
  return assemble(new Life(resolveLifecycleOptions(options)));
}

function assemble(life: Life): Lifecycle {
  function lifecycle(req: HttpRequest, res: HttpResponse, next: Next): void {
    life.handle(req, res, next);
  }
  return Object.defineProperties(lifecycle, {
    state: { get: () => life.state, enumerable: true },
    signal: { value: life.drain.signal, enumerable: true },
    attach: { value: (server: object) => life.attach(server) },
    drain: { value: () => life.goDown() },
    ready: { value: makeReadiness(() => life.stateForProbe()) },
    live: { value: makeLiveness(() => life.stateForProbe()) },
    on: { value: (event: 'state', listener: (change: LifecycleChange) => void) => life.on(event, listener) },
    hold: { value: () => life.holds.take() },
    close: { value: () => life.close() },
  }) as unknown as Lifecycle;
}
