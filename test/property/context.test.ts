import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DeadlineExceededError } from '../../src/errors.ts';
import type { Clock } from '../../src/internal/time/clock.ts';
import { Context } from '../../src/internal/context/context.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that goes when it is told to. */
class TestClock implements Clock {
  time = 1000;
  readonly timers = new Set<Timer>();

  now(): number {
    return this.time;
  }

  startTimer(delay: number, callback: () => void): () => void {
    expect(delay).toBeGreaterThanOrEqual(0);
    expect(delay).toBeLessThan(Infinity);
    const timer = { at: this.time + delay, callback };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  advance(duration: number): void {
    const end = this.time + duration;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.timers.delete(next);
      this.time = next.at;
      next.callback();
    }
    this.time = end;
  }
}

/** What a context should be, the long way: everything is looked at, nothing is remembered. */
class Model {
  state: 'live' | 'aborted' | 'disposed' = 'live';
  parent: Model | undefined;
  expires: number;
  reason: unknown;
  isWatched = false;
  readonly all: Model[];

  constructor(all: Model[], parent: Model | undefined, expires: number) {
    this.all = all;
    this.expires = expires;
    if (parent?.state === 'live') this.parent = parent;
    else if (parent?.state === 'aborted') this.#become('aborted', parent.reason);
    else if (parent) this.expires = Math.min(expires, parent.limit);
    all.push(this);
  }

  get limit(): number {
    return Math.min(this.expires, this.parent?.limit ?? Infinity);
  }

  get children(): Model[] {
    return this.all.filter(({ parent }) => parent === this);
  }

  watch(): void {
    if (this.state !== 'live') return;
    this.isWatched = true;
    this.parent?.watch();
  }

  abort(reason: unknown): void {
    if (this.state !== 'live') return;
    const { children } = this;
    this.#become('aborted', reason);
    for (const child of children) child.abort(reason);
  }

  dispose(): void {
    if (this.state !== 'live') return;
    const { children, limit } = this;
    this.expires = limit;
    this.#become('disposed', undefined);
    for (const child of children) {
      child.parent = undefined;
      child.expires = Math.min(child.expires, limit);
    }
  }

  #become(state: 'aborted' | 'disposed', reason: unknown): void {
    this.state = state;
    this.reason = reason;
    this.parent = undefined;
  }
}

/** The one reason of all that a deadline aborts; each has an error of its own. */
const deadline = 'deadline';

interface Registration {
  readonly calls: unknown[];
  isUndone: boolean;
  readonly undo: () => void;
}

class Pair {
  readonly registrations: Registration[] = [];
  readonly events: unknown[] = [];
  readonly real: Context;
  readonly model: Model;
  hasSignal = false;

  constructor(real: Context, model: Model) {
    this.real = real;
    this.model = model;
  }

  listen(): void {
    const calls: unknown[] = [];
    const undo = this.real.onAbort((reason) => calls.push(reason));
    this.registrations.push({ calls, isUndone: false, undo });
    this.model.watch();
  }

  askForSignal(): void {
    const { signal } = this.real;
    if (!this.hasSignal) signal.addEventListener('abort', () => this.events.push(signal.reason));
    this.hasSignal = true;
    this.model.watch();
  }
}

function makeReason(reason: unknown): unknown {
  return reason instanceof DeadlineExceededError ? deadline : reason;
}

type Step =
  | { readonly kind: 'child'; readonly at: number; readonly timeout: number }
  | { readonly kind: 'abort' | 'dispose' | 'listen' | 'unlisten' | 'signal' | 'throwIfAborted'; readonly at: number }
  | { readonly kind: 'reschedule'; readonly at: number; readonly timeout: number }
  | { readonly kind: 'advance'; readonly duration: number };

// Mostly few, so that much happens to each.
const at = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 2 }) }, { weight: 1, arbitrary: fc.nat({ max: 1000 }) });
const timeout = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 60 }) },
  { weight: 1, arbitrary: fc.constant(Infinity) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('child' as const), at, timeout }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'abort' as const,
        'dispose' as const,
        'listen' as const,
        'listen' as const,
        'unlisten' as const,
        'signal' as const,
        'signal' as const,
        'throwIfAborted' as const,
      ),
      at,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('reschedule' as const),
      at,
      timeout: fc.oneof(timeout, fc.constant(Infinity)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('advance' as const), duration: fc.integer({ min: 0, max: 25 }) }),
  },
);

class World {
  readonly clock = new TestClock();
  readonly models: Model[] = [];
  readonly pairs: Pair[];

  constructor(timeout: number) {
    this.pairs = [
      new Pair(
        new Context(undefined, timeout, { clock: this.clock }),
        new Model(this.models, undefined, this.clock.time + timeout),
      ),
    ];
  }

  pair(index: number): Pair {
    // The youngest first.
    return this.pairs[this.pairs.length - 1 - (index % this.pairs.length)]!;
  }

