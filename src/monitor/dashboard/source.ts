import type { RegistryStats } from '../../heartbeat/index.ts';
import type { ResolvedMonitorOptions } from '../options.ts';
import type { CodingSnapshot, MonitorSnapshot, ProcessSnapshot } from '../snapshot.ts';

/** The monitor behind a dashboard. */
export interface DashboardSource {
  readonly options: ResolvedMonitorOptions;
  readonly sampler: {
    /** Calls back after each interval. Returns the undo. */
    onTick(listener: () => void): () => void;
    readonly throughput: CodingSnapshot;
    readonly loop: Pick<ProcessSnapshot, 'eventLoopDelay' | 'eventLoopUtilization'>;
  };
  readonly counters: { readonly streamsActive: number };
  snapshot(): MonitorSnapshot;
  connections(): RegistryStats;
  /** Something that ends with the monitor. Returns its undo. */
  own(undo: () => void): () => void;
}
