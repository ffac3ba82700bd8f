import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { compareOn, formatComparison, openPair, type Pair, search } from './explore.ts';
import { faults } from './faults.ts';
import { regressions } from './regressions.ts';
import type { CarrierName } from './script.ts';
import type { Dressing } from './site.ts';

const seed = Number(process.env['SLUICE_SEED'] ?? 20_240_917);

// SLUICE_DIFF_SECONDS: how long to look, in all. Without it, some scenarios, the same each time.
const seconds = Number(process.env['SLUICE_DIFF_SECONDS'] ?? 0);

/** What is tried, and how often: the whole stack most, each part alone a little. */
const plan: readonly (readonly [CarrierName, Dressing, runs: number])[] = [
  ['http1', 'full', 150],
  ['http2', 'full', 80],
  ['express5', 'full', 50],
  ['express4', 'full', 30],
  ['http1', 'compress', 40],
  ['http2', 'compress', 20],
  ['http1', 'heartbeat', 20],
  ['http2', 'heartbeat', 20],
  ['http1', 'deadline', 20],
  ['http2', 'deadline', 20],
  ['http1', 'lifecycle', 20],
  ['http2', 'lifecycle', 20],
];

const pairs = new Map<string, Promise<Pair>>();

function pairOf(carrier: CarrierName, dressing: Dressing): Promise<Pair> {
  const name = `${carrier} ${dressing}`;
  const pair = pairs.get(name) ?? openPair(carrier, dressing);
  pairs.set(name, pair);
  return pair;
}

afterAll(async () => {
  for (const pair of pairs.values()) await (await pair).close();
});

describe('a response behind the library', () => {
  it.each(regressions)('is like a bare one: $name', async ({ scenario }) => {
    const comparison = await compareOn(await pairOf(scenario.carrier, 'full'), scenario);
    expect(comparison.differences, formatComparison(comparison)).toEqual([]);
  });

  it.each(Object.keys(faults))('that %s is not', async (name) => {
    const pair = await openPair('http1', 'full', faults[name]);
    onTestFinished(() => pair.close());
    expect(await search(pair, { seed: 2, runs: 1000, takesFirst: true })).toBeDefined();
  });

  const timeout = seconds * 1000 + 120_000;

  it.each(plan)('is like a bare one, whatever is called (%s, %s)', { timeout }, async (carrier, dressing, runs) => {
    const limit = (seconds * 1000) / plan.length;
    const found = await search(
      await pairOf(carrier, dressing),
      seconds > 0 ? { seed, runs: 1e9, limit } : { seed, runs },
    );
    expect(found?.differences ?? [], found && `SLUICE_SEED=${seed} shows it\n${formatComparison(found)}`).toEqual([]);
  });
});