  play(step: Step): void {
    if (step.kind === 'advance') {
      this.#advance(step.duration);
      return;
    }
    const pair = this.pair(step.at);
    const { real, model } = pair;
    switch (step.kind) {
      case 'child':
        this.pairs.push(
          new Pair(
            real.child({ timeout: step.timeout }),
            new Model(this.models, model, this.clock.time + step.timeout),
          ),
        );
        break;
      case 'abort': {
        const reason = new Error('aborted by hand');
        real.abort(reason);
        model.abort(reason);
        break;
      }
      case 'dispose':
        real.dispose();
        model.dispose();
        break;
      case 'listen':
        pair.listen();
        break;
      case 'unlisten':
        for (const registration of pair.registrations.slice(-1)) {
          registration.undo();
          registration.isUndone ||= registration.calls.length === 0;
        }
        break;
      case 'signal':
        pair.askForSignal();
        break;
      case 'reschedule':
        real.reschedule(step.timeout);
        if (model.state === 'live') model.expires = this.clock.time + step.timeout;
        break;
      case 'throwIfAborted':
        this.#throwIfAborted(pair);
    }
  }

  #advance(duration: number): void {
    this.clock.advance(duration);
    // Those above first: what is below them goes with them.
    for (const model of this.models) if (model.isWatched && model.limit <= this.clock.time) model.abort(deadline);
  }

  #throwIfAborted({ real, model }: Pair): void {
    if (model.limit <= this.clock.time) model.abort(deadline);
    const isOver = model.state === 'aborted' || model.limit <= this.clock.time;
    let thrown: unknown = 'nothing';
    try {
      real.throwIfAborted();
    } catch (error) {
      thrown = makeReason(error);
    }
    expect(thrown).toBe(model.state === 'aborted' ? model.reason : isOver ? deadline : 'nothing');
  }

  check(): void {
    for (const { real, model, registrations, events, hasSignal } of this.pairs) {
      expect(real.isLive).toBe(model.state === 'live');
      expect(makeReason(real.reason)).toBe(model.reason);
      if (model.state !== 'aborted') expect(real.remaining()).toBe(Math.max(0, model.limit - this.clock.time));
      if (hasSignal) {
        expect(real.signal.aborted).toBe(model.state === 'aborted');
        expect(makeReason(real.signal.reason)).toBe(model.state === 'aborted' ? model.reason : undefined);
      }
      expect(events.length).toBeLessThanOrEqual(model.state === 'aborted' ? 1 : 0);
      for (const { calls, isUndone } of registrations) {
        const expected = model.state === 'aborted' && !isUndone ? [model.reason] : [];
        expect(calls.map(makeReason)).toEqual(expected);
      }
    }
    // As few timers as there are deadlines to wait for.
    expect(this.clock.timers.size).toBeLessThanOrEqual(
      this.models.filter((model) => model.state === 'live' && model.isWatched && model.limit < Infinity).length,
    );
  }
}

it('a tree of contexts does what it should, whatever happens to whichever of them', () => {
  fc.assert(
    fc.property(timeout, fc.array(step, { maxLength: 60 }), (first, steps) => {
      const world = new World(first);
      for (const each of steps) {
        world.play(each);
        world.check();
      }
      // In the end nothing is left that waits.
      for (const { real, model } of world.pairs) {
        real.dispose();
        model.dispose();
      }
      world.check();
      expect(world.clock.timers.size).toBe(0);
      world.play({ kind: 'advance', duration: 1000 });
      world.check();
    }),
    { numRuns: 1500 },
  );
});

it('no context outlives the deadline of one above it, whatever it was made with', () => {
  fc.assert(
    fc.property(timeout, fc.array(fc.record({ at, timeout }), { maxLength: 30 }), (first, children) => {
      const world = new World(first);
      for (const child of children) world.play({ kind: 'child', ...child });
      for (const pair of world.pairs) pair.askForSignal();
      for (let time = 0; time < 70; time++) {
        for (const { real, model } of world.pairs)
          if (model.parent) expect(real.remaining()).toBeLessThanOrEqual(model.parent.limit - world.clock.time);
        world.play({ kind: 'advance', duration: 1 });
        world.check();
      }
    }),
    { numRuns: 50 },
  );
});

it('deadlines that are traded for others, longer or shorter, leave to each below what is its own', () => {
  const trade = fc.record({ at, timeout, duration: fc.integer({ min: 0, max: 15 }) });
  fc.assert(
    fc.property(
      timeout,
      fc.array(fc.record({ at, timeout }), { minLength: 1, maxLength: 5 }),
      fc.array(trade, { maxLength: 8 }),
      (first, children, trades) => {
        const world = new World(first);
        for (const child of children) world.play({ kind: 'child', ...child });
        for (const pair of world.pairs) pair.askForSignal();
        for (const { at: which, timeout: other, duration } of trades) {
          world.play({ kind: 'reschedule', at: which, timeout: other });
          world.play({ kind: 'advance', duration });
          world.check();
        }
        world.play({ kind: 'advance', duration: 100 });
        world.check();
      },
    ),
    { numRuns: 500 },
  );
});

it('an abort reaches all that is below, and nothing beside', () => {
  fc.assert(
    fc.property(fc.array(at, { minLength: 1, maxLength: 40 }), at, (parents, chosen) => {
      const world = new World(Infinity);
      for (const parent of parents) world.play({ kind: 'child', at: parent, timeout: Infinity });
      for (const pair of world.pairs) pair.listen();
      const reason = new Error('stop');
      const { real, model } = world.pair(chosen);
      const below = new Set<Model>([model]);
      for (const each of world.models) if (each.parent && below.has(each.parent)) below.add(each);
      real.abort(reason);
      for (const pair of world.pairs)
        expect(pair.registrations.map(({ calls }) => calls)).toEqual([below.has(pair.model) ? [reason] : []]);
    }),
    { numRuns: 200 },
  );
});
