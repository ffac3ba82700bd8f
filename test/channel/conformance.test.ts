import { describe, it } from 'vitest';
import { backplaneChecks } from '../../src/conformance/index.ts';
import { createMemoryBackplane } from '../../src/index.ts';

/** One backplane for both processes of a check. */
function sharedMemory(): (space: string) => ReturnType<typeof createMemoryBackplane> {
  const spaces = new Map<string, ReturnType<typeof createMemoryBackplane>>();
  return (space) => {
    const backplane = spaces.get(space) ?? createMemoryBackplane();
    spaces.set(space, backplane);
    return backplane;
  };
}

describe('the backplane in memory', () => {
  for (const { name, run } of backplaneChecks(sharedMemory())) it(name, run);
});
