import type { ProxyError } from '../../errors.ts';
import type { TimingWheel } from '../../internal/time/timing-wheel.ts';
import { proxyEvents } from '../events.ts';
import { HealthProbe } from './health-probe.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import { healthy, isAvailable, noteOutlier, type OutlierEvidence, type OutlierState } from '../policy/outlier.ts';
import type { Target } from '../policy/request-target.ts';
import { type ConnectionPool, type DispatchHandler, type DispatchOptions, openPool } from './transport.ts';

/** What an upstream has done so far. */
export interface UpstreamStats {
  /** Its origin. */
  readonly upstream: string;
  /** Requests under way. */
  readonly active: number;
  /** Requests sent, retries included. */
  readonly requests: number;
  /** Tries that failed, and answers that count as failures. */
  readonly failures: number;
  /** How often it was ejected. */
  readonly ejections: number;
  /** `ejected`: it gets no requests for a while. `down`: its health probes fail. */
  readonly state: 'up' | 'ejected' | 'down';
  /** How long the last health probe took, in ms; `undefined`: none was answered yet. */
  readonly roundTrip: number | undefined;
}

/** One server that requests go to, with its connections and its health. */
export class Upstream {
  readonly origin: string;
  readonly #options: ResolvedProxyOptions;
  readonly #host: string;
  readonly #path: string;
  #pool: ConnectionPool | undefined;
  #state: OutlierState = healthy;
  #active = 0;
  #requests = 0;
  #failures = 0;
  #ejections = 0;
  #probe: HealthProbe | undefined;
  #roundTrip: number | undefined;

  constructor(target: Target, options: ResolvedProxyOptions) {
    this.origin = target.origin;
    this.#host = target.host;
    this.#path = target.path;
    this.#options = options;
  }

  get active(): number {
    return this.#active;
  }

  /** Sends a request. `end` is to be called once for each. */
  dispatch(options: DispatchOptions, handler: DispatchHandler): void {
    this.#active += 1;
    this.#requests += 1;
    this.#connections().dispatch(options, handler);
  }

  /** Asks whether it is well, now and then, until it is closed. */
  startProbes(wheel: TimingWheel): void {
    const { health } = this.#options;
    if (!health || this.#probe) return;
    this.#probe = new HealthProbe(health, {
      wheel,
      path: this.#path + health.path,
      host: this.#host,
      pool: () => this.#connections(),
      note: (isWell, roundTrip) => {
        if (isWell) this.#roundTrip = roundTrip;
        this.note(isWell ? 'probe-success' : 'probe-failure');
      },
    });
  }

  end(): void {
    this.#active -= 1;
  }

  /** Takes what a request or a probe has shown of its health. */
  note(evidence: OutlierEvidence): void {
    if (evidence === 'failure') this.#failures += 1;
    const now = performance.now();
    const before = this.#state;
    const after = (this.#state = noteOutlier(before, evidence, this.#options.outlier, now));
    const upstream = this.origin;
    if (after.ejectedUntil > before.ejectedUntil) {
      this.#ejections += 1;
      proxyEvents.upstream.publish({ upstream, state: 'ejected', duration: after.ejectedUntil - now });
    } else if (after.isDown !== before.isDown) {
      proxyEvents.upstream.publish({ upstream, state: after.isDown ? 'down' : 'up', duration: undefined });
    }
  }

  isAvailable(now: number): boolean {
    return isAvailable(this.#state, now);
  }

  stats(): UpstreamStats {
    const state = this.#state.isDown ? 'down' : this.isAvailable(performance.now()) ? 'up' : 'ejected';
    return {
      upstream: this.origin,
      active: this.#active,
      requests: this.#requests,
      failures: this.#failures,
      ejections: this.#ejections,
      state,
      roundTrip: this.#roundTrip,
    };
  }

  async close(reason: ProxyError | null): Promise<void> {
    this.#probe?.close();
    await this.#pool?.destroy(reason);
  }

  #connections(): ConnectionPool {
    const { timeouts, maxConnections, tlsOf } = this.#options;
    const settings = { connectTimeout: timeouts.connect, maxConnections };
    return (this.#pool ??= openPool(this.origin, tlsOf(this.#host), settings));
  }
}

// An application that makes targets up, such as one for each tenant, would else keep them all.
const maxIdleUpstreams = 1000;

/** All upstreams of a proxy, by origin. Made at their first request; those that were idle longest are closed. */
export class Upstreams {
  readonly #options: ResolvedProxyOptions;
  readonly #wheel: TimingWheel;
  readonly #byOrigin = new Map<string, Upstream>();

  constructor(options: ResolvedProxyOptions, wheel: TimingWheel) {
    this.#options = options;
    this.#wheel = wheel;
  }

  get all(): readonly Upstream[] {
    return [...this.#byOrigin.values()];
  }

  /**
   * Chooses the target for a try: of those that are available and not tried yet, the one with the fewest requests
   * under way. Where none is, another all the same: the last one is never left out.
   */
  choose(targets: readonly Target[], tried: ReadonlySet<string>, random: () => number): [Target, Upstream] {
    const now = performance.now();
    let best: [Target, Upstream] | undefined;
    let bestScore = Infinity;
    for (const target of targets) {
      const upstream = this.#of(target);
      // The random part is less than one request: it decides between equals.
      const score =
        upstream.active + random() + (tried.has(upstream.origin) ? 1e6 : 0) + (upstream.isAvailable(now) ? 0 : 1e9);
      if (score >= bestScore) continue;
      best = [target, upstream];
      bestScore = score;
    }
    if (!best) throw new Error('no targets');
    return best;
  }

  async close(reason: ProxyError): Promise<void> {
    const all = this.all;
    this.#byOrigin.clear();
    await Promise.all(all.map((each) => each.close(reason)));
  }

  #of(target: Target): Upstream {
    let upstream = this.#byOrigin.get(target.origin);
    if (!upstream) {
      upstream = new Upstream(target, this.#options);
      this.#byOrigin.set(target.origin, upstream);
      upstream.startProbes(this.#wheel);
      if (this.#byOrigin.size > maxIdleUpstreams) this.#forgetIdle();
    }
    return upstream;
  }

  #forgetIdle(): void {
    for (const [origin, upstream] of this.#byOrigin) {
      if (upstream.active > 0) continue;
      this.#byOrigin.delete(origin);
      void upstream.close(null);
      return;
    }
  }
}
