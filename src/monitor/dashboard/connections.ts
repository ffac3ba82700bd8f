import { setImmediate } from 'node:timers/promises';
import type { ConnectionInfo } from '../../internal/health/connection-info.ts';
import type { Registry } from '../../internal/health/registry.ts';
import { makeFilter, type PageQuery } from './policy/connection-page.ts';

/** One page of the connections that are asked for. */
export interface ConnectionPage {
  /** Of all pages. */
  readonly total: number;
  readonly rows: readonly ConnectionRow[];
}

/** A connection, and the number of its registry. */
interface ConnectionRow extends ConnectionInfo {
  readonly registry: number;
}

// A few milliseconds of work, with a filter.
const atOnce = 1_000;

/**
 * Looks through the connections of all registries, the oldest first. Other work has its turn in between, and only the
 * connections of the page are described: with 20,000 of them, describing all would hold the process for 50 ms.
 */
export async function findConnections(registries: readonly Registry[], query: PageQuery): Promise<ConnectionPage> {
  const passes = makeFilter(query);
  const rows: ConnectionRow[] = [];
  let total = 0;
  let looked = 0;
  for (const [number, registry] of registries.entries()) {
    for (const connection of registry.members.values()) {
      looked += 1;
      if (looked % atOnce === 0) await setImmediate();
      if (!passes(connection)) continue;
      total += 1;
      if (total > query.offset && rows.length < query.limit)
        rows.push({ registry: number, ...connection.info(registry.now()) });
    }
  }
  return { total, rows };
}
