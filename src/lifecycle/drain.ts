import { DrainingError } from '../errors.ts';
import { Departures } from './departures.ts';
import type { Drainable, DrainSite } from './drainable.ts';
import type { ResolvedLifecycleOptions } from './options.ts';
import { nextPhase, type Phase, type PhaseEvent, stateOf } from './phase.ts';
import { type LifecycleChange, reportDrain, reportLifecycleError, reportState } from './report.ts';
import { type DrainEnd, type DrainReport, Tally } from './tally.ts';

// How often latecomers are looked for: streams that became resumable, connections that became idle unseen.
const sweepInterval = 1000;

// Of the time that is left before everything is cut, that in which streams are sent away: the last ones need some for their last bytes.
const departuresPart = 0.8;

/**
 * The way down: moves through the phases, and takes all parts with it.
 *
 *     drain ── preDrain ──▶ leave ── sweep ─ sweep ─ … ──▶ all parts empty ──▶ dead
 *       └───────────── drainTimeout, second signal ──▶ cut ────────────────────▶
 */
export class Drain implements DrainSite {
  readonly tally: Tally = new Tally();
  /** Resolves when it is over; never rejects. */
  readonly over: Promise<DrainReport>;
  readonly #options: ResolvedLifecycleOptions;
  readonly #onChange: (change: LifecycleChange) => void;
  readonly #controller = new AbortController();
  readonly #departures: Departures;
  readonly #parts = new Set<Drainable>();
  readonly #timers: NodeJS.Timeout[] = [];
  #phase: Phase = 'active';
  #began = 0;
  #end: DrainEnd = 'complete';
  #settling: NodeJS.Immediate | undefined;
  #resolve!: (report: DrainReport) => void;

  constructor(options: ResolvedLifecycleOptions, onChange: (change: LifecycleChange) => void) {
    this.#options = options;
    this.#onChange = onChange;
    this.#departures = new Departures(() => this.settleSoon());
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Aborts when it begins. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Adds something to wait for. Returns its removal, which ends nothing. */
  add(part: Drainable): () => void {
    this.#parts.add(part);
    return () => {
      if (!this.#parts.delete(part)) return;
      part.release();
      this.settleSoon();
    };
  }

  begin(): void {
    this.#move('drain');
  }

  /** Ends what is left, if it has begun. */
  force(end: DrainEnd): void {
    if (stateOf(this.#phase) !== 'draining') return;
    this.#end = end;
    const parts = [...this.#parts];
    for (const part of parts.filter(({ carries }) => !carries)) part.cut();
    for (const part of parts.filter(({ carries }) => carries)) part.cut();
    this.#move('cut');
  }

  settleSoon(): void {
    if (this.#phase === 'leaving') this.#settling ??= setImmediate(settle, this);
  }

  settle(): void {
    this.#settling = undefined;
    if (this.#phase !== 'leaving') return;
    for (const part of this.#parts) part.tidy();
    if (this.#departures.isEmpty && [...this.#parts].every((part) => part.isEmpty)) this.#move('emptied');
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
        this.#startClocks();
        for (const part of this.#parts) part.announce();
        break;
      case 'leaving':
        this.#timers.push(setInterval(sweep, sweepInterval, this, sweepInterval));
        this.sweep(this.#options.spread);
        break;
      case 'dead':
        this.#stopClocks();
        for (const part of this.#parts) part.release();
    }
  }

  /** Sends away those who are to be told, over a window. */
  sweep(window: number): void {
    const left = (this.#began + this.#options.drainTimeout - performance.now()) * departuresPart;
    for (const part of this.#parts) this.#departures.add(part.leave(), Math.max(0, Math.min(window, left)));
    this.settleSoon();
  }

  // These keep the process alive: who waits for the end of the drain must get it.
  #startClocks(): void {
    const { preDrain, drainTimeout } = this.#options;
    this.#timers.push(setTimeout(() => this.#move('announced'), preDrain));
    if (drainTimeout !== Infinity) this.#timers.push(setTimeout(() => this.force('timeout'), drainTimeout));
  }

  #stopClocks(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#departures.clear();
    clearImmediate(this.#settling);
  }

  #tell(change: LifecycleChange): void {
    reportState(change);
    if (change.state === 'draining') this.#controller.abort(new DrainingError());
    this.#onChange(change);
  }

  #finish(): void {
    const report = this.tally.report(performance.now() - this.#began, this.#end);
    this.#resolve(report);
    reportDrain(report);
  }
}

function settle(drain: Drain): void {
  drain.settle();
}

function sweep(drain: Drain, window: number): void {
  drain.sweep(window);
}
