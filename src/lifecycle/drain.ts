import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { DrainingError } from '../errors.ts';
import { captureScope } from '../internal/context/async-scope.ts';
import { callEach } from '../internal/listeners.ts';
import { StaggeredQueue } from './staggered-queue.ts';
import type { DrainPart, DrainHost } from './drain-part.ts';
import type { ResolvedLifecycleOptions } from './options.ts';
import { isLeaving, nextPhase, type Phase, type PhaseEvent, stateOf } from './policy/phase.ts';
import { type LifecycleChange, lifecycleEvents, reportLifecycleError } from './events.ts';
import { decideStep, effectivePlan, type Plan, tellingWindow } from './policy/schedule.ts';
import { isWatched } from './process.ts';
import { type DrainEnd, type DrainReport, DrainCounters } from './policy/counters.ts';

// How often to look for latecomers: streams that became resumable, connections that became idle unseen.
const sweepInterval = 1000;

/**
 * Graceful shutdown: moves through the phases, and takes all parts with it.
 *
 *     drain ── preDrain ──▶ leave ── sweep ─ sweep ─ … ─────────▶ all parts empty ──▶ dead
 *       │                     └── drainTimeout ──▶ last call ──▶ cut ──────────────▶
 *       └──────────── a second signal ───────────────────────────▶ cut ──────────────▶
 */
export class Drain implements DrainHost {
  readonly counters: DrainCounters = new DrainCounters();
  /** Resolves when the drain is over. Never rejects. */
  readonly over: Promise<DrainReport>;
  readonly #options: ResolvedLifecycleOptions;
  readonly #onChange: (change: LifecycleChange) => void;
  readonly #controller = new AbortController();
  readonly #queue: StaggeredQueue;
  readonly #parts = new Set<DrainPart>();
  #sweeping: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #plan: Plan;
  #phase: Phase = 'active';
  #began = 0;
  #end: DrainEnd = 'complete';
  #settling: NodeJS.Immediate | undefined;
  #freed = new Set<Socket>();
  /**
   * Timers, listeners and connections of the drain run in this async context, and not in that of a request that begins
   * it or ends last.
   */
  readonly #scope = captureScope();
  #resolve!: (report: DrainReport) => void;

  constructor(options: ResolvedLifecycleOptions, onChange: (change: LifecycleChange) => void) {
    this.#options = options;
    this.#plan = options;
    this.#onChange = onChange;
    // Everything that waits for the end of the process listens to it: any number is right.
    setMaxListeners(Infinity, this.#controller.signal);
    this.#queue = new StaggeredQueue(() => this.settleSoon(), reportLifecycleError);
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Aborts when the drain begins. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Adds a part to wait for. Returns its removal, which ends nothing. */
  add(part: DrainPart): () => void {
    this.#parts.add(part);
    return () => {
      if (!this.#parts.delete(part)) return;
      part.release?.();
      this.settleSoon();
    };
  }

  /** @param isProbed - a probe came, so something outside watches the process */
  begin(isProbed: boolean): void {
    if (this.#phase !== 'active') return;
    this.#plan = effectivePlan(this.#plan, { isProbed, isEmpty: this.#isEmpty(), isWatched: isWatched() });
    this.#scope.runInAsyncScope(() => {
      this.#move('drain');
      this.advance();
    });
  }

  /** Ends the rest by force, if the drain has begun. */
  force(end: DrainEnd): void {
    if (stateOf(this.#phase) !== 'draining') return;
    this.#end = end;
    const parts = [...this.#parts];
    const cut = (part: DrainPart): void => part.cut();
    this.#callEach(
      cut,
      parts.filter(({ carries }) => !carries),
    );
    this.#callEach(
      cut,
      parts.filter(({ carries }) => carries),
    );
    this.#move('cut');
  }

  settleSoon(socket?: Socket): void {
    if (!isLeaving(this.#phase)) return;
    if (socket) this.#freed.add(socket);
    this.#settling ??= this.#scope.runInAsyncScope(setImmediate, undefined, settle, this);
  }

  settle(): void {
    this.#settling = undefined;
    if (!isLeaving(this.#phase)) return;
    const freed = this.#freed;
    this.#freed = new Set();
    this.#callEach((part) => part.tidy?.(freed));
    // Clients that were still to be told may have left by themselves.
    if (this.#isEmpty()) this.#move('emptied');
  }

  fail(error: unknown): void {
    reportLifecycleError(error);
  }

  #move(event: PhaseEvent): void {
    const [previous, phase] = [this.#phase, nextPhase(this.#phase, event)];
    if (phase === previous) return;
    this.#phase = phase;
    this.#enter(phase);
    const change = { state: stateOf(phase), previous: stateOf(previous) };
    if (change.state !== change.previous) this.#tell(change);
    if (phase === 'dead') this.#finish();
  }

  #enter(phase: Phase): void {
    switch (phase) {
      case 'active':
        break;
      case 'announcing':
        this.#began = performance.now();
        this.#callEach((part) => part.announce?.());
        break;
      case 'leaving':
        this.#sweeping = setInterval(sweep, sweepInterval, this, sweepInterval);
        this.sweep(this.#options.spread);
        break;
      case 'parting':
        // The last sweep: latecomers must not put off the end.
        clearInterval(this.#sweeping);
        this.sweep(0);
        this.#queue.runAll();
        break;
      case 'dead':
        this.#stopClocks();
        this.#callEach((part) => part.release?.());
    }
  }

  /** Asks clients to reconnect, spread over `window` ms. */
  sweep(window: number): void {
    const telling = tellingWindow(this.#plan, this.#elapsed(), window);
    this.#callEach((part) => this.#queue.add(part.leave?.() ?? [], telling));
    this.settleSoon();
  }

  /** Takes the steps that are due, in order, and waits for the next one. */
  advance(): void {
    clearTimeout(this.#timer);
    const { lastAt } = this.#queue;
    const toldAt = lastAt === undefined ? undefined : lastAt - this.#began;
    const step = decideStep(this.#plan, { phase: this.#phase, elapsed: this.#elapsed(), toldAt });
    switch (step.kind) {
      case 'wait':
        // The timer keeps the process alive until the drain ends.
        // Time goes on meanwhile, and Node warns of a negative delay.
        if (step.until !== Infinity) this.#timer = setTimeout(advance, Math.max(0, step.until - this.#elapsed()), this);
        return;
      case 'leave':
        this.#move('announced');
        break;
      case 'last-call':
        this.#move('overdue');
        break;
      case 'cut':
        this.force('timeout');
    }
    this.advance();
  }

  #callEach(call: (part: DrainPart) => void, parts: Iterable<DrainPart> = this.#parts): void {
    callEach(parts, call, reportLifecycleError);
  }

  #isEmpty(): boolean {
    return [...this.#parts].every((part) => part.isEmpty);
  }

  #elapsed(): number {
    return performance.now() - this.#began;
  }

  #stopClocks(): void {
    clearInterval(this.#sweeping);
    clearTimeout(this.#timer);
    this.#queue.clear();
    clearImmediate(this.#settling);
  }

  #tell(change: LifecycleChange): void {
    lifecycleEvents.state.publish(change);
    if (change.state === 'draining') this.#controller.abort(new DrainingError());
    this.#onChange(change);
  }

  #finish(): void {
    const report = this.counters.report(performance.now() - this.#began, this.#end);
    this.#resolve(report);
    lifecycleEvents.drain.publish(report);
  }
}

function advance(drain: Drain): void {
  drain.advance();
}

function settle(drain: Drain): void {
  drain.settle();
}

function sweep(drain: Drain, window: number): void {
  drain.sweep(window);
}
