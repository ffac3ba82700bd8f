import type { ProxyError } from '../../errors.ts';
import type { TimingWheel } from '../../internal/time/timing-wheel.ts';
import { HealthProbe } from './health-probe.ts';
import type { ResolvedProxyOptions } from '../options.ts';
import type { Standing } from '../policy/outlier.ts';
import type { Target } from '../policy/request-target.ts';
import { type ConnectionPool, type DispatchHandler, type DispatchOptions, openPool } from './transport.ts';
import { UpstreamHealth } from './upstream-health.ts';

/** What an upstream has done so far. */
export interface UpstreamStats {
  /** Its origin. */
  readonly upstream: string;
  /** Its name in the registry: for `evict`. */
  readonly id: string;
  /** Requests under way. */
  readonly active: number;
  /** Requests sent, retries included. */
  readonly requests: number;
  /** Tries that failed, and answers that count as failures. */
  readonly failures: number;
  /** Requests that were sent again after it had failed them. */
  readonly retries: number;
  /** How often it was ejected. */
  readonly ejections: number;
  /**
   * `ejected`: it gets no requests for a while. `down`: its health probes fail. Where all upstreams of a request are
   * so, one of them gets it all the same.
   */
  readonly state: Standing;
  /** How long the last health probe took, in ms; `undefined`: none was answered yet. */
  readonly roundTrip: number | undefined;
}

/** One server that requests go to, with its connections and its health. */
export class Upstream {
  readonly origin: string;
  /** When it was last a choice for a request. */
  comparedAt = 0;
  readonly #options: ResolvedProxyOptions;
  readonly #target: Target;
  readonly #health: UpstreamHealth;
  readonly #probe: HealthProbe | undefined;
  #pool: ConnectionPool | undefined;
  #active = 0;
  #requests = 0;
  #failures = 0;
  #retries = 0;

  constructor(target: Target, options: ResolvedProxyOptions, wheel: TimingWheel) {
    this.origin = target.origin;
    this.#target = target;
    this.#options = options;
    const { registry, outlier: policy } = options;
    this.#health = registry.list(
      (number) => new UpstreamHealth({ origin: this.origin, policy, registry, wheel, number }),
    );
    this.#probe = this.#openProbe(wheel);
  }

  get active(): number {
    return this.#active;
  }

  /** Sends a request. `end` is to be called once for each. */
  dispatch(options: DispatchOptions, handler: DispatchHandler): void {
    const { timeouts, maxConnections, tlsOf } = this.#options;
    this.#active += 1;
    this.#requests += 1;
    this.#pool ??= openPool(this.#target, tlsOf(this.#target), { connectTimeout: timeouts.connect, maxConnections });
    this.#pool.dispatch(options, handler);
  }

  end(): void {
    this.#active -= 1;
  }

  /** Takes what a request has shown of its health. */
  note(evidence: 'success' | 'failure'): void {
    if (evidence === 'failure') this.#failures += 1;
    this.#health.note(evidence, performance.now());
  }

  /** A request is sent again after this upstream has failed it. */
  noteRetry(): void {
    this.#retries += 1;
  }

  isAvailable(now: number): boolean {
    return this.#health.isAvailable(now);
  }

  stats(): UpstreamStats {
    const { id, ejections, standing, liveness } = this.#health;
    return {
      upstream: this.origin,
      id,
      active: this.#active,
      requests: this.#requests,
      failures: this.#failures,
      retries: this.#retries,
      ejections,
      state: standing,
      roundTrip: liveness.roundTrip,
    };
  }

  async close(reason: ProxyError | null): Promise<void> {
    this.#health.close();
    await Promise.all([this.#probe?.close(), this.#pool?.destroy(reason)]);
  }

  /** Asks whether it is well, now and then, until it is closed. */
  #openProbe(wheel: TimingWheel): HealthProbe | undefined {
    const { health, tlsOf, host, registry, timeouts } = this.#options;
    if (!health) return undefined;
    const connectTimeout = Math.min(timeouts.connect, health.timeout);
    return new HealthProbe(health, {
      wheel,
      path: this.#target.path + health.path,
      host: host === 'target' || host === 'client' ? this.#target.host : host,
      pool: openPool(this.#target, tlsOf(this.#target), { connectTimeout, maxConnections: 1 }),
      asked: () => (registry.counters.heartbeats += 1),
      answered: (isWell, roundTrip) => {
        if (isWell) this.#health.measured(roundTrip);
        this.#health.note(isWell ? 'probe-success' : 'probe-failure', performance.now());
      },
    });
  }
}

// An application that makes targets up, such as one for each tenant, would else keep them all.
const maxIdleUpstreams = 1000;

/** All upstreams of a proxy, by origin. Made at their first request; of too many the one that is idle longest goes. */
export class Upstreams {
  readonly #options: ResolvedProxyOptions;
  readonly #wheel: TimingWheel;
  readonly #byOrigin = new Map<string, Upstream>();
  #closedBy: ProxyError | undefined;

  constructor(options: ResolvedProxyOptions, wheel: TimingWheel) {
    this.#options = options;
    this.#wheel = wheel;
  }

  get all(): readonly Upstream[] {
    return [...this.#byOrigin.values()];
  }

  /**
   * Chooses the target for a try: of those that are available and not tried yet, the one with the fewest requests
   * under way. Where none is, another all the same: the last one is never left out. Throws what `close` was called
   * with.
   */
  choose(targets: readonly Target[], tried: ReadonlySet<string>, random: () => number): [Target, Upstream] {
    if (this.#closedBy) throw this.#closedBy;
    const now = performance.now();
    let best: [Target, Upstream] | undefined;
    let bestScore = Infinity;
    for (const target of targets) {
      const upstream = this.#of(target, now);
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
    this.#closedBy = reason;
    this.#byOrigin.clear();
    await Promise.all(all.map((each) => each.close(reason)));
  }

  #of(target: Target, now: number): Upstream {
    let upstream = this.#byOrigin.get(target.origin);
    if (!upstream) {
      if (this.#byOrigin.size >= maxIdleUpstreams) this.#forgetIdle(now);
      upstream = new Upstream(target, this.#options, this.#wheel);
      this.#byOrigin.set(target.origin, upstream);
    }
    upstream.comparedAt = now;
    return upstream;
  }

  #forgetIdle(now: number): void {
    let oldest: Upstream | undefined;
    for (const upstream of this.#byOrigin.values()) {
      // One that is compared now may be chosen.
      if (upstream.active > 0 || upstream.comparedAt >= (oldest?.comparedAt ?? now)) continue;
      oldest = upstream;
    }
    if (!oldest) return;
    this.#byOrigin.delete(oldest.origin);
    void oldest.close(null);
  }
}
