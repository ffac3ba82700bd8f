import { describe, it } from 'vitest';
import { backplaneChecks } from '../../src/conformance/index.ts';
import { createMemoryBackplane } from '../../src/index.ts';
import { lateBackplane } from './late-backplane.ts';

/** One backplane for both processes of a check. */
function sharedMemory(): (space: string) => ReturnType<typeof createMemoryBackplane> {
  const spaces = new Map<string, ReturnType<typeof createMemoryBackplane>>();
  return (space) => {
    const backplane = spaces.get(space) ?? createMemoryBackplane();
    spaces.set(space, backplane);
    return backplane;
  };
}

describe('a backplane that answers late', () => {
  const make = sharedMemory();
  let place = 0;
  const random = (): number => (place = (place + 0.37) % 1);
  for (const { name, run } of backplaneChecks((space) => lateBackplane(random, make(space)))) it(name, run);
});

describe('the backplane in memory', () => {
  for (const { name, run } of backplaneChecks(sharedMemory())) it(name, run);
});
