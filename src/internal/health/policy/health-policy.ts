/** The numbers by which one connection is judged. Durations are milliseconds; `Infinity` is never. */
export interface HealthPolicy {
  readonly every: number;
  readonly jitter: number;
  readonly readDeadline: number;
  readonly readJitter: number;
  readonly writeDeadline: number;
  /** Bytes per second. */
  readonly minRate: number;
  readonly failures: number;
  readonly grace: number;
  readonly maxAge: number;
  readonly idleProducer: number;
  readonly maxBuffered: number;
  readonly isProbing: boolean;
}
