import { Server } from 'node:net';
import debug from 'debug';
import { InvalidOptionError } from '../errors.ts';
import { callEach, Listeners } from '../internal/listeners.ts';
import { engineOf } from '../internal/http/engine-io.ts';
import { offerContext, offerHold, type TakeHold } from '../internal/context/request-context.ts';
import type { HttpRequest, HttpResponse, Next } from '../internal/http/message.ts';
import { readOneOf, refuseWhen, requireFunction } from '../internal/option.ts';
import { refuse, type RefusalOptions } from '../internal/writer/refusal.ts';
import { seamOf } from '../internal/seam/response.ts';
import { Connections } from './connections.ts';
import { Drain } from './drain.ts';
import { PendingWork } from './pending-work.ts';
import { lengthenKeepAlive } from './http-socket.ts';
import type { ResolvedLifecycleOptions } from './options.ts';
import { isProbe } from './probes.ts';
import { isRefusing, type LifecycleState, stateOf } from './policy/phase.ts';
import { type LifecycleChange, reportLifecycleError } from './events.ts';
import { Requests } from './requests.ts';
import { fromEngine, fromWebSocketServer, isWebSocketServer, type SocketServer } from './socket-servers.ts';
import { decideSignal, disconnectWorker, isWatched, noteServing, watchSignals } from './process.ts';
import { type DrainReport, hasCut } from './policy/counters.ts';
import { WebSockets } from './web-sockets.ts';

const log = debug('sluice:lifecycle');

/** Connects the drain to what begins it and what it waits for: requests, attached servers, signals. */
export class LifecycleController {
  readonly drain: Drain;
  readonly holds: PendingWork;
  readonly #options: ResolvedLifecycleOptions;
  readonly #refusal: RefusalOptions;
  readonly #requests: Requests;
  readonly #listeners = new Listeners<LifecycleChange>(reportLifecycleError);
  readonly #attached = new Map<object, () => void>();
  readonly #unwatchSignals: () => void;
  readonly #takeHold: TakeHold = (onCut) => this.holds.take(onCut);
  #firstSignalAt: number | undefined;
  /** Whether a probe ever came. */
  #isProbed = false;
  #bypassed = false;

  constructor(options: ResolvedLifecycleOptions) {
    this.#options = options;
    this.#refusal = { ...options, text: 'This process is going down. Try again.\n', closes: true };
    this.drain = new Drain(options, (change) => this.#noteChange(change));
    this.holds = new PendingWork(this.drain);
    this.#requests = new Requests(this.drain);
    this.drain.add(this.holds);
    this.drain.add(this.#requests);
    this.#unwatchSignals = watchSignals(options.signals, () => this.#takeSignal());
  }

  get state(): LifecycleState {
    return stateOf(this.drain.phase);
  }

  /** The state, for a probe. */
  stateForProbe(): LifecycleState {
    this.#isProbed = true;
    return this.state;
  }

  handle(req: HttpRequest, res: HttpResponse, next: Next): void {
    if (this.#bypassed) {
      next();
      return;
    }
    this.#requests.track(res);
    this.#isProbed ||= isProbe(req);
    if (isRefusing(this.drain.phase) && !isStarted(res) && !this.#isExempt(req)) {
      this.#requests.refused(res, refuse(req, res, this.#refusal));
      return;
    }
    offerContext(req, res);
    offerHold(req, this.#takeHold);
    next();
  }

  attach(server: unknown): () => void {
    if (typeof server !== 'object' || server === null) throw refusedServer(server);
    const undo = this.#attached.get(server) ?? this.#attachNew(server);
    this.#attached.set(server, undo);
    noteServing(this, this.state !== 'dead');
    return () => {
      if (this.#attached.delete(server)) undo();
      if (this.#attached.size === 0) noteServing(this, false);
    };
  }

  /** @param options - a mistake: there are none. A drain must not fail of it: the mistake is reported. */
  startDrain(options?: unknown): Promise<DrainReport> {
    if (this.#attached.size === 0 && this.state === 'active')
      log('no server is attached: it keeps listening. Call `life.attach(server)`.');
    this.drain.begin(this.#isProbed);
    if (typeof options === 'object' && options !== null) reportDrainOptions(options);
    return this.drain.over;
  }

  on(event: 'state', listener: (change: LifecycleChange) => void): () => void {
    readOneOf('lifecycle.on', event, ['state']);
    requireFunction('lifecycle.on.listener', listener);
    return this.#listeners.add(listener);
  }

  close(): void {
    // A drain in progress goes on, and refuses requests.
    this.#bypassed = this.state !== 'draining';
    this.#unwatchSignals();
    this.#listeners.clear();
    if (this.state === 'draining') return;
    callEach(this.#attached.values(), (undo) => undo(), reportLifecycleError);
    this.#attached.clear();
    noteServing(this, false);
  }

  #attachNew(server: object): () => void {
    const { keepAlive, webSocketCode } = this.#options;
    const sockets = socketServerOf(server);
    if (sockets) return this.drain.add(new WebSockets(this.drain, sockets, webSocketCode));
    if (!(server instanceof Server)) throw refusedServer(server);
    const remove = this.drain.add(new Connections(this.drain, server, (res) => this.#requests.track(res)));
    const shorten = keepAlive === undefined ? undefined : lengthenKeepAlive(server, keepAlive);
    return () => {
      remove();
      shorten?.();
    };
  }

  /** The first signal begins a drain, even if a hook began one before. */
  #takeSignal(): void {
    const now = performance.now();
    const sinceFirst = this.#firstSignalAt === undefined ? undefined : now - this.#firstSignalAt;
    this.#firstSignalAt ??= now;
    const effect = decideSignal(sinceFirst, this.#options.forceAfter);
    if (effect === 'begin') void this.startDrain();
    else if (effect === 'force') this.drain.force('signal');
  }

  #noteChange(change: LifecycleChange): void {
    this.#listeners.emit(change);
    if (change.state !== 'dead') return;
    this.#unwatchSignals();
    noteServing(this, false);
    disconnectWorker();
    // `node --watch` waits for the end of the process, whatever else is open in it.
    if (this.#options.exit || (isWatched() && this.#firstSignalAt !== undefined)) void this.drain.over.then(exitSoon);
  }

  #isExempt(req: HttpRequest): boolean {
    try {
      return Boolean(this.#options.exempt(req));
    } catch (error) {
      reportLifecycleError(error);
      return false;
    }
  }
}

function reportDrainOptions(options: object): void {
  try {
    for (const name of Object.keys(options))
      refuseWhen(true, `drain.${name}`, 'does not exist. Give it to `lifecycle`.');
  } catch (error) {
    reportLifecycleError(error);
  }
}

/** Whether other code answers already. */
function isStarted(res: HttpResponse): boolean {
  return res.headersSent || seamOf(res)?.hasWriter === true;
}

/** Not at once: code that waits for the report runs first. */
function exitSoon(report: DrainReport): void {
  setImmediate(() => process.exit(hasCut(report) ? 1 : 0));
}

function socketServerOf(server: object): SocketServer | undefined {
  if (isWebSocketServer(server)) return fromWebSocketServer(server);
  const engine = engineOf(server);
  return engine && fromEngine(engine);
}

function refusedServer(value: unknown): InvalidOptionError {
  const expected = [
    'a server of node:http, node:https or node:http2',
    'a WebSocketServer that tracks its clients',
    'or a server of Socket.IO',
  ];
  return new InvalidOptionError('lifecycle.attach', expected.join(', '), value);
}
