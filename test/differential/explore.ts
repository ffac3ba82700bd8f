import { inspect } from 'node:util';
import fc from 'fast-check';
import { scenarios } from './arbitraries.ts';
import { type Difference, differences } from './compare.ts';
import type { Middleware } from '../support/carriers.ts';
import { type CarrierName, plain, type Scenario } from './script.ts';
import { type Dressing, type Observation, openSite, type Site } from './site.ts';

/** Two servers that differ in what their responses go through. */
export interface Pair {
  readonly carrier: CarrierName;
  readonly dressing: Dressing;
  readonly bare: Site;
  readonly dressed: Site;
  close(): Promise<void>;
}

/** @param middleware - in place of the library */
export async function openPair(carrier: CarrierName, dressing: Dressing, middleware?: Middleware): Promise<Pair> {
  const [bare, dressed] = await Promise.all([openSite('bare', carrier), openSite(dressing, carrier, middleware)]);
  return {
    carrier,
    dressing,
    bare,
    dressed,
    close: async () => void (await Promise.all([bare.close(), dressed.close()])),
  };
}

/** What one scenario showed on both. */
export interface Comparison {
  readonly dressing: Dressing;
  readonly scenario: Scenario;
  readonly differences: readonly Difference[];
  readonly bare: Observation;
  readonly dressed: Observation;
}

/** Runs a scenario on both. */
export async function compareOn(pair: Pair, scenario: Scenario): Promise<Comparison> {
  const bare = await pair.bare.observe(scenario);
  const dressed = await pair.dressed.observe(scenario);
  return {
    dressing: pair.dressing,
    scenario,
    differences: differences(scenario, pair.dressing, bare, dressed),
    bare,
    dressed,
  };
}

export interface Search {
  readonly seed: number;
  readonly runs: number;
  /** Milliseconds. */
  readonly limit?: number;
  /** Differences that are not looked for. */
  readonly isKnown?: (kind: string) => boolean;
  /** Whether to be content with the first, as it is. */
  readonly takesFirst?: boolean;
  readonly onRun?: (comparison: Comparison) => void;
  /** Told of a difference that did not come a second time. */
  readonly onFlake?: (comparison: Comparison) => void;
}

/** Looks for a scenario that differs, and makes it small. */
export async function search(pair: Pair, wish: Search): Promise<Comparison | undefined> {
  const { seed, runs, limit = 600_000, isKnown = () => false, takesFirst = false, onRun, onFlake } = wish;
  let wanted: string | undefined;
  let found: Comparison | undefined;
  const property = fc.asyncProperty(scenarios[pair.carrier], async (scenario) => {
    const first = await compareOn(pair, scenario);
    onRun?.(first);
    const kind = first.differences.find((each) => !isKnown(each.kind))?.kind;
    if (kind === undefined) return;
    // What is not seen twice is the machine's. While it is made small it stays the same difference.
    const second = takesFirst ? first : await compareOn(pair, scenario);
    if (!second.differences.some((each) => each.kind === (wanted ?? kind))) {
      if (wanted === undefined) onFlake?.(first);
      return;
    }
    wanted ??= kind;
    found = second;
    throw new Error(kind);
  });
  const { failed, errorInstance } = await fc.check(property, {
    numRuns: runs,
    seed,
    interruptAfterTimeLimit: limit,
    markInterruptAsFailure: false,
    endOnFailure: takesFirst,
  });
  // Of the harness itself.
  if (failed && !found) throw errorInstance;
  return found;
}

/** A comparison, to be read. */
export function formatComparison({ dressing, scenario, differences: found, bare, dressed }: Comparison): string {
  const own = Object.fromEntries(
    Object.entries(scenario).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(plain[name as keyof Scenario]),
    ),
  );
  const events = (seen: Observation): string => seen.traces.map((trace) => trace.events.join(', ')).join(' | ');
  return [
    `behind ${dressing}, Node ${process.versions.node}: ${inspect(own, { depth: 9, breakLength: 140 })}`,
    ...found.map((each) => `  ${each.kind}\n    bare:   ${each.bare}\n    behind: ${each.dressed}`),
    `  events, bare:   ${events(bare)}`,
    `  events, behind: ${events(dressed)}`,
  ].join('\n');
}
