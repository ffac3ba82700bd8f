import { usableCores } from '../codecs/cores.ts';

/** Where the signals come from; all counters only grow. */
export interface LoadSources {
  /** Milliseconds of a clock that does not go back. */
  readonly now: () => number;
  /** CPU time that the process has used, all its threads, in milliseconds. */
  readonly cpuTime: () => number;
  /** What the event loop of this thread has spent at work and waiting, in any one unit. */
  readonly loop: () => { readonly active: number; readonly idle: number };
  /** How many cores the process may use; a fraction where a quota says so. */
  readonly cores: number;
}

// Measured: a block of 20 kB takes 0.2 ms on two idle cores, 5 ms with 64 streams (both cores are saturated by then,
// which the CPU time shows) and 20 ms with 256. Too low is the bad side: a block that is large, and not late, would
// count as load.
const saturatedLatency = 25;

// One encode that took long for a reason of its own says nothing: what it counts for is bounded, and as many as this
// are needed in one interval to count in full. Fewer count for less, which is safe: the CPU time shows a real
// saturation too.
const longestLatency = 2 * saturatedLatency;
const enoughObservations = 8;

// With all threads of the pool taken, nothing finishes and nothing is observed: silence must not read as idleness at
// once.
const fadeTime = 1000;

/**
 * How loaded the process is: 0 idle, 1 saturated, and more where work waits.
 *
 * The worst of three, since each is blind where another sees: the CPU time of the process over the cores that it may
 * use (one thread out of eight that is busy reads 0.13), the event loop's utilisation (0.3 on a machine that is
 * saturated by the thread pool), and how long encodes take (nothing where nothing is encoded).
 */
export class LoadMeter {
  readonly #sources: LoadSources;
  readonly #latency = new LatencyGauge();
  #now: number;
  #cpuTime: number;
  #loop: { readonly active: number; readonly idle: number };

  constructor(sources: LoadSources = processSources()) {
    this.#sources = sources;
    this.#now = sources.now();
    this.#cpuTime = sources.cpuTime();
    this.#loop = sources.loop();
  }

  /** Notes that an encode in another thread took `latency` ms: 25 ms on average is a load of 1. */
  observe(latency: number): void {
    this.#latency.observe(latency);
  }

  /** The load since the last call. */
  read(): number {
    const { now, cpuTime, loop, cores } = this.#sources;
    const last = { now: this.#now, cpuTime: this.#cpuTime, loop: this.#loop };
    this.#now = now();
    this.#cpuTime = cpuTime();
    this.#loop = loop();
    const elapsed = this.#now - last.now;
    const active = this.#loop.active - last.loop.active;
    return Math.max(
      share(this.#cpuTime - last.cpuTime, elapsed * cores),
      share(active, active + this.#loop.idle - last.loop.idle),
      this.#latency.read(elapsed),
    );
  }
}

/** The mean latency of each interval as a load; at its end it fades, to 1/e in a second. */
class LatencyGauge {
  #sum = 0;
  #count = 0;
  #load = 0;

  observe(latency: number): void {
    this.#sum += Math.min(latency, longestLatency);
    this.#count += 1;
  }

  read(elapsed: number): number {
    const mean = this.#sum / Math.max(this.#count, enoughObservations);
    this.#load = Math.max(mean / saturatedLatency, this.#load * Math.exp(-elapsed / fadeTime));
    this.#sum = 0;
    this.#count = 0;
    return this.#load;
  }
}

function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

function processSources(): LoadSources {
  return {
    now: () => performance.now(),
    cpuTime: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    loop: () => performance.eventLoopUtilization(),
    cores: usableCores(),
  };
}
