import type { ConnectionInfo, Monitored } from '../../internal/health/connection-info.ts';
import type { HealthState } from '../../internal/health/policy/liveness.ts';
import type { Registry } from '../../internal/health/registry.ts';
import type { Timed, Timing, TimingWheel } from '../../internal/time/timing-wheel.ts';
import { proxyEvents } from '../events.ts';
import {
  healthOf,
  healthy,
  noteOutlier,
  type OutlierEvidence,
  type OutlierPolicy,
  type OutlierState,
  type Standing,
  standingOf,
} from '../policy/outlier.ts';

/** What the health of an upstream is made of. */
export interface UpstreamHealthInput {
  readonly origin: string;
  readonly policy: OutlierPolicy;
  readonly registry: Registry;
  readonly wheel: TimingWheel;
  /** Unique in the registry. */
  readonly number: number;
}

/** The health of one upstream: evidence changes it, and the registry and `sluice:proxy:upstream` tell of changes. */
export class UpstreamHealth implements Monitored, Timed {
  timing: Timing | undefined;
  readonly transport = { transport: 'upstream' } as const;
  readonly liveness: { state: HealthState; roundTrip: number | undefined } = { state: 'healthy', roundTrip: undefined };
  readonly #input: UpstreamHealthInput;
  readonly #openedAt: number;
  #state: OutlierState = healthy;
  #standing: Standing = 'up';
  #ejections = 0;
  #isOpen = true;

  constructor(input: UpstreamHealthInput) {
    this.#input = input;
    this.#openedAt = input.registry.now();
  }

  get number(): number {
    return this.#input.number;
  }

  get id(): string {
    return `upstream-${this.number}`;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** How often it was ejected. */
  get ejections(): number {
    return this.#ejections;
  }

  isAvailable(now: number): boolean {
    return standingOf(this.#state, now) === 'up';
  }

  note(evidence: OutlierEvidence, now: number): void {
    const { ejectedUntil } = this.#state;
    this.#state = noteOutlier(this.#state, evidence, this.#input.policy, now);
    const isEjected = this.#state.ejectedUntil > ejectedUntil;
    if (isEjected) {
      this.#ejections += 1;
      this.#input.wheel.schedule(this, this.#state.ejectedUntil);
    }
    this.#tell(now, isEjected);
  }

  /** @param roundTrip - of a health probe that was answered, in ms */
  measured(roundTrip: number): void {
    const before = this.liveness.roundTrip;
    this.liveness.roundTrip = roundTrip;
    this.#input.registry.noteRoundTrip(this, before);
  }

  /** An ejection is over. */
  onTime(now: number): void {
    this.#tell(now, false);
  }

  evict(): void {
    this.note('evicted', performance.now());
  }

  info(now: number): ConnectionInfo {
    const { failures, probeFailures, succeededAt } = this.#state;
    return {
      id: this.id,
      transport: this.transport.transport,
      state: this.liveness.state,
      remoteAddress: undefined,
      label: this.#input.origin,
      age: now - this.#openedAt,
      silence: Math.max(0, Math.floor(now - Math.max(succeededAt, this.#openedAt))),
      roundTrip: this.liveness.roundTrip,
      bufferedBytes: 0,
      failures: Math.max(failures, probeFailures),
    };
  }

  /** The proxy has no more to do with it. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#input.wheel.cancel(this);
    this.#input.registry.remove(this, 'ended');
  }

  #tell(now: number, isEjectedAgain: boolean): void {
    if (!this.#isOpen) return;
    const { origin, registry } = this.#input;
    const [standing, health, previous] = [
      standingOf(this.#state, now),
      healthOf(this.#state, now),
      this.liveness.state,
    ];
    if (standing !== this.#standing || (isEjectedAgain && standing === 'ejected')) {
      this.#standing = standing;
      const duration = standing === 'ejected' ? this.#state.ejectedUntil - now : undefined;
      proxyEvents.upstream.publish({ upstream: origin, state: standing, duration });
    }
    if (health === previous) return;
    this.liveness.state = health;
    registry.noteState(this, previous);
  }
}
