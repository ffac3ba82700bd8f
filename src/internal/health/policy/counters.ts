import type { CloseReason } from '../../../errors.ts';
import type { Transport } from '../transport.ts';
import type { HealthState } from './liveness.ts';

/** How many connections of one transport are in each state. */
export type StateCounts = { readonly [State in HealthState]: number };

/** The numbers of a registry. */
export interface RegistryStats {
  /** Connections that are watched. */
  readonly connections: number;
  /** The share of them in any state but `healthy`, from 0 to 1. 0 without connections. */
  readonly unresponsive_ratio: number;
  /** The mean of their round trips, in ms; `null` while none was measured. */
  readonly avg_heartbeat_rt: number | null;
  /** Connections by transport and state; a transport that was never seen is absent. */
  readonly transports: { readonly [Kind in Transport]?: StateCounts };
  /** Connections that ended since the registry was made, by reason; one that never occurred is absent. */
  readonly ended: { readonly [Reason in CloseReason]?: number };
  /** Connections that were refused, by the limit that was reached. */
  readonly refused: { readonly total: number; readonly client: number };
  /** Heartbeats that were sent. */
  readonly heartbeats: number;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Counts each change as it happens, so that no number costs a walk over the connections. */
export class RegistryCounters {
  heartbeats = 0;
  readonly refused: Writable<RegistryStats['refused']> = { total: 0, client: 0 };
  readonly #transports = new Map<Transport, Writable<StateCounts>>();
  readonly #ended = new Map<CloseReason, number>();
  #connections = 0;
  #unresponsive = 0;
  #roundTripSum = 0;
  #roundTrips = 0;

  added(transport: Transport): void {
    this.#connections += 1;
    this.#countsOf(transport).healthy += 1;
  }

  changed(transport: Transport, previous: HealthState, state: HealthState): void {
    const counts = this.#countsOf(transport);
    counts[previous] -= 1;
    counts[state] += 1;
    this.#unresponsive += Number(state !== 'healthy') - Number(previous !== 'healthy');
  }

  removed(
    transport: Transport,
    state: HealthState,
    roundTrip: number | undefined,
    reason: CloseReason | undefined,
  ): void {
    this.#connections -= 1;
    this.#countsOf(transport)[state] -= 1;
    if (state !== 'healthy') this.#unresponsive -= 1;
    this.measured(roundTrip, undefined);
    if (reason) this.#ended.set(reason, (this.#ended.get(reason) ?? 0) + 1);
  }

  /** The round trip of one connection has changed. */
  measured(before: number | undefined, after: number | undefined): void {
    this.#roundTripSum += (after ?? 0) - (before ?? 0);
    this.#roundTrips += Number(after !== undefined) - Number(before !== undefined);
    // Without what rounding left behind.
    if (this.#roundTrips === 0) this.#roundTripSum = 0;
  }

  stats(): RegistryStats {
    return {
      connections: this.#connections,
      unresponsive_ratio: this.#connections === 0 ? 0 : this.#unresponsive / this.#connections,
      avg_heartbeat_rt: this.#roundTrips === 0 ? null : this.#roundTripSum / this.#roundTrips,
      transports: Object.fromEntries([...this.#transports].map(([transport, counts]) => [transport, { ...counts }])),
      ended: Object.fromEntries(this.#ended),
      refused: { ...this.refused },
      heartbeats: this.heartbeats,
    };
  }

  #countsOf(transport: Transport): Writable<StateCounts> {
    let counts = this.#transports.get(transport);
    if (!counts) this.#transports.set(transport, (counts = { healthy: 0, 'read-late': 0, 'write-late': 0, dead: 0 }));
    return counts;
  }
}
