import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { RegistryStats } from '../heartbeat/index.ts';
import { callEach, Listeners } from '../internal/listeners.ts';
import { type AlertChange, monitorErrors, monitorEvents } from './events.ts';
import { type AlertRule, type AlertState, nextAlert, quiet } from './policy/alerts.ts';
import type { AlertSnapshot, CodingSnapshot, ProcessSnapshot } from './snapshot.ts';

/** What a sampler asks at each interval. */
export interface SamplerInput {
  /** Milliseconds. */
  readonly interval: number;
  readonly alerts: readonly AlertRule[];
  /** All bytes of bodies so far. */
  readonly bytes: () => CodingSnapshot;
  readonly connections: () => RegistryStats;
}

// Milliseconds between two looks at the event loop.
const resolution = 20;

/** Computes rates, and decides about alerts, at each interval. Its timer does not keep the process alive. */
export class Sampler {
  readonly alertChanges: Listeners<AlertChange> = new Listeners((error) =>
    monitorErrors.report({ error, req: undefined }),
  );
  readonly #input: SamplerInput;
  readonly #timer: NodeJS.Timeout;
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution });
  readonly #states = new Map<AlertRule, AlertState>();
  readonly #ticks = new Set<() => void>();
  #utilization = performance.eventLoopUtilization();
  #at = performance.now();
  #bytes: CodingSnapshot = { in: 0, out: 0 };
  throughput: CodingSnapshot = { in: 0, out: 0 };
  /** Of the last interval. */
  loop: Pick<ProcessSnapshot, 'eventLoopDelay' | 'eventLoopUtilization'> = {
    eventLoopDelay: 0,
    eventLoopUtilization: 0,
  };
  #memory: Pick<ProcessSnapshot, 'residentMemory' | 'heapUsed'> = { residentMemory: 0, heapUsed: 0 };

  constructor(input: SamplerInput) {
    this.#input = input;
    this.#delay.enable();
    this.#timer = setInterval(() => this.#sample(), input.interval).unref();
  }

  /** Calls back after each interval. Returns the undo. */
  onTick(listener: () => void): () => void {
    this.#ticks.add(listener);
    return () => void this.#ticks.delete(listener);
  }

  /** @param stats - of the connections at this moment */
  alerts(stats: RegistryStats): AlertSnapshot[] {
    const now = performance.now();
    return [...this.#states].flatMap(([rule, state]) =>
      state.kind === 'firing'
        ? [
            {
              name: rule.name,
              value: valueOf(rule, stats) ?? 0,
              above: rule.above,
              since: Date.now() - (now - state.since),
            },
          ]
        : [],
    );
  }

  process(): ProcessSnapshot {
    const { user, system } = process.cpuUsage();
    this.#memory = readMemory() ?? this.#memory;
    return { ...this.loop, cpu: (user + system) / 1e6, ...this.#memory };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#delay.disable();
    this.alertChanges.clear();
    this.#ticks.clear();
  }

  #sample(): void {
    const now = performance.now();
    const seconds = (now - this.#at) / 1_000;
    const bytes = this.#input.bytes();
    this.throughput = { in: (bytes.in - this.#bytes.in) / seconds, out: (bytes.out - this.#bytes.out) / seconds };
    this.#bytes = bytes;
    this.#at = now;
    const utilization = performance.eventLoopUtilization();
    this.loop = {
      // Each look is late by the resolution itself.
      eventLoopDelay: Math.max(0, this.#delay.percentile(99) / 1e6 - resolution) / 1_000,
      eventLoopUtilization: performance.eventLoopUtilization(utilization, this.#utilization).utilization,
    };
    this.#utilization = utilization;
    this.#delay.reset();
    this.#judge(now);
    callEach(
      this.#ticks,
      (tick) => tick(),
      (error) => monitorErrors.report({ error, req: undefined }),
    );
  }

  #judge(now: number): void {
    const stats = this.#input.connections();
    for (const rule of this.#input.alerts) {
      const before = this.#states.get(rule) ?? quiet;
      const value = valueOf(rule, stats);
      const after = nextAlert(rule, before, value, now);
      this.#states.set(rule, after);
      if ((after.kind === 'firing') === (before.kind === 'firing')) continue;
      const state = after.kind === 'firing' ? 'firing' : 'resolved';
      const change: AlertChange = { name: rule.name, state, value, above: rule.above };
      monitorEvents.alert.publish(change);
      this.alertChanges.emit(change);
    }
  }
}

/** Linux has it in a file: none can be opened while the process has no descriptors left. `undefined` then. */
function readMemory(): Pick<ProcessSnapshot, 'residentMemory' | 'heapUsed'> | undefined {
  try {
    const { rss, heapUsed } = process.memoryUsage();
    return { residentMemory: rss, heapUsed };
  } catch {
    return undefined;
  }
}

function valueOf(rule: AlertRule, stats: RegistryStats): number | null {
  return rule.name === 'unresponsive_ratio' ? stats.unresponsive_ratio : stats.avg_heartbeat_rt;
}
