import { expect, it } from 'vitest';
import { audience } from './audience/audience.js';

it('gives every event to clients that read, beside some that hardly do', { timeout: 120_000 }, async () => {
  const { faults } = await audience({ clients: 600, slow: 10, stopped: 5, events: 30, interval: 30 });
  expect(faults).toEqual([]);
});
