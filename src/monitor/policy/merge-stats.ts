import type { RegistryStats, StateCounts } from '../../heartbeat/index.ts';

const noConnections: RegistryStats = {
  connections: 0,
  unresponsive_ratio: 0,
  avg_heartbeat_rt: null,
  transports: {},
  ended: {},
  refused: { total: 0, client: 0 },
  heartbeats: 0,
};

/** The numbers of several registries as one. Their mean round trips count by their connections. */
export function mergeStats(all: readonly RegistryStats[]): RegistryStats {
  const [first = noConnections] = all;
  if (all.length < 2) return first;
  const connections = sum(all, (each) => each.connections);
  const measured = all.filter((each) => each.avg_heartbeat_rt !== null);
  const weight = sum(measured, (each) => each.connections);
  return {
    connections,
    unresponsive_ratio:
      connections === 0 ? 0 : sum(all, (each) => each.unresponsive_ratio * each.connections) / connections,
    avg_heartbeat_rt:
      weight === 0 ? null : sum(measured, (each) => (each.avg_heartbeat_rt ?? 0) * each.connections) / weight,
    transports: mergeTransports(all),
    ended: addUp(all.map((each) => each.ended)),
    refused: { total: sum(all, (each) => each.refused.total), client: sum(all, (each) => each.refused.client) },
    heartbeats: sum(all, (each) => each.heartbeats),
  };
}

function mergeTransports(all: readonly RegistryStats[]): RegistryStats['transports'] {
  const merged: Record<string, StateCounts> = {};
  for (const { transports } of all) {
    for (const [transport, counts] of Object.entries(transports))
      merged[transport] = addUp([merged[transport] ?? {}, counts]) as StateCounts;
  }
  return merged;
}

function addUp(all: readonly Readonly<Record<string, number | undefined>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count = 0] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

function sum<T>(items: readonly T[], valueOf: (item: T) => number): number {
  return items.reduce((total, item) => total + valueOf(item), 0);
}
